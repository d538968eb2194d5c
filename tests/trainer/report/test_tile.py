"""tile: the strip's order, colours and sizes."""

import cv2
import hypothesis
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.inspection import figure
from tests.support import fakes
from tests.support import specs
from trainer.report import tile

_GAP = 4
_SPEC = description.default().spec(32)


def _parts(strip, width, count):
  """The pictures of a strip, which are to have white between them."""
  assert strip.shape[1] == count * width + (count - 1) * _GAP
  edges = [i * (width + _GAP) for i in range(count)]
  for edge in edges[1:]:
    assert (strip[:, edge - _GAP:edge] == 255).all()
  return [strip[:, edge:edge + width] for edge in edges]


def test_channels_then_composite_then_maps():
  image = fakes.image(3, 32)
  left = np.zeros((4, 4), np.float32)
  left[:, 0] = 7
  strip = tile.strip(image, [left, left[:, ::-1]], _SPEC)
  assert strip.dtype == np.uint8 and strip.shape[0] == 32
  parts = _parts(strip, 32, 7)
  zero = np.zeros_like(image[..., 0])
  for part, planes in zip(parts, ((image[..., 0], zero, zero),
                                  (zero, image[..., 1], zero),
                                  (zero, zero, image[..., 2]),
                                  (image[..., 3], image[..., 3], zero))):
    np.testing.assert_array_equal(part, np.stack(planes, axis=-1))
  np.testing.assert_array_equal(parts[4], figure.composite(image, _SPEC))
  red = [part[..., 0].astype(int) - part[..., 2] for part in parts[5:]]
  assert red[0][:, :4].min() > 150 and not red[0][:, -8:].any()
  assert red[1][:, -4:].min() > 150 and not red[1][:, :8].any()


@pytest.mark.parametrize('num_channels', [1, 3, 5, 16])
def test_any_channels_each_in_its_color(num_channels):
  spec = specs.make(32, num_channels)
  image = np.zeros((8, 8, num_channels), np.uint8)
  image[..., -1] = 255
  parts = _parts(tile.strip(image, [np.ones((2, 2))], spec), 8,
                 num_channels + 2)
  for part in parts[num_channels - 1:num_channels + 1]:  # and the composite
    assert (part == spec.channels[-1].rgb).all()
  assert not any(part.any() for part in parts[:num_channels - 1])


def test_heat_goes_from_gray_over_red_to_yellow_by_the_maps_own_maximum():
  image = np.full((8, 8, 4), 60, np.uint8)
  steps = np.repeat(np.float32([[0, 1, 2]]), 3, axis=0)
  image = cv2.resize(image, (3, 3))  # a pixel of the map each
  small, large = (_parts(tile.strip(image, [each], _SPEC), 3, 6)[5]
                  for each in (steps, steps * 1000))
  np.testing.assert_array_equal(small, large)
  none, half, full = small[0].astype(int)
  assert none[0] == none[1] == none[2] > 0
  assert half[0] > half[1] + 50 and half[1] == half[2]
  assert full[0] - full[1] < 10 and full[1] > full[2] + 100
  assert none.sum() < half.sum() < full.sum()  # seen without colours too


def test_a_map_of_zeros_leaves_the_image_in_gray():
  image = fakes.image(1, 16)
  part = _parts(tile.strip(image, [np.zeros((2, 2), np.float16)], _SPEC), 16,
                6)[5]
  assert part.any()
  np.testing.assert_array_equal(part, part[..., :1].repeat(3, axis=-1))
  gray = cv2.cvtColor(figure.composite(image, _SPEC), cv2.COLOR_RGB2GRAY)
  assert np.corrcoef(part[..., 0].ravel(), gray.ravel())[0, 1] > 0.999


@hypothesis.settings(deadline=None, derandomize=True, max_examples=50)
@hypothesis.given(
    arrays.arrays(np.float32,
                  arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
                  elements=st.floats(0, 2.0**100, width=32)))
def test_any_map_gives_a_picture(weights):
  image = fakes.image(2, 24)
  part = _parts(tile.strip(image, [weights], _SPEC), 24, 6)[5].astype(int)
  assert part.shape == (24, 24, 3)
  # Heat never turns blue.
  assert (part[..., 0] >= part[..., 1]).all()
  assert (part[..., 1] >= part[..., 2]).all()


@pytest.mark.parametrize('shape,want', [((400, 400), (200, 200)),
                                        ((299, 299), (200, 200)),
                                        ((400, 200), (200, 100)),
                                        ((200, 300), (200, 300)),
                                        ((20, 30), (20, 30))])
def test_a_large_image_is_reduced_by_area(shape, want):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (*shape, 4), np.uint8)
  parts = _parts(tile.strip(image, [], _SPEC), want[1], 5)
  assert parts[0].shape == (*want, 3)
  for c in (0, 1, 2):
    assert abs(parts[c][..., c].mean() - image[..., c].mean()) < 0.6
  if shape == (400, 400):
    blocks = image.reshape(200, 2, 200, 2, 4).mean(axis=(1, 3))
    assert np.abs(parts[1][..., 1] - blocks[..., 1]).max() <= 0.5


def test_webp_keeps_colours_in_their_places():
  image = np.zeros((40, 60, 3), np.uint8)
  image[:, :20, 0], image[:, 20:40, 1], image[:, 40:, 2] = 255, 255, 255
  data = tile.to_webp(image)
  assert data[:4] == b'RIFF' and data[8:12] == b'WEBP'
  assert data == tile.to_webp(image)
  back = cv2.imdecode(np.frombuffer(data, np.uint8),
                      cv2.IMREAD_COLOR)[..., ::-1]
  for c, columns in enumerate((slice(4, 16), slice(24, 36), slice(44, 56))):
    mean = back[:, columns].mean(axis=(0, 1))
    assert mean[c] > 230 and np.delete(mean, c).max() < 40
