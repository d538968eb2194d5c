"""A gallery image: its channels, and the network's class activation maps."""

from collections.abc import Sequence

import cv2
import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.inspection import figure
from trainer.run import arrays

_GAP_PX = 4
_GAP_SHADE = 255  # white, as the page
_OPACITY = 0.75  # of the heat map at its maximum
_DIMMED = 0.7  # of the gray image, so that heat is visible on bright cells
_QUALITY = 80  # of WebP


def strip(image: np.ndarray, maps: Sequence[np.ndarray],
          spec: spec_lib.Spec) -> np.ndarray:
  """Returns one row of pictures: channels, composite, and a heat map each.

  The image is reduced by arrays.reduce. Each map is scaled to its own maximum,
  so brightness cannot be compared between maps.

  Args:
    image: [H, W, C] uint8.
    maps: class activation maps, each [h, w] float >= 0 of any size.
    spec: of the image.

  Returns:
    [H', W', 3] uint8 RGB, H' = min(H, 200). From left to right: each channel in
    its color, all together, and for each map the gray image under the
    map, resized bilinearly; with white gaps.
  """
  image = arrays.reduce(image)
  composite = figure.composite(image, spec)
  parts = [
      figure.composite(image * one, spec)
      for one in np.eye(spec.num_channels, dtype=np.uint8)
  ]
  parts += [composite, *(_heat(composite, each) for each in maps)]
  gap = np.full((len(image), _GAP_PX, 3), _GAP_SHADE, np.uint8)
  return np.hstack(
      [parts[0], *(each for part in parts[1:] for each in (gap, part))])


def to_webp(image: np.ndarray) -> bytes:
  """Returns an image encoded as WebP.

  Args:
    image: [H, W, 3] uint8 RGB.
  """
  _, data = cv2.imencode('.webp', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                         [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
  return data.tobytes()


def _heat(composite: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Returns the gray composite under a heat map, [H, W, 3] uint8.

  The map is red at half its maximum, yellow at the maximum. Warmer is also
  brighter, for the colour-blind.

  Args:
    composite: [H, W, 3] uint8.
    weights: [h, w] float >= 0.
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
