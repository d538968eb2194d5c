"""intensity: levels from pixels and histograms; exact scaling to 8 bits."""

import fractions
import math

import numpy as np
import pytest

from hpa_records.images import intensity
from hpa_records.runtime import errors

_HALF = fractions.Fraction(1, 2)
_RNG = np.random.default_rng(0)


@pytest.mark.parametrize('low,high', [(0, 1), (0, 254), (0, 255), (0, 4095),
                                      (0, 65535), (100, 4095), (65534, 65535)])
def test_integers_become_the_rounded_share_of_white(low, high):
  values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
  scaled = intensity.scale(values, [(low, high)])
  want = [
      math.floor(
          fractions.Fraction(255 * min(max(v - low, 0), high - low), high -
                             low) + _HALF) for v in range(65536)
  ]
  assert scaled.dtype == np.uint8 and scaled.ravel().tolist() == want
  floats = intensity.scale(values.astype(np.float32), [(low, high)])
  assert floats.dtype == np.uint8
  np.testing.assert_array_equal(floats, scaled)


# OpenCV's vectors, and what is left at the end of a row.
@pytest.mark.parametrize('white', [255, 4095, 16383, 65535])
@pytest.mark.parametrize('shape', [(1, 65536, 1), (65536, 1, 1), (13107, 5, 1),
                                   (1024, 16, 4), (257, 15, 17)])
def test_any_shape_is_scaled_to_the_same_values(shape, white):
  values = np.arange(65536)[-math.prod(shape):]
  scaled = intensity.scale(
      values.astype(np.uint16).reshape(shape), [(0, white)] * shape[2])
  want = (510 * values + white) // (2 * white)
  np.testing.assert_array_equal(scaled, np.minimum(want, 255).reshape(shape))


def test_each_channel_has_its_levels():
  image = np.full((2, 2, 3), 100, np.uint8)
  found = intensity.scale(image, [None, (0, 200), (100, 100)])
  assert found[0, 0].tolist() == [100, 128, 0]
  assert intensity.scale(image, [None] * 3) is image


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_equal_levels_give_black_up_to_them_and_white_above(dtype):
  values = np.array([[[6], [7], [8]]], dtype)
  assert intensity.scale(values, [(7, 7)]).ravel().tolist() == [0, 0, 255]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('percentiles', [(0, 100), (0.1, 99.9), (50, 75)])
def test_percentiles_of_an_image_are_numpys(dtype, percentiles):
  plane = _RNG.normal(120, 30, (100, 99)).clip(0, 255).astype(dtype)
  found = intensity.find_levels(
      intensity.Rule('percentiles', percentiles=percentiles), plane, 0)
  want = np.percentile(plane, percentiles, method='inverted_cdf')
  assert found == tuple(want.tolist())


def test_a_percentile_is_taken_as_typed():
  plane = np.arange(1000, dtype=np.uint16).reshape(10, 100)
  rule = intensity.Rule('percentiles', percentiles=(0.1, 99.9))
  assert intensity.find_levels(rule, plane, 0) == (0, 998)


@pytest.mark.parametrize('scope', ['plate', 'dataset'])
def test_other_levels_than_an_image_s_are_given(scope):
  rule = intensity.Rule('percentiles', of=scope)
  with pytest.raises(ValueError, match=f'levels of the {scope}'):
    intensity.find_levels(rule, np.zeros((2, 2), np.uint8), 0)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_summed_histograms_give_the_levels_of_all_pixels(dtype):
  planes = [
      _RNG.integers(0, high, (50, 60)).astype(dtype) for high in (7, 90, 200)
  ]
  counts = sum(intensity.histogram(each) for each in planes)
  assert counts.shape == (intensity.NUM_BINS,)
  found = intensity.percentile_levels(counts, str(planes[0].dtype), (1, 99))
  want = np.percentile(np.stack(planes), (1, 99), method='inverted_cdf')
  assert found == tuple(want.tolist())


def test_levels_of_floats_have_8_significant_bits():
  plane = _RNG.normal(0, 1000, (100, 100)).astype(np.float32)
  found = intensity.percentile_levels(intensity.histogram(plane), 'float32',
                                      (2, 98))
  exact = np.percentile(plane, (2, 98), method='inverted_cdf')
  assert found[0] < 0 < found[1]
  np.testing.assert_allclose(found, exact, rtol=2**-8)
  for each in found:
    mantissa, _ = math.frexp(each)
    assert (mantissa * 2**8).is_integer()


@pytest.mark.parametrize('value', [
    0.0, -0.0, 1.0, -1.0, 1e-45, 3.4028234663852886e38, -3.4028234663852886e38
])
def test_histograms_take_all_finite_floats(value):
  counts = intensity.histogram(np.full((3, 5), value, np.float32))
  low, high = intensity.percentile_levels(counts, 'float32', (0, 100))
  assert counts.sum() == 15 and low == high and math.isfinite(low)
  assert math.isclose(low, value, rel_tol=2**-8, abs_tol=1e-40)


@pytest.mark.parametrize('rule,received', [
    (intensity.Rule('half_scale'), "received 'half_scale'"),
    (intensity.Rule('percentiles', of='well'), "received 'well'"),
    (intensity.Rule('percentiles', percentiles=(5, 5)), r'received \(5, 5\)'),
    (intensity.Rule('percentiles', percentiles=(0, 101)), r'received \(0, 101'),
    (intensity.Rule(white_levels=(1, 2)), r'received \(1, 2\)'),
    (intensity.Rule(white_levels=(1, 2, 0)), 'received'),
    (intensity.Rule(white_levels=(1, 2, math.nan)), 'received'),
])
def test_other_rules_are_refused(rule, received):
  with pytest.raises(errors.DataError, match=received):
    intensity.check(rule, 3)


def test_valid_rules_pass():
  intensity.check(intensity.Rule(), 3)
  intensity.check(intensity.Rule(white_levels=(1, 2, 0.5)), 3)
  intensity.check(intensity.Rule('percentiles', percentiles=(0.1, 99.9)), 3)


@pytest.mark.parametrize('rule,taken', [
    (intensity.Rule(), {'uint8'}),
    (intensity.Rule('full_scale'), {'uint8', 'uint16'}),
    (intensity.Rule('full_scale', white_levels=(9,)), {'uint8', 'uint16'}),
    (intensity.Rule(white_levels=(9,)),
     {'uint8', 'uint16', 'float32', 'float64'}),
    (intensity.Rule('percentiles'), {'uint8', 'uint16', 'float32', 'float64'}),
])
def test_a_rule_says_which_depths_it_takes(rule, taken):
  assert {
      depth for depth in ('uint8', 'uint16', 'float32', 'float64')
      if not intensity.explain_refusal(rule, depth)
  } == taken
