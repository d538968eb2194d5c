"""affine: moves against numpy."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import affine


def _images(count, size=8, channels=3):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def _move(images, zoom=1.0, degrees=0.0, shift=(0.0, 0.0)):
  count = len(images)
  return affine.move(images, tf.fill([count], zoom),
                     tf.fill([count], np.float32(np.radians(degrees))),
                     tf.tile(tf.constant([shift], tf.float32),
                             [count, 1])).numpy()


def test_no_move_is_exact():
  images = _images(3)
  np.testing.assert_array_equal(_move(images), images)


@pytest.mark.parametrize('size', [7, 8])
@pytest.mark.parametrize('turns', [1, 2, 3, -1])
def test_quarter_turns_are_those_of_numpy(size, turns):
  images = _images(2, size)
  want = np.rot90(images, turns, axes=(1, 2))
  np.testing.assert_allclose(_move(images, degrees=90 * turns), want, atol=.01)


@pytest.mark.parametrize('down,right', [(2, 0), (0, -3), (3, 1), (20, -9)])
def test_a_shift_shows_the_mirror_image_outside(down, right):
  images = _images(2)
  spare = 24
  padded = np.pad(images, ((0, 0), (spare, spare), (spare, spare), (0, 0)),
                  'symmetric')
  want = padded[:, spare - down:spare - down + 8,
                spare - right:spare - right + 8]
  np.testing.assert_allclose(_move(images, shift=(down, right)), want, atol=.01)


def test_half_a_pixel_is_the_mean_of_two():
  images = _images(1)
  want = (images[:, :, 1:].astype(float) + images[:, :, :-1]) / 2
  np.testing.assert_allclose(_move(images, shift=(0, .5))[:, :, 1:],
                             want,
                             atol=.01)


def test_zoom_enlarges_the_middle():
  ramp = np.tile(
      np.arange(8, dtype=np.uint8)[None, :, None, None] * 20, (1, 1, 8, 1))
  found = _move(ramp, zoom=2.0)[0, :, 0, 0]
  np.testing.assert_allclose(found, 70 + (np.arange(8) - 3.5) * 10, atol=.01)


def test_each_image_has_its_own_move():
  images = np.repeat(_images(1), 3, axis=0)
  found = affine.move(images, tf.constant([1.0, 2.0, 1.0]),
                      tf.constant([0.0, 0.0, np.pi]), tf.zeros([3, 2])).numpy()
  np.testing.assert_array_equal(found[0], images[0])
  np.testing.assert_allclose(found[2], images[0, ::-1, ::-1], atol=.01)
  assert np.abs(found[1] - found[0]).max() > 1


def test_draws_stay_within_their_magnitudes():
  noise = np.random.default_rng(0).random((1000, 4)).astype(np.float32)
  zooms, angles, shifts = affine.draw(noise, 100, 0.5, 0.1, 30)
  for found, least, most in ((zooms, 1 / 1.5, 1.5), (np.degrees(angles), -30,
                                                     30), (shifts, -10, 10)):
    found = np.asarray(found)
    assert least <= found.min() < least * .97 + most * .03
    assert least * .03 + most * .97 < found.max() <= most
