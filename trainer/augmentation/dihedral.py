"""The eight symmetries of the square, one for each image, on the device.

Each image of a batch is rotated and flipped by its own element, exactly, with
static shapes, inside a compiled train step. A symmetry is an optional
transposition, then an optional reversal of rows, then of columns: three
selections over the batch. Four uint8 of a pixel are read as one int32, because
tf.where on uint8 is slow (100 images/s); other numbers of channels are padded
to a multiple of four.

Images/s on two cores, 299 px, batch 16, plain and compiled by XLA: the three
selections 2,100 and 5,000; one gather with computed indices 1,700 and 2,400;
a tf.switch_case for each image 2,400 and 3,200 (7 s to compile). Gathers are
also slow on TPUs. The selections are always compiled, even inside a step that
is not, which takes 0.3 s once.
"""

import numpy as np

from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf

NUM_ELEMENTS = 8
_IN_A_WORD = 4  # uint8 of an int32

# Of each element: transpose, then reverse rows, then reverse columns. A
# counterclockwise quarter turn is a transposition, then reversed rows.
MOVES = np.array([
    [0, 0, 0],
    [1, 1, 0],
    [0, 1, 1],
    [1, 0, 1],
    [0, 0, 1],
    [1, 1, 1],
    [0, 1, 0],
    [1, 0, 0],
], bool)


def warm_up() -> None:
  """Compiles for one pixel, with the messages of XLA's first use hidden."""
  with process.quiet():
    transform(tf.zeros([1, 1, 1, 1], tf.uint8), tf.zeros([1], tf.int32))


def transform(images: tf.Tensor, elements: tf.Tensor) -> tf.Tensor:
  """Returns each image transformed by its own symmetry of the square.

  Element e = 4 * flip + k is np.rot90(image, k), counterclockwise, then
  np.fliplr if flip is 1. Element 0 is the identity.

  Args:
    images: [B, H, H, C] uint8, all but B static.
    elements: [B] int32, 0..7.

  Returns:
    [B, H, H, C] uint8.

  Raises:
    ValueError: the images are not square and uint8, or a size is not static.
  """
  shape = images.shape
  if (images.dtype != tf.uint8 or shape.rank != 4 or shape[1] is None or
      shape[1] != shape[2] or shape[3] is None):
    raise ValueError('Expected square images [B, H, H, C] uint8 of static '
                     f'size, received {shape} {images.dtype.name}.')
  return _move(images, elements)


@tensorflow.compiled
def _move(images: tf.Tensor, elements: tf.Tensor) -> tf.Tensor:
  moves = tf.gather(tf.constant(MOVES), elements)[:, :, None, None, None]
  size, channels = images.shape[2:]
  spare = -channels % _IN_A_WORD
  if spare:
    images = tf.pad(images, [[0, 0], [0, 0], [0, 0], [0, spare]])
  words = (channels + spare) // _IN_A_WORD
  pixels = tf.bitcast(tf.reshape(images, [-1, size, size, words, _IN_A_WORD]),
                      tf.int32)
  pixels = tf.where(moves[:, 0], tf.transpose(pixels, [0, 2, 1, 3]), pixels)
  pixels = tf.where(moves[:, 1], tf.reverse(pixels, [1]), pixels)
  pixels = tf.where(moves[:, 2], tf.reverse(pixels, [2]), pixels)
  images = tf.bitcast(pixels, tf.uint8)
  images = tf.reshape(images, [-1, size, size, channels + spare])
  return images[..., :channels]
