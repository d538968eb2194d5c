"""All descriptors: always the same columns, always finite numbers."""

import numpy as np
import pytest

from trainer.descriptors import catalog
from trainer.descriptors import colocalization
from trainer.descriptors import granularity


def _spot(size_px, num_channels):
  image = np.zeros((size_px, size_px, num_channels), np.uint8)
  image[3, 4] = 1
  return image


@pytest.mark.parametrize('num_channels,count', [(1, 141), (2, 286), (16, 2736)])
@pytest.mark.parametrize('make', [
    lambda *shape: np.zeros(shape, np.uint8),
    lambda *shape: np.full(shape, 255, np.uint8),
    lambda *shape: np.full(shape, 7, np.uint8),
    lambda *shape: np.random.default_rng(0).integers(0, 256, shape, np.uint8),
    lambda height, _, channels: _spot(height, channels),
])
@pytest.mark.parametrize('size_px', [catalog.SMALLEST_PX, 16])
def test_numbers_are_finite_and_as_many_as_names(num_channels, count, make,
                                                 size_px):
  names = catalog.name_all([f'channel{c}' for c in range(num_channels)])
  found = catalog.compute(make(size_px, size_px, num_channels))
  assert len(set(names)) == count and found.shape == (count,)
  assert found.dtype == np.float32 and np.isfinite(found).all()


def test_a_name_says_descriptor_and_channels():
  image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
  found = dict(zip(catalog.name_all(['a', 'b', 'c']), catalog.compute(image)))
  spectrum = granularity.compute(np.ascontiguousarray(image[..., 1]))
  assert found['granularity_2px:b'] == pytest.approx(spectrum[1])
  pair = colocalization.compute(image[..., 1:])[0]
  assert found['pearson:b:c'] == pytest.approx(pair[0], rel=1e-5)
