"""Intensity rules: how the pixels of an image file become 0..255.

A rule gives each channel a black and a white level. After the resize a pixel
becomes round(255 * clip((v - black) / (white - black), 0, 1)), halves up.

  full_scale: 8-bit pixels as they are, 16-bit ones by 65535; floating-point
    pixels have no full scale and are refused.
  white_level: 8-bit pixels as they are, others from 0 to the white level.
  percentiles: of the original pixels of each channel, of all depths; over an
    image, a plate or the dataset.

The percentile p of n pixels is the least of them that at least p % of all do
not exceed: always one of the values, and the same whether pixels or a histogram
are counted. A histogram of floating-point pixels counts them rounded to 8
significant bits.

Source: np.percentile(method='inverted_cdf').
"""

import dataclasses
import fractions
import functools
import math
from typing import Sequence

import cv2
import numpy as np

from hpa_records.runtime import errors

RULES = ('full_scale', 'white_level', 'percentiles')
SCOPES = ('image', 'plate', 'dataset')
NUM_BINS = 2**16  # of a histogram
Levels = tuple[float, float]  # black and white


@dataclasses.dataclass(frozen=True)
class Rule:
  """An intensity rule.

  Attributes:
    name: one of RULES.
    white_levels: for 'white_level', the intensity of each channel that becomes
      255; () if not given, then only 8-bit files can be read.
    percentiles: for 'percentiles', those that become 0 and 255, in percent.
    of: for 'percentiles', one of SCOPES.
  """
  name: str = 'white_level'
  white_levels: tuple[float, ...] = ()
  percentiles: tuple[float, float] = (0, 100)
  of: str = 'image'


def check(rule: Rule, num_channels: int) -> None:
  """Checks the values of a rule.

  Args:
    rule: to be checked.
    num_channels: C.

  Raises:
    errors.DataError: a value is unknown or out of range.
  """
  wrong = ''
  if rule.name not in RULES:
    wrong = f'one of {", ".join(RULES)}, received {rule.name!r:.80}'
  elif rule.of not in SCOPES:
    wrong = f'of one of {", ".join(SCOPES)}, received {rule.of!r:.80}'
  elif rule.white_levels and (len(rule.white_levels) != num_channels or
                              not all(0 < each < math.inf
                                      for each in rule.white_levels)):
    wrong = (f'with {num_channels} white levels above 0, received '
             f'{rule.white_levels}')
  elif not 0 <= rule.percentiles[0] < rule.percentiles[1] <= 100:
    wrong = f'with percentiles of 0 <= low < high <= 100, received ' \
            f'{rule.percentiles}'
  if wrong:
    raise errors.DataError(f'Expected an intensity rule {wrong}.')


def explain_refusal(rule: Rule, depth: str) -> str:
  """Returns why files of a depth cannot be read with a rule; '' if they can.

  Args:
    rule: as passed by check.
    depth: 'uint8', 'uint16', 'float32' or 'float64'.
  """
  if rule.name == 'percentiles' or depth == 'uint8':
    return ''
  if rule.name == 'white_level' and rule.white_levels:
    return ''
  if depth.startswith('float'):
    return ('expected integer pixels, received floating-point '
            f'{depth.removeprefix("float")}-bit; give an intensity rule with '
            'white levels or percentiles')
  if rule.name == 'full_scale':
    return ''
  return ('expected 8-bit pixels, received 16-bit; pass --white_level=N, the '
          'intensity that becomes 255: 65535, or 4095 for a 12-bit camera')


def find_levels(rule: Rule, plane: np.ndarray, channel: int) -> Levels | None:
  """Returns the levels of a channel; None if the pixels are kept as they are.

  Args:
    rule: not percentiles of a plate or the dataset, whose levels come from
      histograms.
    plane: [H, W] uint8, uint16 or float32, the original pixels; for which
      explain_refusal returns ''.
    channel: index of the channel, 0..C-1.

  Raises:
    ValueError: the rule is of a plate or the dataset.
  """
  if rule.name == 'percentiles':
    if rule.of != 'image':
      raise ValueError(f'expected the levels of the {rule.of}, received none')
    low, high = rule.percentiles
    if plane.dtype == np.float32:
      places = [_rank(plane.size, each) for each in (low, high)]
      ordered = np.partition(plane, places, axis=None)
      return float(ordered[places[0]]), float(ordered[places[1]])
    return percentile_levels(_count(plane), str(plane.dtype), rule.percentiles)
  if plane.dtype == np.uint8:
    return None
  return (0, 65535 if rule.name == 'full_scale' else rule.white_levels[channel])


def histogram(plane: np.ndarray) -> np.ndarray:
  """Returns the number of pixels in each bin, [NUM_BINS] int64.

  Args:
    plane: [H, W] uint8, uint16 or float32. The bin of an integer is its value,
      that of a float the 16 highest bits of its order-preserving bit pattern
      after rounding to 8 significant bits.
  """
  if plane.dtype != np.float32:
    return _count(plane)
  bits = plane.view(np.uint32)
  # Rounded to nearest; the largest float would become infinite.
  high = np.minimum(((bits & 0x7fffffff) + 0x8000) >> 16, 0x7f7f)
  bins = np.where(bits >> 31, 0x7fff - high, high | 0x8000)
  return np.bincount(bins.ravel(), minlength=NUM_BINS)


def _count(plane: np.ndarray) -> np.ndarray:
  return np.bincount(plane.ravel(), minlength=NUM_BINS)


def percentile_levels(counts: np.ndarray, depth: str,
                      percentiles: tuple[float, float]) -> Levels:
  """Returns the levels of one channel from its histogram.

  Args:
    counts: [NUM_BINS] int64, a sum of histograms of planes of one depth; at
      least one pixel.
    depth: of the planes, 'uint8', 'uint16', 'float32' or 'float64'.
    percentiles: in percent, 0 <= low < high <= 100.

  Returns:
    Two integers, exact; or two floats of 8 significant bits.
  """
  reached = np.cumsum(counts)
  low, high = (int(np.searchsorted(reached,
                                   _rank(int(reached[-1]), each) + 1))
               for each in percentiles)
  if not depth.startswith('float'):
    return low, high
  return _value_of_bin(low), _value_of_bin(high)


def _value_of_bin(number: int) -> float:
  bits = number & 0x7fff if number >= 0x8000 else 0xffff - number
  return float(np.array(bits << 16, np.uint32).view(np.float32))


def _rank(count: int, percent: float) -> int:
  """Returns the index of a percentile among count sorted values."""
  # 99.9 as typed, not its binary value, which is a little more.
  exact = fractions.Fraction(str(float(percent))) * count / 100
  return max(math.ceil(exact), 1) - 1


def scale(image: np.ndarray, levels: Sequence[Levels | None]) -> np.ndarray:
  """Returns the image as 8 bits.

  Args:
    image: [H, W, C] uint8, uint16 or float32.
    levels: of each channel; None keeps a uint8 channel as it is. Where black
      and white are equal, values up to them become 0 and those above 255.

  Returns:
    [H, W, C] uint8. Of integers with integer levels it is exact.
  """
  if set(levels) == {None}:
    return image
  if len(set(levels)) == 1:
    return _scale_plane(image, levels[0])
  return np.stack(
      [_scale_plane(image[..., i], each) for i, each in enumerate(levels)],
      axis=-1)


def _scale_plane(plane: np.ndarray, levels: Levels | None) -> np.ndarray:
  if levels is None:
    return plane
  if plane.dtype == np.float32:
    return _scale_values(plane.astype(np.float64), *levels)
  low, high = levels
  if plane.dtype == np.uint16 and low == 0 and _is_exact_in_float32(high):
    # In a quarter of the time of take, which needs half of indexing's.
    scaled = cv2.convertScaleAbs(plane, alpha=255 / high)
    return scaled.reshape(plane.shape)
  return _scaled_values(low, high).take(plane)


@functools.lru_cache(maxsize=64)
def _is_exact_in_float32(white: float) -> bool:
  """Returns whether OpenCV scales each intensity to the rounded value.

  It computes 255 * v / white in float32, to within 2**-15 below 256. That
  decides the rounding unless a value is as near to a half.
  """
  values = np.arange(65536) * (255 / white)
  values = values[values < 256]
  return bool(np.abs(values % 1 - 0.5).min() > 2**-14)


@functools.lru_cache(maxsize=64)
def _scaled_values(low: float, high: float) -> np.ndarray:
  """Returns the 8-bit value of each 16-bit intensity, [65536] uint8."""
  values = np.arange(65536)
  if high > low and float(low).is_integer() and float(high).is_integer():
    # floor((510 v + w) / 2 w) is the rounded value, in integers.
    white = int(high) - int(low)
    scaled = (510 * (values - int(low)) + white) // (2 * white)
    return np.clip(scaled, 0, 255).astype(np.uint8)
  return _scale_values(values.astype(np.float64), low, high)


def _scale_values(values: np.ndarray, low: float, high: float) -> np.ndarray:
  """Returns float64 values scaled to uint8, of any shape."""
  if high <= low:
    return np.where(values > low, 255, 0).astype(np.uint8)
  shares = np.clip((values - low) / (high - low), 0, 1)
  return np.floor(shares * 255 + 0.5).astype(np.uint8)
