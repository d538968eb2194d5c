"""crop: a square around the center, cut or padded."""

import math

import numpy as np
import pytest

from hpa_records.images import crop
from hpa_records.runtime import errors

_PLANE = np.arange(1, 36, dtype=np.uint16).reshape(5, 7)


@pytest.mark.parametrize('side', range(1, 12))
def test_the_square_is_the_center_of_the_padded_plane(side):
  found = crop.cut(_PLANE, side, 0)
  assert found.shape == (side, side) and found.dtype == np.uint16
  padded = np.pad(_PLANE, 20)
  top, left = 20 + (5 - side) // 2, 20 + (7 - side) // 2
  np.testing.assert_array_equal(found, padded[top:top + side, left:left + side])


def test_padding_has_the_black_level():
  found = crop.cut(_PLANE.astype(np.float32), 9, -3.5)
  assert (found[0] == -3.5).all() and found[4, 4] == _PLANE[2, 3]


@pytest.mark.parametrize('image_um,stored_um,side', [(1, 1, 100), (0.5, 1, 200),
                                                     (0.8, 0.6, 75),
                                                     (1, 0.005, 1),
                                                     (1, 0.015, 2)])
def test_the_side_is_rounded_half_up(image_um, stored_um, side):
  assert crop.find_side(100, image_um, stored_um, 8192) == side


@pytest.mark.parametrize('image_um,stored_um', [(1e-12, 1), (1e-320, 1),
                                                (1, 1e-9)])
def test_a_side_out_of_range_is_refused(image_um, stored_um):
  with pytest.raises(errors.DataError, match='um of the file'):
    crop.find_side(100, image_um, stored_um, 8192)


@pytest.mark.parametrize('pixel_um', [0, -1, math.nan, math.inf])
def test_other_pixel_sizes_are_refused(pixel_um):
  with pytest.raises(errors.DataError, match='above 0 micrometers'):
    crop.check_um(pixel_um)
  assert crop.check_um(0.65) == 0.65
