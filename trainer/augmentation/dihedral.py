"""The eight symmetries of the square, one an image, on the device.

Needed: each image of a batch turned and mirrored by its own element, bit for
bit, with static shapes, so that it can stand inside a compiled train step.

Every symmetry is a transposition or none, then a reversal of the rows or none,
then of the columns or none: three selections over the whole batch. A pixel's
four uint8 are read as one int32 (tf.where on uint8: 100 images/s).

Tried on two cores, 299 px, batch 16, images/s plain and compiled by XLA: the
three selections 2,100 and 5,000; one gather with computed indices 1,700 and
2,400; a tf.switch_case an image 2,400 and 3,200 (7 s to compile). Gathers are
also what TPUs do worst. So the selections are always compiled, also inside a
step that is not, which takes 0.3 s once (batch 80: 1,500 and 4,000; a train
step does 36).
"""

import numpy as np

from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf

NUM_ELEMENTS = 8

# Element by element: transpose, then reverse the rows, then the columns. A
# quarter turn counterclockwise is a transposition with its rows reversed.
_MOVES = np.array([
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
  """Compiles for one pixel, so that what XLA logs the first time is not shown.
  """
  with process.quiet():
    transform(tf.zeros([1, 1, 1, 4], tf.uint8), tf.zeros([1], tf.int32))


def transform(images: tf.Tensor, elements: tf.Tensor) -> tf.Tensor:
  """Returns each image under its own symmetry of the square.

  Element e = 4 * flip + k means np.rot90(image, k), counterclockwise, then, if
  flip is 1, np.fliplr. Element 0 changes nothing.

  Args:
    images: [B, H, H, 4] uint8, height and width static.
    elements: [B] int32, 0..7.

  Returns:
    [B, H, H, 4] uint8.

  Raises:
    ValueError: the images are not square, not uint8, or not of four channels.
  """
  shape = images.shape
  if (images.dtype != tf.uint8 or shape.rank != 4 or shape[1] is None or
      shape[1] != shape[2] or shape[3] != 4):
    raise ValueError('Expected square images [B, H, H, 4] uint8 of static '
                     f'size, received {shape} {images.dtype.name}.')
  return _move(images, elements)


@tensorflow.compiled
def _move(images: tf.Tensor, elements: tf.Tensor) -> tf.Tensor:
  moves = tf.gather(tf.constant(_MOVES), elements)[:, :, None, None]
  pixels = tf.bitcast(images, tf.int32)
  pixels = tf.where(moves[:, 0], tf.transpose(pixels, [0, 2, 1]), pixels)
  pixels = tf.where(moves[:, 1], tf.reverse(pixels, [1]), pixels)
  pixels = tf.where(moves[:, 2], tf.reverse(pixels, [2]), pixels)
  return tf.bitcast(pixels, tf.uint8)
