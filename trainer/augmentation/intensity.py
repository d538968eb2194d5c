"""Changes of intensities: factor, gamma and noise; channels that are dropped.

Images are [b, H, H, C] float32 in 0..255, and so are the results. Black stays
black, but under noise: fluorescence is a multiple of the stain, and the
background is near 0.
"""

import math

from hpa_records.runtime.tensorflow import tf
from trainer import noise as noise_lib

_MOST = 255.0
# Mean and deviation of the sum of four bytes, each uniform.
_SUM_MEAN, _SUM_DEVIATION = 4 * 127.5, math.sqrt(4 * (256**2 - 1) / 12)


def draw_factors(noise: tf.Tensor, largest: float) -> tf.Tensor:
  """Returns factors 1/(1 + x) to 1 + x, whose logarithm is uniform.

  Args:
    noise: [b, C] float32 in [0, 1).
    largest: x.
  """
  return tf.exp((2 * noise - 1) * math.log1p(largest))


def multiply(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
  """Returns images with each channel times its factor, at most 255.

  Args:
    images: of this module.
    factors: [b, C] float32.
  """
  return tf.minimum(images * factors[:, None, None, :], _MOST)


def apply_gamma(images: tf.Tensor, exponents: tf.Tensor) -> tf.Tensor:
  """Returns 255 * (v / 255)^exponent of each value v.

  Args:
    images: of this module.
    exponents: [b, C] float32 > 0.
  """
  return _MOST * tf.pow(images / _MOST, exponents[:, None, None, :])


def add_noise(images: tf.Tensor, starts: tf.Tensor,
              deviations: tf.Tensor) -> tf.Tensor:
  """Returns images with noise of mean 0 added, clipped to 0..255.

  The noise of a value is the sum of the four bytes of a random word: nearly
  normal, with an excess kurtosis of -0.3, and far quicker than normal numbers.

  Args:
    images: of this module.
    starts: [b, 2] float32 in [0, 1), of the noise.
    deviations: [b] float32 >= 0, of the noise.
  """
  words = noise_lib.hash_words(starts, images.shape)
  pairs = (words & 0x00ff00ff) + (tf.bitwise.right_shift(words, 8) & 0x00ff00ff)
  total = (pairs & 0xffff) + tf.bitwise.right_shift(pairs, 16)
  total = tf.cast(tf.cast(total, tf.int32), tf.float32)
  spread = (deviations / _SUM_DEVIATION)[:, None, None, None]
  return tf.clip_by_value(images + spread * (total - _SUM_MEAN), 0, _MOST)


def draw_kept(noise: tf.Tensor, probability: float) -> tf.Tensor:
  """Returns 1 for channels that stay and 0 for those dropped, [b, C] float32.

  Each is dropped with the probability, but never all of an image: that with the
  largest number stays.

  Args:
    noise: [b, C] float32 in [0, 1).
    probability: of a channel.
  """
  largest = tf.reduce_max(noise, axis=1, keepdims=True)
  return tf.cast((noise >= probability) | (noise == largest), tf.float32)
