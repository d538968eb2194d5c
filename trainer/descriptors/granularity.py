"""Granularity of a channel: how much of its light is in structures of a size.
"""

import cv2
import numpy as np

_RADII_PX = (1, 2, 3, 4, 6, 8, 12, 16)

NAMES = tuple(f'granularity_{radius}px' for radius in _RADII_PX)


def compute(channel: np.ndarray) -> np.ndarray:
  """Returns NAMES: the share of light that each opening removes, in order.

  An opening by a square of 2 r + 1 pixels removes what is narrower. The share
  of radius r is what it removes beyond that of the radius before. What is
  outside the image limits nothing.

  Args:
    channel: [H, W] uint8.

  Returns:
    [8] float64, >= 0, of sum <= 1; 0 if all pixels are 0.

  Source: the pattern spectrum, Maragos, "Pattern spectrum and multiscale shape
  representation", 1989, with squares. The radii are our choice.
  """
  sums = [int(channel.sum(dtype=np.int64))]
  for radius in _RADII_PX:
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    opened = cv2.morphologyEx(channel, cv2.MORPH_OPEN, square)
    sums.append(int(opened.sum(dtype=np.int64)))
  return -np.diff(sums) / max(sums[0], 1)
