"""Loads the image files of a sample as one [H, W, C] uint8 array."""

import contextlib
import os
from typing import Callable, Iterator, Sequence

import cv2
import numpy as np

from hpa_records.images import crop
from hpa_records.images import decode
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import resize as resize_lib
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

# Larger planes are resized one by one: four 16-bit planes of 3072 x 3072 take
# 75 MB, and as much again when merged. Smaller planes are merged first, which
# gives the same bytes in less time (2048 to 299: 53 ms against 93).
_MERGED_BYTES = 10 * 2**20
_MAX_SIDE = 2**13  # whose square is header.MAX_PIXELS

Read = Callable[[str], bytes]


def load(files: Sequence[str],
         how: how_lib.How,
         read: Read = filesystem.read_bytes) -> np.ndarray:
  """Returns the files of a sample as one image.

  Args:
    files: paths, local or addresses: one for each channel, or one stacked file
      if how.stack says so; see decode for the supported kinds.
    how: settings of the image.
    read: path → content of a file.

  Returns:
    [size_px, size_px, C] uint8, 0..255.

  Raises:
    errors.UnreadError: (message, path): a file cannot be read.
    errors.DataError: (message, path): a file is damaged, of an unsupported
      kind, or of another size or bit depth than the first.
  """
  planes, levels = [], []
  for plane in _read_planes(files, how, read):
    levels.append(how.levels[len(levels)] if how.levels else intensity.
                  find_levels(how.intensity, plane, len(levels)))
    if how.stored_um:
      plane = _crop(plane, how, levels[-1], files[0])
    planes.append(
        resize_lib.resize(plane, how.size_px, how.resize) if plane.nbytes >
        _MERGED_BYTES else plane)
  groups = []
  for i in range(0, len(planes), resize_lib.MAX_GROUP):
    group = slice(i, i + resize_lib.MAX_GROUP)
    image = np.atleast_3d(cv2.merge(planes[group]))
    image = resize_lib.resize(image, how.size_px, how.resize)
    groups.append(intensity.scale(image, levels[group]))
  return groups[0] if len(groups) == 1 else cv2.merge(groups)


def count(files: Sequence[str],
          how: how_lib.How,
          read: Read = filesystem.read_bytes) -> tuple[np.ndarray, str]:
  """Returns the histograms of a sample's channels, and their depth.

  Args:
    files: as of load.
    how: as of load; only the original pixels are counted, before crop and
      resize.
    read: as of load.

  Returns:
    [C, intensity.NUM_BINS] int64, see intensity.histogram; and 'uint8',
    'uint16' or 'float32'. Only histograms of one depth can be added.

  Raises:
    As load.
  """
  counts, depth = [], ''
  for plane in _read_planes(files, how, read):
    counts.append(intensity.histogram(plane))
    depth = str(plane.dtype)
  return np.stack(counts), depth


def _read_planes(files: Sequence[str], how: how_lib.How,
                 read: Read) -> Iterator[np.ndarray]:
  """Yields the plane [H, W] of each channel."""
  if how.stack:
    path, = files
    with _naming(path):
      yield from decode.decode_stack(read(path), path, how)
    return
  kind = None
  for i, path in enumerate(files):
    with _naming(path):
      plane = decode.decode(read(path), path, how, i)
    kind = kind or (plane.shape, plane.dtype)
    for expected, received in zip(kind, (plane.shape, plane.dtype)):
      if received != expected:
        raise errors.DataError(
            f'expected {expected} pixels like {os.path.basename(files[0])}, '
            f'received {received}', path)
    yield plane


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
  """Adds the path to errors of a block that reads a file."""
  try:
    yield
  except OSError as error:
    raise errors.UnreadError(f'cannot be read: {errors.explain(error)}',
                             path) from error
  except errors.DataError as error:
    raise errors.DataError(str(error), path) from error


def _crop(plane: np.ndarray, how: how_lib.How, levels: intensity.Levels | None,
          path: str) -> np.ndarray:
  """Returns the part of a plane [H, W] that becomes the image."""
  with _naming(path):
    side = crop.find_side(how.size_px, how.image_um, how.stored_um, _MAX_SIDE)
  return crop.cut(plane, side, levels[0] if levels else 0)
