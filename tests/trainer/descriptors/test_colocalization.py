"""Correlation and overlap of channels, by hand on four pixels."""

import numpy as np
import pytest

from trainer.descriptors import colocalization


def _compute(*channels):
  image = np.stack([np.reshape(each, (2, 2)) for each in channels], axis=-1)
  return colocalization.compute(image.astype(np.uint8))


@pytest.mark.parametrize('first,second,expected', [
    ([1, 2, 3, 4], [2, 4, 6, 8], [1, 1, 7 / 10, 14 / 20]),
    ([1, 2, 3, 4], [4, 3, 2, 1], [-1, 20 / 30, 3 / 10, 3 / 10]),
    ([0, 0, 30, 10], [0, 20, 20, 0],
     [200 / (600 * 400)**.5, 600 / (1000 * 800)**.5, 3 / 4, 1 / 2]),
    ([0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]),
    ([9, 9, 9, 9], [9, 9, 9, 9], [0, 1, 1, 1]),
])
def test_of_two_channels(first, second, expected):
  assert _compute(first, second)[0] == pytest.approx(expected)


def test_pairs_are_in_order_and_one_channel_has_none():
  rng = np.random.default_rng(0)
  channels = rng.integers(0, 256, (3, 4))
  found = _compute(*channels)
  assert colocalization.list_pairs(3) == [(0, 1), (0, 2), (1, 2)]
  for row, (a, b) in zip(found, colocalization.list_pairs(3)):
    np.testing.assert_allclose(row, _compute(channels[a], channels[b])[0])
    assert row[0] == pytest.approx(np.corrcoef(channels[a], channels[b])[0, 1])
  assert _compute(channels[0]).shape == (0, 4)
