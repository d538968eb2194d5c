"""resize: any number of channels gives the bytes of its planes."""

import numpy as np
import pytest

from hpa_records.images import resize


@pytest.mark.parametrize('name', resize.RESIZE_FILTERS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('num_channels', [1, 2, 3, 4, 5, 8, 16])
def test_channels_do_not_depend_on_each_other(num_channels, dtype, name):
  pixels = np.random.default_rng(0).integers(
      0, 256, (40, 30, num_channels)).astype(dtype)
  small = resize.resize(pixels, 13, name)
  assert small.shape == (13, 13, num_channels) and small.dtype == dtype
  for c in range(num_channels):
    plane = np.ascontiguousarray(pixels[..., c])
    np.testing.assert_array_equal(resize.resize(plane, 13, name), small[..., c])


def test_floats_are_resized_as_the_integers_are():
  pixels = np.random.default_rng(0).integers(0, 65536, (40, 30))
  deep = resize.resize(pixels.astype(np.uint16), 13)
  exact = resize.resize(pixels.astype(np.float32), 13)
  assert np.abs(deep - exact).max() <= 1.01
