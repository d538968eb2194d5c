"""Zoom, shift and rotation of images by any amount, in one resampling.

Bilinear, by four gathers: no operation of TensorFlow that resamples compiles by
XLA. What lies outside of the field is its mirror image, as numpy.pad's
'symmetric' has it. Black corners would show cut cells, which no record has, and
change the mean of an image; mirrored cells are what --augment shows anyway.
"""

import math

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf

NUM_DRAWN = 4  # numbers of each image that draw takes


def draw(noise: tf.Tensor, size: int, scale: float, shift: float,
         rotate: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns random moves: zooms [b], angles [b] and shifts [b, 2].

  Args:
    noise: [b, NUM_DRAWN] float32 in [0, 1).
    size: of the images, pixels.
    scale: x of the largest zoom; its logarithm is uniform.
    shift: the largest, as a part of the size.
    rotate: the largest angle, degrees.
  """
  noise = 2 * noise - 1
  return (tf.exp(noise[:, 0] * math.log1p(scale)),
          noise[:, 1] * math.radians(rotate), noise[:, 2:] * (shift * size))


@tensorflow.compiled
def move(images: tf.Tensor, zooms: tf.Tensor, angles: tf.Tensor,
         shifts: tf.Tensor) -> tf.Tensor:
  """Returns each image zoomed and rotated about its centre, then shifted.

  Args:
    images: [b, H, H, C] uint8, static.
    zooms: [b] float32 > 0; 2 shows half of the side.
    angles: [b] float32, radians, counterclockwise as numpy.rot90.
    shifts: [b, 2] float32, pixels down and to the right.

  Returns:
    [b, H, H, C] float32, 0..255.
  """
  size = images.shape[1]
  centre = (size - 1) / 2
  places = tf.range(size, dtype=tf.float32) - centre
  y = places[None, :, None] - shifts[:, 0, None, None]
  x = places[None, None, :] - shifts[:, 1, None, None]
  cosine = (tf.cos(angles) / zooms)[:, None, None]
  sine = (tf.sin(angles) / zooms)[:, None, None]
  return resample(images, cosine * y + sine * x + centre,
                  cosine * x - sine * y + centre)


def resample(images: tf.Tensor, rows: tf.Tensor,
             columns: tf.Tensor) -> tf.Tensor:
  """Returns the values of each image at other places, to be compiled.

  Args:
    images: [b, H, H, C] uint8 or float32, static.
    rows: [b, H, H] float32, where each pixel of the result is taken from.
    columns: [b, H, H] float32, the same.

  Returns:
    [b, H, H, C] float32.
  """
  count, size, _, channels = images.shape
  rows, columns = _mirror(rows, size), _mirror(columns, size)
  top, left = tf.floor(rows), tf.floor(columns)
  down, right = (rows - top)[..., None], (columns - left)[..., None]
  # A gather of rows of pixels is twice as fast as one of int32 words.
  pixels = tf.reshape(images, [count * size * size, channels])
  first = (tf.range(count) * size * size)[:, None, None]

  def take(row, column):
    row, column = (tf.clip_by_value(tf.cast(each, tf.int32), 0, size - 1)
                   for each in (row, column))
    return tf.cast(tf.gather(pixels, first + row * size + column), tf.float32)

  above = take(top, left) * (1 - right) + take(top, left + 1) * right
  below = take(top + 1, left) * (1 - right) + take(top + 1, left + 1) * right
  return above * (1 - down) + below * down


def _mirror(places: tf.Tensor, size: int) -> tf.Tensor:
  """Returns places in -0.5..size-0.5, mirrored at these two as often as need
  be."""
  ahead = tf.math.floormod(places + 0.5, 2.0 * size)
  return size - tf.abs(ahead - size) - 0.5
