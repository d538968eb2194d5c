"""Extracts the intensity of a channel from an RGB image tinted in its color.

An image of the red channel has only R, one of the yellow channel R and G. JPEG
stores color at half resolution (4:2:0), so the other colors are not quite 0: in
88 real planes, tinted and saved at qualities 75 to 95, the mean of the brighter
one was up to 0.25 of the tint's mean (0.39 in an image of mean 1.2), single
pixels reached 219. Read as another channel, the same files gave at least 0.97.
So the limit is half, on means, not on pixels. Half a level is added for images
near black, where rounding decides.
"""

from typing import Sequence

import cv2
import numpy as np

from hpa_records.runtime import errors


def extract(pixels: np.ndarray, channel: str, color: str) -> np.ndarray:
  """Returns the plane [H, W] uint8 of a tinted or gray RGB image.

  Args:
    pixels: [H, W, 3] uint8 RGB; gray if all three components are equal.
    channel: name of the channel.
    color: its display color, '#rrggbb'. A tinted image has the components that
      are above half in it, one or two; of two the plane is the mean, halves
      rounded up. With another color only gray images are read.

  Raises:
    errors.DataError: the image has another tint.
  """
  planes = cv2.split(pixels)
  if np.array_equal(planes[0], planes[1]) and np.array_equal(
      planes[0], planes[2]):
    return planes[0]
  is_bright = [each > 127 for each in bytes.fromhex(color[1:])]
  bright = [planes[i] for i in range(3) if is_bright[i]]
  dark = [planes[i] for i in range(3) if not is_bright[i]]
  if len(bright) == 1:
    plane, stray = bright[0], cv2.max(*dark)
  elif len(bright) == 2:
    low, high = cv2.min(*bright), cv2.max(*bright)
    plane = high - (high - low) // 2  # the mean, rounded up, without overflow
    stray = cv2.max(high - low, dark[0])
  else:
    raise errors.DataError(
        f'expected gray pixels in a {channel} file, since {color} is no tint; '
        f'received {_describe_means(planes)}')
  # Integer sums are exact in any order.
  if 2 * stray.sum(dtype=np.int64) > plane.sum(dtype=np.int64) + plane.size:
    raise errors.DataError(
        f'expected gray or {channel}-tinted pixels in a {channel} file, '
        f'received {_describe_means(planes)}')
  return plane


def _describe_means(planes: Sequence[np.ndarray]) -> str:
  means = ', '.join(f'{each.mean():.1f}' for each in planes)
  return f'R, G, B of mean {means}'
