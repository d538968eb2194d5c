"""Zernike moments and threshold adjacency, by hand on small images."""

import numpy as np
import pytest

from trainer.descriptors import shape


def _zernike(image):
  return dict(zip(shape.ZERNIKE_NAMES, shape.compute_zernike(image)))


def _adjacency(image):
  return dict(zip(shape.ADJACENCY_NAMES, shape.compute_adjacency(image)))


def test_moments_of_one_pixel_are_the_polynomials_at_the_centre():
  image = np.zeros((16, 16), np.uint8)
  image[5, 9] = 200
  found = _zernike(image)
  # |Z(n, 0)| = (n + 1) / pi |R(n, 0)(0)|, and |R(n, 0)(0)| = 1.
  for name, value in found.items():
    _, n, l = name.split('_')
    expected = (int(n) + 1) / np.pi if l == '0' else 0
    assert value == pytest.approx(expected, abs=1e-6), name


def test_moments_of_two_pixels():
  image = np.zeros((17, 17), np.uint8)
  image[8, 4] = image[8, 12] = 50  # 4 px from the centre of a disc of 8.5 px
  found, r = _zernike(image), 4 / 8.5
  assert found['zernike_1_1'] == pytest.approx(0, abs=1e-9)
  assert found['zernike_2_0'] == pytest.approx(3 / np.pi * (1 - 2 * r**2))
  assert found['zernike_2_2'] == pytest.approx(3 / np.pi * r**2)


def test_moments_do_not_change_when_the_image_is_turned():
  image = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
  image[:8] = 0
  np.testing.assert_allclose(shape.compute_zernike(image),
                             shape.compute_zernike(np.rot90(image)),
                             atol=1e-12)


def test_adjacency_of_a_block():
  image = np.zeros((10, 10), np.uint8)
  image[4:7, 4:7] = 200
  found = _adjacency(image)
  # Around nine pixels: 4 with one neighbour, 8 with two, 4 with three.
  outside = {0: 75, 1: 4, 2: 8, 3: 4}
  # In them: the middle, four sides and four corners.
  inside = {0: 1, 3: 4, 5: 4}
  for count in range(9):
    assert found[f'adjacency_above_{count}'] == pytest.approx(
        outside.get(count, 0) / 91)
    assert found[f'adjacency_not_above_{count}'] == pytest.approx(
        inside.get(count, 0) / 9)
  # None is nearer to the mean than a deviation of 0.
  assert found['adjacency_near_0'] == 1
  assert found['adjacency_not_near_0'] == 0
