"""rand_augment: each operation against numpy and Pillow."""

import numpy as np
from PIL import Image
from PIL import ImageEnhance
from PIL import ImageOps
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import rand_augment

_SIZE = 28  # an eighth of the 224 pixels whose ranges are theirs
_THIRD = 10  # magnitude of SIFLoc


def _images():
  """Three images of three channels: noise, few values, and black."""
  rng = np.random.default_rng(0)
  images = rng.integers(30, 200, (3, _SIZE, _SIZE, 3), dtype=np.uint8)
  images[1] = rng.integers(0, 4, images[1].shape) * 21
  images[2, ..., 0] = 0
  return images


def _apply(images, name, sign=0.9, place=(0.5, 0.5)):
  """Returns images after one operation, uint8."""
  number = (rand_augment.OPERATIONS.index(name) + 0.5) / 14
  noise = np.tile(np.float32([number, sign, *place]), (len(images), 1))
  found = rand_augment.apply(tf.constant(images, tf.float32),
                             tf.constant(noise), _THIRD).numpy()
  np.testing.assert_array_equal(found, np.round(found))
  assert found.min() >= 0 and found.max() <= 255
  return found.astype(np.uint8)


def _by_channel(images, function):
  """Returns images whose channels went through Pillow."""
  return np.stack([
      np.stack([
          np.asarray(function(Image.fromarray(channel)))
          for channel in np.moveaxis(image, -1, 0)
      ], -1)
      for image in images
  ])


@pytest.mark.parametrize('name,function,tolerance', [
    ('autocontrast', ImageOps.autocontrast, 1),
    ('equalize', ImageOps.equalize, 0),
    ('invert', ImageOps.invert, 0),
    ('posterize', lambda image: ImageOps.posterize(image, 1), 0),
    ('solarize', lambda image: ImageOps.solarize(image, 85), 0),
    ('contrast', lambda image: ImageEnhance.Contrast(image).enhance(0.7), 1),
    ('sharpness', lambda image: ImageEnhance.Sharpness(image).enhance(0.7), 1),
])
def test_changes_of_intensities_are_pillow_s(name, function, tolerance):
  images = _images()
  expected = _by_channel(images, function).astype(int)
  found = _apply(images, name)
  assert np.abs(found - expected).max() <= tolerance
  assert (found != images).any()


def test_solarize_add_adds_to_dark_values():
  images = _images()
  expected = np.where(images < 128, images + 36, images)
  np.testing.assert_array_equal(_apply(images, 'solarize_add'), expected)


def _sample(images, rows, columns):
  """Bilinear values at places, mirrored outside; in float64."""
  found = np.zeros(images.shape)
  mirrored = np.pad(images.astype(float),
                    ((0, 0), (_SIZE, _SIZE), (_SIZE, _SIZE), (0, 0)),
                    'symmetric')
  for y in range(_SIZE):
    for x in range(_SIZE):
      row, column = rows(y, x) + _SIZE, columns(y, x) + _SIZE
      top, left = int(np.floor(row)), int(np.floor(column))
      down, right = row - top, column - left
      part = mirrored[:, top:top + 2, left:left + 2]
      found[:, y,
            x] = ((part[:, 0, 0] * (1 - right) + part[:, 0, 1] * right) *
                  (1 - down) + (part[:, 1, 0] *
                                (1 - right) + part[:, 1, 1] * right) * down)
  return found


_MIDDLE = (_SIZE - 1) / 2
_COS, _SIN = np.cos(np.pi / 18), np.sin(np.pi / 18)


@pytest.mark.parametrize('sign', [1, -1])
@pytest.mark.parametrize('name,rows,columns', [
    ('rotate', lambda y, x, s: _COS * y + s * _SIN * x,
     lambda y, x, s: _COS * x - s * _SIN * y),
    ('shear_x', lambda y, x, s: y, lambda y, x, s: x + .1 * s * y),
    ('shear_y', lambda y, x, s: y + .1 * s * x, lambda y, x, s: x),
    ('translate_x', lambda y, x, s: y, lambda y, x, s: x + s * 100 / 24),
    ('translate_y', lambda y, x, s: y + s * 100 / 24, lambda y, x, s: x),
])
def test_moves_are_bilinear(name, rows, columns, sign):
  images = _images()

  def about_centre(function):
    return lambda y, x: function(y - _MIDDLE, x - _MIDDLE, sign) + _MIDDLE

  expected = _sample(images, about_centre(rows), about_centre(columns))
  found = _apply(images, name, 0.5 + 0.4 * sign)
  assert np.abs(found - expected).max() < 0.51


def test_a_cutout_is_a_black_square_with_its_centre_in_the_image():
  images = _images()
  expected = images.copy()
  # Of side 40 / 8 / 3 about (14, 0): 13.2 to 14.8, rounded.
  expected[:, 13:15, :1] = 0
  np.testing.assert_array_equal(_apply(images, 'cutout', place=(0.5, 0)),
                                expected)


def test_each_image_has_its_own_operation():
  images = np.repeat(_images()[:1], 3, axis=0)
  for first in range(0, 14, 3):
    numbers = np.arange(first, first + 3) % 14
    noise = np.tile(np.float32([0, .9, .5, .5]), (3, 1))
    noise[:, 0] = (numbers + .5) / 14
    found = rand_augment.apply(tf.constant(images, tf.float32),
                               tf.constant(noise), _THIRD).numpy()
    for number, image in zip(numbers, found):
      name = rand_augment.OPERATIONS[number]
      np.testing.assert_array_equal(image, _apply(images, name)[0], name)
