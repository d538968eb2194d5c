"""Loads the four image files of a sample as one [H, W, C] uint8 array."""

import os
from typing import Callable

import cv2
import numpy as np

from hpa_records.format import spec
from hpa_records.images import decode
from hpa_records.images import resize as resize_lib
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

# Larger planes are resized one by one: four 16-bit planes of 3072 x 3072 take
# 75 MB, and as much again when merged. Smaller planes are merged first, which
# gives the same bytes in less time (2048 to 299: 53 ms against 93).
_MERGED_BYTES = 10 * 2**20


def load(paths: tuple[str, ...],
         size_px: int,
         name: str = resize_lib.DEFAULT_FILTER,
         white_level: int = 0,
         read: Callable[[str], bytes] = filesystem.read_bytes) -> np.ndarray:
  """Returns the four files of a sample as one image.

  Args:
    paths: of the files, in spec.CHANNELS order, local or addresses; see decode
      for the supported kinds.
    size_px: height and width of the result.
    name: one of resize.RESIZE_FILTERS.
    white_level: the 16-bit intensity that becomes 255; 0 if not given.
    read: path → content of a file.

  Returns:
    [size_px, size_px, C] uint8, 0..255.

  Raises:
    errors.UnreadError: (message, path): a file cannot be read.
    errors.DataError: (message, path): a file is damaged, of an unsupported
      kind, or of another size than the first.
  """
  planes: list[np.ndarray] = []
  shape = None
  for path, channel in zip(paths, spec.CHANNELS):
    try:
      plane = decode.decode(read(path), path, channel, white_level)
    except OSError as error:
      raise errors.UnreadError(f'cannot be read: {errors.explain(error)}',
                               path) from error
    except errors.DataError as error:
      raise errors.DataError(str(error), path) from error
    shape = shape or plane.shape
    if plane.shape != shape:
      raise errors.DataError(
          f'expected {shape} pixels like {os.path.basename(paths[0])}, '
          f'received {plane.shape}', path)
    planes.append(
        _reduce(plane, size_px, name, white_level) if plane.nbytes >
        _MERGED_BYTES else plane)
  if len({(plane.shape, plane.dtype) for plane in planes}) > 1:
    planes = [_reduce(plane, size_px, name, white_level) for plane in planes]
  return _reduce(cv2.merge(planes), size_px, name, white_level)


def _reduce(image: np.ndarray, size_px: int, name: str,
            white_level: int) -> np.ndarray:
  """Returns [size_px, size_px] or [size_px, size_px, C] uint8."""
  image = resize_lib.resize(image, size_px, name)
  return resize_lib.to_uint8(image,
                             white_level) if image.dtype == np.uint16 else image
