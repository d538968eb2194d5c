"""Checks which TIFFs are supported, and rewrites their directory.

Parsers differ on unusual directories: of a duplicate tag Pillow takes the last,
libtiff (which Pillow uses for compressed files) the first, and both have their
own rules for types, counts, and strips beside tiles. So tiff_directory is the
only parser of a file's directory. Ambiguous files are refused, and the decoder
gets the same strips or tiles with a directory that rewrite makes from the
checked numbers only. So what is checked is what is decoded. The same holds for
BigTIFF.

Source: TIFF 6.0 (Adobe), sections 8, 14 and 15; ImageJ, TiffEncoder.java;
tifffile, "shaped" files; MetaMorph Stack (STK) file format; Exif 2.32 (CIPA).
"""

import math
import re
import struct
from typing import BinaryIO, Iterator, NamedTuple

from hpa_records.images.containers import tiff_directory
from hpa_records.runtime import errors

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, ORIENTATION, SAMPLES, PLANAR = 266, 274, 277, 284
SAMPLE_FORMAT = 339
_STRIPS, _STRIP_ROWS, _STRIP_BYTES, _PREDICTOR = 273, 278, 279, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_DESCRIPTION, _SUB_DIRECTORIES, _DEPTH, _STACK_PLANES = 270, 330, 32997, 33629

# Tags with a value for each color, strip or tile; the others have one value.
_LISTS = {BITS, SAMPLE_FORMAT, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}
# Tags written for the decoder. It uses the defaults of the others, and
# find_other_kind refuses other values.
_WRITTEN = {
    WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SAMPLES, _PREDICTOR, _STRIPS,
    _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES
}
_TAGS = _LISTS | _WRITTEN | {
    FILL_ORDER, ORIENTATION, PLANAR, _STRIP_ROWS, _DEPTH
}

_HEAD_BYTES = 8
_UNCOMPRESSED = 1
_LOSSLESS = {_UNCOMPRESSED, 5, 8, 32773, 32946}  # LZW, Deflate, PackBits, ...
# Compressions with which libtiff applies a predictor; with others it returns
# differences.
_PREDICTED = {5, 8, 32946}
_COLORS = {
    0: 'gray with white as 0',
    1: 'gray',
    2: 'RGB',
    3: 'palette',
    5: 'CMYK',
    6: 'YCbCr'
}
_SAMPLE_FORMATS = {2: 'signed', 3: 'floating-point'}
# Several planes with one directory: ImageJ's stacks, tifffile's shapes.
_IMAGEJ_PLANES = re.compile(
    r'^(?:images|channels|slices|frames)=0*([0-9]{1,9})', re.MULTILINE)
_SHAPE = re.compile(r'^\{?"?shape"?[:=] ?[\[(]([0-9, ]{1,99})[\])]')
_MAX_DESCRIPTION_BYTES = 2**16
_MOST_BEYOND = 2**24  # pixels of tiles beyond four times the image's


class Tags(NamedTuple):
  """The tags of the first directory that affect the pixels.

  Attributes:
    order: byte order, '<' or '>'.
    numbers: values by tag.
    hidden: description of further images; '' if there is one image.
  """
  order: str
  numbers: dict[int, tuple[int, ...]]
  hidden: str

  def first(self, tag: int) -> int:
    """Returns a tag's first value; 1, the default of all tags, if missing."""
    return self.numbers.get(tag, (1,))[0]


def read(file: BinaryIO, num_bytes: int) -> Tags:
  """Returns the tags of a TIFF or BigTIFF.

  Args:
    file: with the signature of a TIFF.
    num_bytes: its size.

  Raises:
    errors.DataError: the directory is ambiguous or invalid.
    struct.error: the directory is truncated.
  """
  directory = tiff_directory.read(file, num_bytes)
  numbers: dict[int, tuple[int, ...]] = {}
  for entry in directory.entries:
    if entry.tag in _TAGS:
      if entry.tag in numbers:
        raise errors.DataError(f'duplicate tag {entry.tag} in a TIFF')
      found = numbers[entry.tag] = directory.read_numbers(entry)
      if entry.tag not in _LISTS and len(found) > 1:
        raise errors.DataError(f'expected one value in tag {entry.tag} of a '
                               f'TIFF, received {len(found):,}')
  if {WIDTH, HEIGHT, PHOTOMETRIC} - numbers.keys():
    raise errors.DataError('TIFF without a width, a height or a color space')
  return Tags(directory.order, numbers, _find_hidden(directory, numbers))


def _find_hidden(directory: tiff_directory.Directory,
                 numbers: dict[int, tuple[int, ...]]) -> str:
  """Returns the description of further images; '' if there is one image."""
  if directory.following:
    return 'each with a directory'
  if numbers.get(_DEPTH, (1,)) != (1,):
    return f'{numbers[_DEPTH][0]:,} layers'
  for entry in directory.entries:
    if entry.tag == _SUB_DIRECTORIES and entry.count:
      return 'a pyramid, or other sub-images'
    if entry.tag == _STACK_PLANES and entry.count > 1:
      return f'a MetaMorph stack of {entry.count:,}'
    if entry.tag == _DESCRIPTION and entry.kind == tiff_directory.ASCII:
      planes = _find_planes(directory.read_text(entry, _MAX_DESCRIPTION_BYTES),
                            numbers)
      if planes:
        return planes
  return ''


def _find_planes(text: str, numbers: dict[int, tuple[int, ...]]) -> str:
  """Returns the several planes that an image description declares, or ''."""
  if text.startswith('ImageJ='):
    planes = max((int(each) for each in _IMAGEJ_PLANES.findall(text)),
                 default=1)
    return f'an ImageJ stack of {planes:,}' if planes > 1 else ''
  shape = _SHAPE.match(text)
  sides = [int(each) for each in re.findall('[0-9]+', shape[1])
          ] if shape else []
  shown = math.prod(
      numbers.get(tag, (1,))[0] for tag in (WIDTH, HEIGHT, SAMPLES))
  return (f'an array of {shape[1]} by its description'
          if shape and math.prod(sides) > shown else '')


def find_other_kind(tags: Tags) -> str:
  """Returns the unsupported kind of the pixels; '' if they are supported.

  check_parts checks the image's size and its strips or tiles.
  """
  bits, samples = tags.first(BITS), tags.first(SAMPLES)
  color = _COLORS.get(tags.first(PHOTOMETRIC), 'another color space')
  formats = set(tags.numbers.get(SAMPLE_FORMAT, (1,)))
  if color not in ('gray', 'RGB'):
    return f'{bits}-bit {color}'
  if samples != (1 if color == 'gray' else 3):
    return f'{bits}-bit {color} with alpha: {samples} values a pixel'
  if formats != {1}:
    kind = _SAMPLE_FORMATS.get(max(formats), 'untyped')
    return f'{kind} {bits}-bit {color}'
  each = tags.numbers.get(BITS, ())
  if (bits, samples) not in ((8, 1), (16, 1),
                             (8, 3)) or each not in ((bits,),
                                                     (bits,) * samples):
    return f'{bits}-bit {color}'
  return _find_other_layout(tags)


def _find_other_layout(tags: Tags) -> str:
  """As find_other_kind, of gray and RGB."""
  compression, predictor, fill_order, orientation, planar, samples = map(
      tags.first,
      (COMPRESSION, _PREDICTOR, FILL_ORDER, ORIENTATION, PLANAR, SAMPLES))
  for found, wrong in ((f'of compression {compression}', compression
                        not in _LOSSLESS),
                       (f'of predictor {predictor}', predictor != 1 and
                        (predictor != 2 or compression not in _PREDICTED)),
                       ('with reversed bits', fill_order != 1),
                       (f'rotated or mirrored (orientation {orientation})',
                        orientation != 1),
                       ('with its colors in separate planes', planar != 1 and
                        samples > 1), (f'of several images ({tags.hidden})',
                                       tags.hidden)):
    if wrong:
      return f'a TIFF {found}'
  return ''


def check_parts(tags: Tags, num_bytes: int, max_pixels: int) -> None:
  """Checks that all strips or tiles are inside the file and do not overlap.

  Decoders return missing ones as black, or read the bytes after them.

  Args:
    tags: for which find_other_kind returns '', of at most max_pixels.
    num_bytes: size of the file.
    max_pixels: of a tile, which may be larger than the image.

  Raises:
    errors.DataError: strips or tiles are missing, too short, or too large.
  """
  height, width = tags.first(HEIGHT), tags.first(WIDTH)
  tiled = bool(tags.numbers.keys() & {_TILES, _TILE_BYTES})
  if tiled and tags.numbers.keys() & {_STRIPS, _STRIP_BYTES}:
    raise errors.DataError('TIFF with both strips and tiles')
  starts, lengths = (tags.numbers.get(tag, ())
                     for tag in ((_TILES,
                                  _TILE_BYTES) if tiled else (_STRIPS,
                                                              _STRIP_BYTES)))
  rows, columns = _strip_rows(tags), width
  if tiled:
    rows, columns = (
        tags.numbers.get(tag, (0,))[0] for tag in (_TILE_HEIGHT, _TILE_WIDTH))
  wanted = 0
  if 0 < rows * columns <= max_pixels:
    wanted = math.ceil(height / rows) * math.ceil(width / columns)
  if tiled and wanted * rows * columns > 4 * height * width + _MOST_BEYOND:
    raise errors.DataError(
        f'expected tiles about as large as the {height:,} x {width:,} pixels, '
        f'received {wanted:,} of {rows:,} x {columns:,}')
  if not (0 < wanted == len(starts) == len(lengths) and all(
      map(int.__ge__, lengths, _least_bytes(tags, wanted, rows, columns,
                                            tiled)))):
    raise errors.DataError(
        f'incomplete TIFF: {len(starts):,} strips or tiles of '
        f'{sum(lengths):,} bytes in all for {height:,} x {width:,} pixels')
  # Overlapping parts would be read over and over.
  end = max(sum(lengths), *map(sum, zip(starts, lengths)))
  if end > num_bytes:
    raise errors.DataError(f'truncated TIFF: expected {end:,} bytes, received '
                           f'{num_bytes:,}')
  if min(starts) < _HEAD_BYTES:
    raise errors.DataError('strip or tile inside the header of a TIFF, at byte '
                           f'{min(starts)}')


def _strip_rows(tags: Tags) -> int:
  height = tags.first(HEIGHT)
  return min(tags.numbers.get(_STRIP_ROWS, (height,))[0], height)


def _least_bytes(tags: Tags, wanted: int, rows: int, columns: int,
                 tiled: bool) -> Iterator[int]:
  """Yields the least bytes of each of the wanted strips or tiles."""
  if tags.first(COMPRESSION) != _UNCOMPRESSED:
    yield from (1,) * wanted
    return
  row_bytes = columns * tags.first(SAMPLES) * tags.first(BITS) // 8
  yield from (rows * row_bytes,) * (wanted - 1)
  last_rows = rows if tiled else (tags.first(HEIGHT) - 1) % rows + 1
  yield last_rows * row_bytes


def rewrite(data: bytes, tags: Tags) -> bytes:
  """Returns the TIFF with a new directory of the checked tags only.

  Args:
    data: the complete file, as passed by check_parts, under 2**31 bytes.
    tags: of the file.
  """
  order = tags.order
  written = {tag: each for tag, each in tags.numbers.items() if tag in _WRITTEN}
  written[BITS] = (tags.first(BITS),) * tags.first(SAMPLES)
  if _TILES not in written:
    written[_STRIP_ROWS] = (_strip_rows(tags),)
  end = len(data) + len(data) % 2
  values = entries = b''
  for tag, numbers in sorted(written.items()):
    content = struct.pack(f'{order}{len(numbers)}I', *numbers)
    if len(content) > 4:
      start = struct.pack(f'{order}I', end + len(values))
      content, values = start, values + content
    entries += struct.pack(f'{order}HHI', tag, tiff_directory.LONG,
                           len(numbers)) + content
  head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(
      f'{order}I', end + len(values))
  return b''.join((head, data[_HEAD_BYTES:], bytes(len(data) % 2), values,
                   struct.pack(f'{order}H', len(written)), entries, bytes(4)))
