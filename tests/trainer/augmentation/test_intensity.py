"""intensity: factors, exponents, noise and dropped channels."""

import numpy as np

from hpa_records.runtime import tensorflow
from trainer.augmentation import intensity


def _images(shape=(2, 5, 5, 3)):
  rng = np.random.default_rng(0)
  return rng.uniform(0, 255, shape).astype(np.float32)


def test_factors_and_exponents_follow_their_formulas():
  images = _images()
  images[:, 0] = 0
  change = np.array([[1, 0.5, 3], [2, 1, 1]], np.float32)
  scaled = intensity.multiply(images, change).numpy()
  np.testing.assert_allclose(scaled,
                             np.minimum(images * change[:, None, None], 255),
                             rtol=1e-6)
  powers = intensity.apply_gamma(images, change).numpy()
  np.testing.assert_allclose(powers,
                             255 * (images / 255)**change[:, None, None],
                             rtol=1e-4)
  assert not scaled[:, 0].any() and not powers[:, 0].any()


def test_factors_are_even_in_both_directions():
  noise = np.random.default_rng(0).random((20000, 2)).astype(np.float32)
  found = intensity.draw_factors(noise, 0.5).numpy()
  assert 1 / 1.5 <= found.min() < 0.67 and 1.49 < found.max() <= 1.5
  assert abs(np.log(found).mean()) < 0.01


def test_noise_has_its_deviation_and_stays_in_range():
  images = np.full((3, 64, 64, 3), 128, np.float32)
  images[2] = 0
  starts = np.random.default_rng(0).random((3, 2)).astype(np.float32)
  add = tensorflow.compiled(intensity.add_noise)
  found = add(images, starts, np.array([10, 0, 10], np.float32)).numpy()
  added = found[0] - 128
  assert abs(added.mean()) < 0.4 and abs(added.std() / 10 - 1) < 0.03
  # Neighbours in each direction are independent.
  for axis in range(3):
    first = np.take(added, range(added.shape[axis] - 1), axis).ravel()
    second = np.take(added, range(1, added.shape[axis]), axis).ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04
  np.testing.assert_array_equal(found[1], images[1])
  assert found[2].min() == 0 and 3 < found[2].mean() < 5


def test_channels_are_dropped_but_never_all():
  noise = np.random.default_rng(0).random((4000, 3)).astype(np.float32)
  kept = intensity.draw_kept(noise, 0.3).numpy()
  assert set(np.unique(kept)) == {0.0, 1.0} and kept.any(axis=1).all()
  assert abs((1 - kept).mean() - (0.3 - 0.3**3 / 3)) < 0.02
  assert intensity.draw_kept(noise, 0.99).numpy().sum() < 4150
  assert intensity.draw_kept(noise[:, :1], 0.99).numpy().all()
