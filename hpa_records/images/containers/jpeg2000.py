"""The boxes and markers of a JPEG 2000: size, bits, colors and end.

OpenJPEG (in OpenCV and Pillow) allocates memory for each precinct and
code-block that a file declares. A file of a few hundred bytes may declare
millions, so coding styles are checked here, and those that a file may have for
single components or tiles are refused.

Source: ITU-T T.800, A.4 to A.6 (markers), I.4 and I.5 (boxes).
"""

import collections
import math
import struct
from typing import BinaryIO, Iterator

from hpa_records.runtime import errors

BOX_START = b'\0\0\0\x0cjP  \r\n\x87\n'
CODESTREAM_START = b'\xff\x4f\xff\x51'
_END = b'\xff\xd9'
_SIZ, _COD, _SOT, _SOD = 0xff51, 0xff52, 0xff90, 0xff93
# Coding styles, progression changes, regions of interest, and packed headers,
# which OpenJPEG reads but few writers write.
_UNUSUAL = {
    0xff53: 'COC',
    0xff5e: 'RGN',
    0xff5f: 'POC',
    0xff60: 'PPM',
    0xff61: 'PPT'
}
_MAX_BOXES = 1000
_MAX_MARKERS = 1000
_MAX_TILE_PARTS = 4096
_MAX_LAYERS = 64
# Code-blocks or precincts, about 400 bytes each. 8192 x 8192 pixels have as
# many blocks of 16 x 16.
_MAX_BLOCKS = 2**18


def read(file: BinaryIO,
         num_bytes: int) -> tuple[tuple[int, int, int, int], str]:
  """Returns (height, width, bits, colors) and the unsupported kind or ''.

  Also checks that the file is complete.

  Args:
    file: a JP2 file or a codestream.
    num_bytes: its size.

  Raises:
    errors.DataError: it is truncated, or declares too many parts.
    struct.error: its header is truncated.
  """
  file.seek(0)
  start, end, received = 0, num_bytes, ''
  if not file.read(4) == CODESTREAM_START:
    start, end, received = _find_codestream(file, num_bytes)
  file.seek(start)
  if file.read(2) != CODESTREAM_START[:2]:
    raise struct.error('codestream is missing')
  file.seek(max(start, end - 2))
  if file.read(2) != _END:
    raise errors.DataError(f'truncated JPEG 2000 ({num_bytes:,} bytes): the '
                           'end is missing')
  shape, found = _read_main(file, start + 2, end)
  return shape, received or found


def _find_codestream(file: BinaryIO, num_bytes: int) -> tuple[int, int, str]:
  """Returns start and end of a JP2's codestream, and the unsupported kind."""
  found, received = None, ''
  for kind, start, end in _walk_boxes(file, 0, num_bytes):
    if kind == b'jp2c':
      if found:
        received = 'a JPEG 2000 of several images'
      found = found or (start, end)
    elif kind == b'jp2h':
      kinds = {each for each, _, _ in _walk_boxes(file, start, end)}
      if b'pclr' in kinds:
        received = 'a JPEG 2000 with a palette'
  if not found:
    raise struct.error('codestream is missing')
  return *found, received


def _walk_boxes(file: BinaryIO, position: int,
                end: int) -> Iterator[tuple[bytes, int, int]]:
  """Yields (kind, start and end of its content) of each box."""
  for _ in range(_MAX_BOXES):
    if position >= end:
      return
    file.seek(position)
    length, kind = struct.unpack('>I4s', file.read(8))
    head = 8
    if length == 1:
      length, = struct.unpack('>Q', file.read(8))
      head = 16
    length = length or end - position  # 0: up to the end of the file
    if not head <= length <= end - position:
      raise struct.error(f'box of {length} bytes at {position}')
    yield kind, position + head, position + length
    position += length
  raise errors.DataError(
      f'expected at most {_MAX_BOXES:,} boxes, received more')


def _walk_markers(file: BinaryIO,
                  position: int) -> Iterator[tuple[int, int, int]]:
  """Yields (marker, start and length of its content) up to the first data."""
  for _ in range(_MAX_MARKERS):
    file.seek(position)
    marker, = struct.unpack('>H', file.read(2))
    if marker == _SOD:
      yield marker, position + 2, 0
      return
    length, = struct.unpack('>H', file.read(2))
    yield marker, position + 4, length - 2
    if marker == _SOT:
      return
    position += 2 + length
  raise errors.DataError(
      f'expected at most {_MAX_MARKERS:,} markers, received more')


def _read_main(file: BinaryIO, position: int,
               end: int) -> tuple[tuple[int, int, int, int], str]:
  """Returns (height, width, bits, colors) and the unsupported kind or ''."""
  shape, tiles, received, has_style = (), 0, '', False
  for marker, start, length in _walk_markers(file, position):
    file.seek(start)
    content = file.read(max(0, length))
    if marker == _SIZ and not shape:
      shape, tiles, received = _read_size(content)
    elif marker == _COD and shape:
      has_style = True
      received = received or _find_other_style(content, shape)
    elif marker == _SOT and has_style:
      return shape, received or _find_other_tile(file, start - 4, end, tiles)
    elif marker in _UNUSUAL:
      received = received or f'a JPEG 2000 with {_UNUSUAL[marker]} markers'
  raise errors.DataError('expected a JPEG 2000, received one without a header')


def _read_size(content: bytes) -> tuple[tuple[int, int, int, int], int, str]:
  """Returns (height, width, bits, colors) of SIZ, the number of tiles, and the
  unsupported kind or ''."""
  (_, right, bottom, left, top, tile_width, tile_height, tile_left, tile_top,
   colors) = struct.unpack('>H8IH', content[:36])
  depth, step_x, step_y = struct.unpack('>BBB', content[36:39])
  height, width, bits = bottom - top, right - left, (depth & 0x7f) + 1
  shape = height, width, bits, colors
  if left or top or tile_left or tile_top:
    return shape, 0, 'a JPEG 2000 with an offset'
  if not tile_width or not tile_height:
    raise struct.error('tiles without a size')
  tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height)
  if tiles > _MAX_TILE_PARTS:
    return shape, tiles, f'a JPEG 2000 of {tiles:,} tiles'
  if colors != 1 or depth > 0x7f or bits not in (8, 16) or (step_x,
                                                            step_y) != (1, 1):
    kind = 'signed ' if depth > 0x7f else ''
    return shape, tiles, f'a JPEG 2000 of {colors:,} {kind}{bits}-bit colors'
  return shape, tiles, ''


def _find_other_style(content: bytes, shape: tuple[int, ...]) -> str:
  """Returns the unsupported coding style of COD, or ''."""
  height, width = shape[:2]
  flags, _, layers, _, levels, block_width, block_height = struct.unpack(
      '>BBHBBBB', content[:8])
  if layers > _MAX_LAYERS or levels > 32:
    return f'a JPEG 2000 of {layers:,} layers and {levels} levels'
  if not (block_width <= 8 and block_height <= 8 and
          block_width + block_height <= 8):  # exponents, less 2
    return 'a JPEG 2000 with invalid code-blocks'
  blocks = height * width >> (block_width + block_height + 4)
  precincts = 0
  if flags & 1:
    if len(content) < 10 + levels + 1:
      raise struct.error('precincts without a size')
    for level, each in enumerate(content[10:10 + levels + 1]):
      # Of the image at this resolution, in the precinct's width and height.
      scale = levels - level
      precincts += math.prod(-(-side >> (scale + exponent))
                             for side, exponent in ((width, each & 15),
                                                    (height, each >> 4)))
  if max(blocks, precincts) > _MAX_BLOCKS:
    return (f'a JPEG 2000 of {blocks:,} code-blocks and {precincts:,} '
            'precincts')
  return ''


def _find_other_tile(file: BinaryIO, position: int, end: int,
                     tiles: int) -> str:
  """Returns why a part of a tile is not supported, or ''.

  OpenJPEG leaves tiles without data black.

  Raises:
    errors.DataError: parts of tiles are missing.
  """
  found: dict[int, int] = collections.Counter()
  declared: dict[int, int] = {}
  for _ in range(_MAX_TILE_PARTS + 1):
    file.seek(position)
    head = file.read(2)
    if head == _END:
      if len(found) != tiles or any(
          found[tile] < count for tile, count in declared.items()):
        raise errors.DataError(f'truncated JPEG 2000: expected {tiles:,} tiles')
      return '' if position == end - 2 else (
          'a JPEG 2000 with data after its end')
    marker, _, tile, length, _, count = struct.unpack('>HHHIBB',
                                                      head + file.read(10))
    if marker != _SOT:
      raise struct.error(f'tile part at {position}')
    found[tile] += 1
    if count:  # 0 where a writer does not know it
      declared[tile] = count
    for inner, _, _ in _walk_markers(file, position + 12):
      if inner in _UNUSUAL or inner == _COD:
        return 'a JPEG 2000 with coding styles of single tiles'
    position = position + length if length else end - 2
  return 'a JPEG 2000 of too many tile parts'
