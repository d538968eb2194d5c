"""rana_mix: two mixes of a pair, against NumPy, and what is mixed."""

import numpy as np

from trainer import noise as noise_lib
from trainer.augmentation import rana_mix

_B, _SIZE, _K = 6, 4, 3
_RARE = np.array([False, True, True])


def _batch(channels=4):
  rng = np.random.default_rng(0)
  images = rng.uniform(0, 255, (_B, _SIZE, _SIZE, channels)).astype(np.float32)
  labels = np.zeros([_B, _K], np.float32)
  # Pairs share classes 1 and 2, class 0 alone, and class 1.
  labels[:2, 1:] = labels[0, 0] = labels[2:4, 0] = labels[4:, 1] = 1
  labels[5, 2] = 1
  return images, labels, np.ones(_B, np.float32)


def _noise():
  noise = np.random.default_rng(1).random((_B, rana_mix.NUM_DRAWN))
  noise[::2, 0] = 0.1, 0.1, 0.8
  noise[::2, 1] = 0.2, 0.2, 0.9  # the first range, and the second
  return noise.astype(np.float32)


def _rotate(pixels, matrix):
  pixels = pixels.copy()
  pixels[..., :3] = np.abs(pixels[..., :3] @ np.array(matrix).T)
  return np.minimum(pixels, 255)


def _expect(images, noise, pair, degrees):
  """The mixes of a pair, in float64, by the matrices of the source."""
  starts = noise[2 * pair:2 * pair + 1, 4:]
  words = noise_lib.hash_words(starts, (1, *images.shape[1:])).numpy()[0]
  share = 0.35 + 0.3 * (words >> 8) / 2**24
  assert 0.34 < share.min() < 0.37 and 0.63 < share.max() < 0.66
  one, other = images[2 * pair:2 * pair + 2].astype(float)
  c, s = np.cos(np.radians(degrees[0])), np.sin(np.radians(degrees[0]))
  first = _rotate(share * one + (1 - share) * other,
                  [[c, 0, s], [0, 1, 0], [-s, 0, c]])
  c, s = np.cos(np.radians(degrees[1])), np.sin(np.radians(degrees[1]))
  return np.stack([first, _rotate(first, [[1, 0, 0], [0, c, -s], [0, s, c]])])


def test_a_pair_of_a_rare_class_becomes_two_mixes():
  images, labels, weights = _batch()
  noise = _noise()
  mixed, found = rana_mix.mix(images, labels, weights, noise, _RARE, 0.9)
  for pair, bounds in ((0, (60, 50)), (2, (120, 180))):
    degrees = (bounds[0] + bounds[1] * float(noise[2 * pair, 2]),
               90 + 30 * float(noise[2 * pair, 3]))
    np.testing.assert_allclose(mixed[2 * pair:2 * pair + 2],
                               _expect(images, noise, pair, degrees),
                               atol=2e-3)
  assert np.asarray(found)[:2].tolist() == [[0, 1, 1]] * 2
  assert np.asarray(found)[4:].tolist() == [[0, 1, 0]] * 2
  # Only a frequent class is shared.
  np.testing.assert_array_equal(mixed[2:4], images[2:4])
  np.testing.assert_array_equal(found[2:4], labels[2:4])


def test_other_pairs_and_padding_stay():
  images, labels, weights = _batch()
  weights[1] = 0
  mixed, found = rana_mix.mix(images, labels, weights, _noise(), _RARE, 0.5)
  np.testing.assert_array_equal(mixed, images)
  np.testing.assert_array_equal(found, labels)


def test_mixes_are_in_range_with_more_channels():
  images, labels, weights = _batch(channels=6)
  images[:] = 255
  mixed, _ = rana_mix.mix(images, labels, weights, _noise(), _RARE, 0.9)
  mixed = np.asarray(mixed)
  assert 0 <= mixed.min() and mixed.max() <= 255 + 1e-3
  np.testing.assert_allclose(mixed[..., 3:], 255, rtol=1e-6)
