"""RandAugment: an operation for each image, drawn from fourteen, n times.

Brightness and color are left out, as in SIFLoc. Each image has one operation a
round, but all images of a batch go through the same few programs: a resampling
for the geometric operations, a table of 256 values for each channel for those
of single pixels, a smoothing, and a box. Each has a parameter that changes
nothing, for the images with another operation.

Chosen by us, for images of any channels: each channel is a gray image of its
own; outside of the field is its mirror image, as in affine; a cutout is black;
shears are about the centre. The range of translations and cutouts is a part of
the side, which is theirs at 224 pixels.

Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a
Reduced Search Space", 2020; operations and ranges as in Outliers1106/SIFLoc,
RandAugment/augmentations.py; those of pixels as in Pillow's ImageOps.
"""

import math

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import affine
from trainer.augmentation import box

OPERATIONS = ('autocontrast', 'equalize', 'invert', 'rotate', 'posterize',
              'solarize', 'solarize_add', 'contrast', 'sharpness', 'shear_x',
              'shear_y', 'cutout', 'translate_x', 'translate_y')
NUM_DRAWN = 4  # numbers of each image that a round takes
MOST = 30  # the largest magnitude
# At the largest magnitude: degrees, slope, parts of the side, and intensities.
_DEGREES, _SLOPE, _SHIFT, _SIDE = 30, 0.3, 100 / 224, 40 / 224
_BITS, _THRESHOLD, _ADDED = 4, 256, 110
_LEAST_FACTOR, _MOST_FACTOR = 0.1, 1.9
_ADD_BELOW = 128  # solarize_add changes values below
_VALUES = 256
_SMOOTHING = ((1, 1, 1), (1, 5, 1), (1, 1, 1))  # Pillow's SMOOTH


def apply(images: tf.Tensor, noise: tf.Tensor, magnitude: float) -> tf.Tensor:
  """Returns images after one operation each.

  Args:
    images: [b, H, H, C] float32, whole numbers 0..255, static.
    noise: [b, NUM_DRAWN] float32 in [0, 1).
    magnitude: of the operations, 0..MOST.

  Returns:
    [b, H, H, C] float32, whole numbers 0..255.
  """
  images = _move(images, noise, magnitude / MOST)
  images = _change_values(images, noise, magnitude / MOST)
  return _sharpen_or_cut(images, noise, magnitude / MOST)


def _choose(noise: tf.Tensor, name: str) -> tf.Tensor:
  """Returns which images have an operation, [b] bool."""
  chosen = tf.cast(noise[:, 0] * len(OPERATIONS), tf.int32)
  return chosen == OPERATIONS.index(name)


@tensorflow.compiled
def _move(images, noise, part):
  """Rotations, shears and translations, to both sides alike often."""
  size = images.shape[1]
  sign = tf.where(noise[:, 1] < 0.5, -1.0, 1.0)

  def amount(name, most):
    return tf.where(_choose(noise, name), sign * (part * most), 0.0)[:, None,
                                                                     None]

  centre = (size - 1) / 2
  places = tf.range(size, dtype=tf.float32) - centre
  y, x = places[None, :, None], places[None, None, :]
  angle = amount('rotate', math.radians(_DEGREES))
  cosine, sine = tf.cos(angle), tf.sin(angle)
  rows = (cosine * y + (sine + amount('shear_y', _SLOPE)) * x + centre +
          amount('translate_y', _SHIFT * size))
  columns = (cosine * x + (amount('shear_x', _SLOPE) - sine) * y + centre +
             amount('translate_x', _SHIFT * size))
  return tf.round(affine.resample(images, rows, columns))


@tensorflow.compiled
def _change_values(images, noise, part):
  """Operations of single pixels: each channel through a table of its own."""
  count, size, _, channels = images.shape
  first = tf.range(count * channels) * _VALUES
  places = (tf.reshape(first, [count, 1, 1, channels]) +
            tf.cast(images, tf.int32))
  histograms = tf.math.unsorted_segment_sum(
      tf.ones([count * size * size * channels], tf.int32),
      tf.reshape(places, [-1]), count * channels * _VALUES)
  histograms = tf.reshape(histograms, [count, channels, _VALUES])
  values = tf.broadcast_to(tf.range(_VALUES), histograms.shape)
  table = values
  for name, changed in (('autocontrast', _stretch(histograms)),
                        ('equalize', _equalize(histograms)),
                        ('invert',
                         _VALUES - 1 - values), ('posterize',
                                                 _posterize(values, part)),
                        ('solarize',
                         tf.where(values < int(part * _THRESHOLD), values,
                                  _VALUES - 1 - values)),
                        ('solarize_add',
                         tf.where(
                             values < _ADD_BELOW,
                             tf.minimum(values + int(part * _ADDED),
                                        _VALUES - 1),
                             values)), ('contrast', _contrast(histograms,
                                                              part))):
    table = tf.where(_choose(noise, name)[:, None, None], changed, table)
  return tf.cast(tf.gather(tf.reshape(table, [-1]), places), tf.float32)


def _stretch(histograms: tf.Tensor) -> tf.Tensor:
  """Returns the table that spreads the values of a channel over 0..255."""
  values = tf.range(_VALUES)
  low = tf.reduce_min(tf.where(histograms > 0, values, _VALUES), 2, True)
  high = tf.reduce_max(tf.where(histograms > 0, values, -1), 2, True)
  spread = (values - low) * (_VALUES - 1) // tf.maximum(high - low, 1)
  return tf.where(high > low, tf.clip_by_value(spread, 0, _VALUES - 1), values)


def _equalize(histograms: tf.Tensor) -> tf.Tensor:
  """Returns the table that makes all values of a channel equally frequent."""
  values = tf.range(_VALUES)
  high = tf.reduce_max(tf.where(histograms > 0, values, -1), 2, True)
  last = tf.reduce_sum(tf.where(values == high, histograms, 0), 2, True)
  step = (tf.reduce_sum(histograms, 2, True) - last) // (_VALUES - 1)
  below = tf.cumsum(histograms, axis=2, exclusive=True)
  found = (step // 2 + below) // tf.maximum(step, 1)
  return tf.where(step > 0, tf.minimum(found, _VALUES - 1), values)


def _posterize(values: tf.Tensor, part: float) -> tf.Tensor:
  """Returns values with their highest bits alone, one at least."""
  unit = 2**(8 - max(int(part * _BITS), 1))
  return values // unit * unit


def _contrast(histograms: tf.Tensor, part: float) -> tf.Tensor:
  """Returns the table that moves values away from a channel's mean, or to it.
  """
  values = tf.range(_VALUES, dtype=tf.float32)
  counts = tf.cast(histograms, tf.float32)
  mean = tf.round(
      tf.reduce_sum(counts * values, 2, True) / tf.reduce_sum(counts, 2, True))
  found = mean + _factor(part) * (values - mean)
  return tf.cast(tf.clip_by_value(tf.round(found), 0, _VALUES - 1), tf.int32)


def _factor(part: float) -> float:
  return _LEAST_FACTOR + part * (_MOST_FACTOR - _LEAST_FACTOR)


@tensorflow.compiled
def _sharpen_or_cut(images, noise, part):
  """Sharpness below 1 blends with a smoothed image; a cutout is a square."""
  size, _, channels = images.shape[1:]
  kernel = tf.constant(_SMOOTHING, tf.float32) / tf.reduce_sum(
      tf.constant(_SMOOTHING, tf.float32))
  kernel = tf.tile(kernel[:, :, None, None], [1, 1, channels, 1])
  smooth = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], 'VALID')
  inner = images[:, 1:-1, 1:-1]
  sharp = tf.round(smooth + _factor(part) * (inner - smooth))
  is_chosen = _choose(noise, 'sharpness')[:, None, None, None]
  inner = tf.where(is_chosen, tf.clip_by_value(sharp, 0, _VALUES - 1), inner)
  middle = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], 2)
  images = tf.concat([images[:, :1], middle, images[:, -1:]], 1)
  half = tf.where(_choose(noise, 'cutout'), part * _SIDE * size / 2, 0.0)
  centre = noise[:, 2:] * size
  boxes = tf.round(
      tf.concat([centre - half[:, None], centre + half[:, None]], 1))
  return tf.where(box.cover(boxes, size), 0.0, images)
