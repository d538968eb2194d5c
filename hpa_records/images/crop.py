"""Crops images to one field of view, so that all have the same pixel size.

The resize brings `side` source pixels to size_px stored ones. Where both pixel
sizes are known, side = size_px * stored_um / image_um, halves rounded up, and a
square of this side around the center of the image is cut out. Where the image
is smaller than the square, it is padded with black.
"""

import numpy as np

from hpa_records.runtime import errors

MAX_UM = 1e6  # of a pixel


def check_um(pixel_um: float) -> float:
  """Returns a pixel size in micrometers, checked.

  Raises:
    errors.DataError: it is not a number above 0 and below MAX_UM.
  """
  if not 0 < pixel_um < MAX_UM:
    raise errors.DataError(
        f'expected a pixel size above 0 micrometers, received {pixel_um}')
  return pixel_um


def find_side(size_px: int, image_um: float, stored_um: float,
              most_px: int) -> int:
  """Returns the side in source pixels of the square that becomes the image.

  Args:
    size_px: height and width of the stored image.
    image_um: pixel size of the file, passed by check_um.
    stored_um: pixel size of the stored image, passed by check_um.
    most_px: largest side.

  Raises:
    errors.DataError: the side is not in 1..most_px.
  """
  side = size_px * stored_um / image_um + 0.5
  if not 1 <= side < most_px + 1:
    raise errors.DataError(
        f'expected pixel sizes for which {size_px} stored pixels are 1 to '
        f'{most_px:,} pixels of the file, received {stored_um} um of a stored '
        f'pixel and {image_um} um of the file')
  return int(side)


def cut(plane: np.ndarray, side: int, black: float) -> np.ndarray:
  """Returns the square of this side around the center of a plane.

  Args:
    plane: [H, W], of any type.
    side: height and width of the result.
    black: value of the padding. Where a number of pixels to cut or to add is
      odd, one more is cut at the end, or added at the start.

  Returns:
    [side, side] of the same type.
  """
  for axis in (0, 1):
    start = (plane.shape[axis] - side) // 2
    if start < 0:
      missing = side - plane.shape[axis]
      widths = [(0, 0), (0, 0)]
      widths[axis] = (-start, missing + start)
      plane = np.pad(plane, widths, constant_values=black)
    else:
      plane = np.take(plane, range(start, start + side), axis)
  return plane
