"""Haralick's features and local binary patterns, by hand on small images."""

import numpy as np
import pytest

from trainer.descriptors import texture

# The image and the four matrices of Haralick et al., 1973, figure 3: which
# levels are neighbours at 0, 90, 135 and 45 degrees, and how often.
_IMAGE = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]],
                  np.uint8)
_PAIRS = [
    np.array(each) for each in (
        [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
        [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
        [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
        [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]],
    )
]


def _haralick(image):
  return dict(zip(texture.HARALICK_NAMES, texture.compute_haralick(image)))


def _patterns(image):
  return dict(zip(texture.PATTERN_NAMES, texture.compute_patterns(image)))


def _by_hand(compute):
  """Mean and range over directions of a function of the shares of pairs."""
  values = [compute(pairs / pairs.sum()) for pairs in _PAIRS]
  return np.mean(values), np.ptp(values)


@pytest.mark.parametrize('name,compute', [
    ('energy', lambda p: (p**2).sum()),
    ('contrast', lambda p: sum(p[i, j] * (8 * i - 8 * j)**2
                               for i in range(4)
                               for j in range(4))),
    ('sum_average', lambda p: sum(p[i, j] * (8 * i + 8 * j)
                                  for i in range(4)
                                  for j in range(4))),
    ('entropy', lambda p: -(p[p > 0] * np.log2(p[p > 0])).sum()),
])
def test_haralick_s_features_of_haralick_s_image(name, compute):
  found = _haralick(_IMAGE)  # levels 0, 8, 16, 24 of 32
  mean, span = _by_hand(compute)
  assert found[f'haralick_mean_{name}'] == pytest.approx(mean)
  assert found[f'haralick_range_{name}'] == pytest.approx(span)


def test_the_energy_of_haralick_s_image_is_the_sum_of_squares():
  squares = 84 / 24**2, 80 / 24**2, 38 / 18**2, 48 / 18**2
  assert _by_hand(lambda p: (p**2).sum())[0] == pytest.approx(np.mean(squares))


def test_levels_are_relative_to_the_brightest_pixel():
  image = np.arange(128, dtype=np.uint8).reshape(16, 8)
  np.testing.assert_array_equal(texture.compute_haralick(image),
                                texture.compute_haralick(2 * image + 1))


@pytest.mark.parametrize(
    'background,spot,expected',
    [
        # Only the bright pixel has neighbours that are all darker.
        (0, 9, {
            '0': 1 / 25,
            '8': 24 / 25
        }),
        # Beside the dark pixel three neighbours are darker, diagonally one.
        (9, 0, {
            '5': 4 / 25,
            '7': 4 / 25,
            '8': 17 / 25
        }),
    ])
def test_patterns_of_a_spot(background, spot, expected):
  image = np.full((7, 7), background, np.uint8)
  image[3, 3] = spot
  found = _patterns(image)
  for code in (*map(str, range(9)), 'other'):
    assert found[f'lbp_radius1_{code}'] == pytest.approx(expected.get(code, 0))


def test_patterns_are_shares():
  image = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
  found = texture.compute_patterns(image)
  assert found[:10].sum() == pytest.approx(1)
  assert found[10:].sum() == pytest.approx(1) and found[-1] > 0
