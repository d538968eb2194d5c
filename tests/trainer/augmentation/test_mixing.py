"""mixing: MixUp and CutMix of neighbours, and of their labels."""

import numpy as np
import pytest

from trainer.augmentation import mixing

_B, _SIZE = 6, 8


def _batch(weights=(1,) * _B):
  rng = np.random.default_rng(0)
  images = rng.uniform(0, 255, (_B, _SIZE, _SIZE, 2)).astype(np.float32)
  labels = (rng.random((_B, 5)) < 0.4).astype(np.float32)
  return images, labels, np.array(weights, np.float32)


def _noise(count):
  rng = np.random.default_rng(1)
  return rng.random((count, mixing.NUM_DRAWN)).astype(np.float32)


_PARTNER = [1, 0, 3, 2, 5, 4]


def test_mixup_blends_pixels_and_labels_alike():
  images, labels, weights = _batch()
  parts, boxes = mixing.draw(_noise(_B), _SIZE, 0.4, 0.0)
  mixed, found = mixing.mix(images, labels, weights, parts, boxes)
  part = np.asarray(parts)[:, None]
  assert len(set(part.ravel())) == _B and not np.asarray(boxes).any()
  np.testing.assert_allclose(found,
                             (1 - part) * labels + part * labels[_PARTNER],
                             atol=1e-6)
  part = part[..., None, None]
  np.testing.assert_allclose(mixed,
                             (1 - part) * images + part * images[_PARTNER],
                             atol=1e-3)


def test_cutmix_labels_have_the_area_of_the_box():
  images, labels, weights = _batch()
  images = np.repeat(np.arange(_B, dtype=np.float32), _SIZE**2 * 2)
  images = images.reshape(_B, _SIZE, _SIZE, 2)
  labels = np.eye(_B, dtype=np.float32)
  parts, boxes = mixing.draw(_noise(_B), _SIZE, 0.0, 1.0)
  mixed, found = mixing.mix(images, labels, weights, parts, boxes)
  mixed = mixed.numpy()
  is_own = mixed == images
  assert ((mixed == images[_PARTNER]) ^ is_own).all()
  area = (~is_own).mean((1, 2, 3))
  assert 0 < area.mean() < 1 and not np.asarray(parts).any()
  np.testing.assert_allclose(found,
                             np.eye(_B) * (1 - area)[:, None] +
                             np.eye(_B)[_PARTNER] * area[:, None],
                             atol=1e-6)


def test_padding_is_not_mixed_in_and_nothing_is_at_share_0():
  images, labels, weights = _batch((1, 1, 1, 0, 0, 0))
  images[3:], labels[3:] = 0, 0
  mixed, found = mixing.mix(images, labels, weights,
                            *mixing.draw(_noise(_B), _SIZE, 0.5, 0.5))
  np.testing.assert_array_equal(mixed[2], images[2])
  np.testing.assert_array_equal(found[2], labels[2])
  assert np.abs(mixed[0] - images[0]).max() > 1
  assert np.isfinite(mixed).all() and np.isfinite(found).all()
  mixed, found = mixing.mix(images, labels, weights, np.zeros(_B, np.float32),
                            np.zeros((_B, 4), np.float32))
  np.testing.assert_array_equal(mixed, images)
  np.testing.assert_array_equal(found, labels)


def test_with_both_a_coin_chooses():
  parts, boxes = map(np.asarray, mixing.draw(_noise(4000), 100, 0.5, 0.5))
  blended, cut = parts > 0, boxes.any(axis=1)
  assert not (blended & cut).any() and 0.46 < blended.mean() < 0.54
  assert cut.mean() > 0.4


@pytest.mark.parametrize('alpha', [0.01, 0.2, 1.0, 8.0, 999.0])
def test_shares_have_the_moments_of_the_beta_distribution(alpha):
  noise = np.random.default_rng(2).random((200000, 2)).astype(np.float32)
  noise[:2] = [[0, 0.25], [1 - 2**-23, 0.75]]
  found = mixing.draw_shares(noise, alpha).numpy().astype(float)
  assert 0 <= found.min() and found.max() <= 1
  variance = 1 / (4 * (2 * alpha + 1))
  fourth = 3 * variance**2 * (2 * alpha + 1) / (2 * alpha + 3)
  centred = found - 0.5
  assert abs(centred.mean()) < 5 * np.sqrt(variance / len(found))
  assert np.mean(centred**2) == pytest.approx(variance, rel=0.02)
  assert np.mean(centred**4) == pytest.approx(fourth, rel=0.04)


def test_shares_of_alpha_1_are_uniform():
  noise = np.random.default_rng(3).random((100000, 2)).astype(np.float32)
  found = mixing.draw_shares(noise, 1.0).numpy()
  counts, _ = np.histogram(found, 10, (0, 1))
  assert np.abs(counts / 10000 - 1).max() < 0.06
