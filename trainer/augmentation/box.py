"""Boxes in images, for cutout and CutMix.

A box is four numbers: top, left, bottom, right, in whole pixels; the last two
are outside of it.
"""

from hpa_records.runtime.tensorflow import tf

NUM_DRAWN = 3  # numbers of each image that draw_square takes


def draw_square(noise: tf.Tensor, size: int, largest: float) -> tf.Tensor:
  """Returns random squares inside of images, [b, 4] float32.

  The side is uniform up to the largest.

  Args:
    noise: [b, NUM_DRAWN] float32 in [0, 1).
    size: of the images.
    largest: of the sides, as a part of the size.

  Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural
    Networks with Cutout", 2017; there the side is fixed, and a square may lie
    partly outside.
  """
  side = tf.round(noise[:, :1] * (largest * size))
  corner = tf.floor(noise[:, 1:] * (size + 1 - side))
  return tf.concat([corner, corner + side], axis=1)


def cover(boxes: tf.Tensor, size: int) -> tf.Tensor:
  """Returns which pixels are in a box, [b, size, size, 1] bool.

  Args:
    boxes: [b, 4] float32.
    size: of the images.
  """
  places = tf.range(size, dtype=tf.float32)

  def span(axis):
    return (places >= boxes[:, axis, None]) & (places < boxes[:, axis + 2,
                                                              None])

  return span(0)[:, :, None, None] & span(1)[:, None, :, None]


def measure(boxes: tf.Tensor) -> tf.Tensor:
  """Returns the number of pixels of each box [b, 4], [b] float32."""
  return tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1)
