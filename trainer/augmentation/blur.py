"""Gaussian blur, another one for each image."""

import math

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf

_REACH = 3  # sigmas that the kernel has on each side
_LEAST = 0.05  # sigma whose kernel is 0 beside the middle


def blur(images: tf.Tensor, sigmas: tf.Tensor, largest: float) -> tf.Tensor:
  """Returns each image blurred; its sum stays.

  The kernels are sampled at the pixels and sum to 1. Outside of the field is
  its mirror image, as in affine.

  Args:
    images: [b, H, H, C] float32, static.
    sigmas: [b] float32 >= 0, pixels; 0 changes nothing.
    largest: of the sigmas.

  Returns:
    [b, H, H, C] float32.
  """
  reach = min(math.ceil(_REACH * largest), images.shape[1])
  return _blur_along(2, _blur_along(1, images, sigmas, reach), sigmas, reach)


# One program for both would compute the first blur again for each tap.
@tensorflow.compiled
def _blur_along(axis, images, sigmas, reach):
  places = tf.range(-reach, reach + 1, dtype=tf.float32)
  kernels = tf.exp(-0.5 * (places / tf.maximum(sigmas, _LEAST)[:, None])**2)
  kernels /= tf.reduce_sum(kernels, axis=1, keepdims=True)
  spare, begin = [[0, 0] for _ in images.shape], [0 for _ in images.shape]
  spare[axis] = [reach, reach]
  padded = tf.pad(images, spare, 'SYMMETRIC')
  total = tf.zeros_like(images)
  for i in range(2 * reach + 1):
    begin[axis] = i
    total += (kernels[:, i, None, None, None] *
              tf.slice(padded, begin, images.shape))
  return total
