"""Checks the strips or tiles of a TIFF's image."""

import math
import operator
from typing import NamedTuple, Sequence

from hpa_records.images.containers import tiff
from hpa_records.runtime import errors

_HEAD_BYTES = 8
UNCOMPRESSED = 1
_MOST_BEYOND = 2**24  # bytes of tiles beyond the limits in check


class Parts(NamedTuple):
  """The strips or tiles of an image.

  Attributes:
    starts: offset of each in the file, row by row; of separate samples, those
      of the first sample first.
    lengths: of each in bytes.
    rows, columns: of one, in pixels; the last strip may have fewer rows.
    tiled: whether they are tiles.
  """
  starts: tuple[int, ...]
  lengths: tuple[int, ...]
  rows: int
  columns: int
  tiled: bool


def find(tags: tiff.Tags) -> Parts:
  """Returns the strips or tiles that the tags declare, unchecked."""
  tiled = bool(tags.numbers.keys() & {tiff.TILES, tiff.TILE_BYTES})
  names = ((tiff.TILES, tiff.TILE_BYTES) if tiled else
           (tiff.STRIPS, tiff.STRIP_BYTES))
  starts, lengths = (tags.numbers.get(name, ()) for name in names)
  height, columns = tags.first(tiff.HEIGHT), tags.first(tiff.WIDTH)
  rows = min(tags.numbers.get(tiff.STRIP_ROWS, (height,))[0], height)
  if tiled:
    rows, columns = (tags.numbers.get(name, (0,))[0]
                     for name in (tiff.TILE_HEIGHT, tiff.TILE_WIDTH))
  return Parts(starts, lengths, rows, columns, tiled)


def is_separate(tags: tiff.Tags) -> bool:
  """Returns whether each sample has strips or tiles of its own."""
  return (tags.first(tiff.SAMPLES) > 1 and
          tags.first(tiff.PLANAR) == tiff.SEPARATE)


def check(images: Sequence[tiff.Tags], num_bytes: int, max_pixels: int,
          max_pixel_bytes: int) -> None:
  """Checks that all strips or tiles are inside the file and do not overlap.

  Decoders return missing ones as black, or read the bytes after them.

  Args:
    images: tags of each, for which tiff_kind.find_other_kind returns '', of at
      most max_pixels.
    num_bytes: size of the file.
    max_pixels: of a tile, which may be larger than the image.
    max_pixel_bytes: of the largest image. The tiles of one may have twice as
      many, or four times those of the image if these are less, and in both
      cases _MOST_BEYOND: a few bytes may hold gigabytes around one pixel.

  Raises:
    errors.DataError: strips or tiles are missing, too short, or too large.
  """
  ends = [0]
  for tags in images:
    parts = _check_image(tags, max_pixels, max_pixel_bytes)
    ends[0] += sum(parts.lengths)  # overlapping ones would be read repeatedly
    ends.append(max(map(operator.add, parts.starts, parts.lengths)))
    if min(parts.starts) < _HEAD_BYTES:
      raise errors.DataError('strip or tile inside the header of a TIFF, at '
                             f'byte {min(parts.starts)}')
  if max(ends) > num_bytes:
    raise errors.DataError(f'truncated TIFF: expected {max(ends):,} bytes, '
                           f'received {num_bytes:,}')


def _check_image(tags: tiff.Tags, max_pixels: int,
                 max_pixel_bytes: int) -> Parts:
  """Returns the parts of one image; errors as of check."""
  height, width = tags.first(tiff.HEIGHT), tags.first(tiff.WIDTH)
  parts = find(tags)
  starts, lengths, rows, columns, tiled = parts
  if tiled and tags.numbers.keys() & {tiff.STRIPS, tiff.STRIP_BYTES}:
    raise errors.DataError('TIFF with both strips and tiles')
  wanted = 0
  if 0 < rows * columns <= max_pixels:
    wanted = math.ceil(height / rows) * math.ceil(width / columns)
  samples = tags.first(tiff.SAMPLES)
  pixel_bytes = samples * tags.first(tiff.BITS) // 8
  most_bytes = min(4 * height * width * pixel_bytes, 2 * max_pixel_bytes)
  if tiled and wanted * rows * columns * pixel_bytes > (most_bytes +
                                                        _MOST_BEYOND):
    raise errors.DataError(
        f'expected tiles about as large as the {height:,} x {width:,} pixels, '
        f'received {wanted:,} of {rows:,} x {columns:,} of {pixel_bytes} bytes')
  repeats = samples if is_separate(tags) else 1
  if not (0 < wanted * repeats == len(starts) == len(lengths) and all(
      map(operator.ge, lengths, _least_bytes(tags, parts, wanted, repeats)))):
    raise errors.DataError(
        f'incomplete TIFF: {len(starts):,} strips or tiles of '
        f'{sum(lengths):,} bytes in all for {height:,} x {width:,} pixels')
  return parts


def _least_bytes(tags: tiff.Tags, parts: Parts, wanted: int,
                 repeats: int) -> list[int]:
  """Returns the least bytes of each of the wanted * repeats strips or tiles."""
  if tags.first(tiff.COMPRESSION) != UNCOMPRESSED:
    return [1] * (wanted * repeats)
  row_bytes = (parts.columns * tags.first(tiff.BITS) // 8 *
               (tags.first(tiff.SAMPLES) // repeats))
  last_rows = (parts.rows if parts.tiled else
               (tags.first(tiff.HEIGHT) - 1) % parts.rows + 1)
  return [*[parts.rows * row_bytes] *
          (wanted - 1), last_rows * row_bytes] * repeats
