"""One image of a report's gallery: its channels, and where a network looked."""

from collections.abc import Sequence

import cv2
import numpy as np

from hpa_records.format import spec
from hpa_records.inspection import figure
from trainer.run import arrays

_GAP_PX = 4
_GAP_SHADE = 255  # as the page behind
_OPACITY = 0.75  # of the heat where a map is largest
_DIMMED = 0.7  # the gray below it, so that heat shows on bright cells too
_QUALITY = 80  # of WebP


def strip(image: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
  """Returns an image's parts in a row: channels, composite, heat of each map.

  A high image is reduced, see arrays.reduce. Each map is as bright as its own
  maximum, so two maps of a strip tell where, not which is larger.

  Args:
    image: [H, W, C] uint8, channels in spec.CHANNELS order.
    maps: [h, w] float >= 0 each, of any size: how much each place counted.

  Returns:
    [H', W', 3] uint8 RGB, H' = min(H, 200): from left to right each channel in
    its colour, all four together, and for each map the image in gray under the
    map, enlarged bilinearly; white between them.
  """
  image = arrays.reduce(image)
  composite = figure.composite(image)
  parts = [
      figure.composite(image * one)
      for one in np.eye(spec.NUM_CHANNELS, dtype=np.uint8)
  ]
  parts += [composite, *(_heat(composite, each) for each in maps)]
  gap = np.full((len(image), _GAP_PX, 3), _GAP_SHADE, np.uint8)
  return np.hstack(
      [parts[0], *(each for part in parts[1:] for each in (gap, part))])


def to_webp(image: np.ndarray) -> bytes:
  """Returns an image as WebP.

  Args:
    image: [H, W, 3] uint8 RGB.
  """
  _, data = cv2.imencode('.webp', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                         [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
  return data.tobytes()


def _heat(composite: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """The composite in gray under a map: red at half its maximum, yellow at it.

  The warmer a place the brighter it is too, for those who see no colours.
  """
  weights = weights.astype(np.float32)
  peak = weights.max()
  if peak > 0:
    weights = weights / peak
  height, width = composite.shape[:2]
  heat = cv2.resize(weights, (width, height), interpolation=cv2.INTER_LINEAR)
  heat = heat[..., np.newaxis]
  gray = cv2.cvtColor(composite, cv2.COLOR_RGB2GRAY)[..., np.newaxis]
  red = np.minimum(2 * heat, 1)
  green = np.maximum(2 * heat - 1, 0)
  color = 255 * np.concatenate([red, green, np.zeros_like(heat)], axis=-1)
  mixed = (1 - _OPACITY * heat) * _DIMMED * gray + _OPACITY * heat * color
  return np.rint(mixed).astype(np.uint8)
