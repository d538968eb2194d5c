"""Extracts the intensity of a channel from an RGB image tinted in its color.

An image of the red channel has only R, one of the yellow channel R and G. JPEG
stores color at half resolution (4:2:0), so the other colors are not quite 0: in
88 real planes, tinted and saved at qualities 75 to 95, the mean of the brighter
one was up to 0.25 of the tint's mean (0.39 in an image of mean 1.2), single
pixels reached 219. Read as another channel, the same files gave at least 0.97.
So the limit is half, on means, not on pixels. Half a level is added for images
near black, where rounding decides.
"""

import cv2
import numpy as np

from hpa_records.runtime import errors

# The RGB components that carry each channel; the others must be dark.
_BRIGHT = {'red': (0,), 'green': (1,), 'blue': (2,), 'yellow': (0, 1)}


def extract(pixels: np.ndarray, channel: str) -> np.ndarray:
  """Returns the plane [H, W] uint8 of a tinted or gray RGB image.

  Args:
    pixels: [H, W, 3] uint8 RGB; gray if all three components are equal.
    channel: one of spec.CHANNELS; yellow is the mean of R and G, halves
      rounded up.

  Raises:
    errors.DataError: the image has another tint.
  """
  planes = cv2.split(pixels)
  if np.array_equal(planes[0], planes[1]) and np.array_equal(
      planes[0], planes[2]):
    return planes[0]
  bright = [planes[i] for i in _BRIGHT[channel]]
  dark = [planes[i] for i in range(3) if i not in _BRIGHT[channel]]
  if len(bright) == 1:
    plane, stray = bright[0], cv2.max(*dark)
  else:
    low, high = cv2.min(*bright), cv2.max(*bright)
    plane = high - (high - low) // 2  # the mean, rounded up, without overflow
    stray = cv2.max(high - low, dark[0])
  # Integer sums are exact in any order.
  if 2 * stray.sum(dtype=np.int64) > plane.sum(dtype=np.int64) + plane.size:
    means = ', '.join(f'{each.mean():.1f}' for each in planes)
    raise errors.DataError(
        f'expected gray or {channel}-tinted pixels in a {channel} file, '
        f'received R, G, B of mean {means}')
  return plane
