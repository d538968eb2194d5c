"""Which TIFFs are read, and the directory with which a decoder gets them.

Parsers differ on a directory that is odd. Of a tag that is there twice Pillow
takes the last and libtiff, which Pillow gives compressed files to, the first;
both have rules of their own for types, counts, and strips beside tiles. So
there is one parser of what strangers wrote (tiff_directory). What could be
read in two ways is refused, and the decoder gets the same parts with a
directory that `rewrite` makes of the numbers that were checked, and of nothing
else: what is checked is what is decoded. A BigTIFF takes the same way.

Source: TIFF 6.0 (Adobe), sections 8, 14 and 15; ImageJ, TiffEncoder.java;
tifffile, "shaped" files; MetaMorph Stack (STK) file format; Exif 2.32 (CIPA).
"""

import math
import re
import struct
from typing import BinaryIO, Iterator, NamedTuple

from hpa_records.images import tiff_directory
from hpa_records.runtime import errors

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, ORIENTATION, SAMPLES, PLANAR = 266, 274, 277, 284
SAMPLE_FORMAT = 339
_STRIPS, _STRIP_ROWS, _STRIP_BYTES, _PREDICTOR = 273, 278, 279, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_DESCRIPTION, _SUB_DIRECTORIES, _DEPTH, _STACK_PLANES = 270, 330, 32997, 33629

# Those with a value for each color or part; the others have one.
_LISTS = {BITS, SAMPLE_FORMAT, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}
# What is written for the decoder. Of the rest it takes the default, which is
# what find_other_kind asks for.
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
# With which libtiff heeds a predictor; with others it leaves differences.
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
# Of several planes behind one directory: ImageJ's stacks, tifffile's shapes.
_IMAGEJ_PLANES = re.compile(
    r'^(?:images|channels|slices|frames)=0*([0-9]{1,9})', re.MULTILINE)
_SHAPE = re.compile(r'^\{?"?shape"?[:=] ?[\[(]([0-9, ]{1,99})[\])]')
_MAX_DESCRIPTION_BYTES = 2**16
_MOST_BEYOND = 2**24  # pixels of tiles, beside four times the image's


class Tags(NamedTuple):
  """What the first directory says of the pixels.

  Attributes:
    order: '<' or '>', of bytes.
    numbers: values by tag, only of those that bear on the pixels.
    hidden: how the file says that it has several images; '' if it does not.
  """
  order: str
  numbers: dict[int, tuple[int, ...]]
  hidden: str

  def first(self, tag: int) -> int:
    """Returns a tag's first value; 1, the default of all, where it has none."""
    return self.numbers.get(tag, (1,))[0]


def read(file: BinaryIO, num_bytes: int) -> Tags:
  """Returns what a TIFF or BigTIFF says of its pixels.

  Args:
    file: whose first bytes are those of a TIFF.
    num_bytes: its size.

  Raises:
    errors.DataError: it can be read in two ways, or says more than fits.
    struct.error: its directory is not all in the file.
  """
  directory = tiff_directory.read(file, num_bytes)
  numbers: dict[int, tuple[int, ...]] = {}
  for entry in directory.entries:
    if entry.tag in _TAGS:
      if entry.tag in numbers:
        raise errors.DataError('expected each tag of a TIFF once, received tag '
                               f'{entry.tag} twice')
      found = numbers[entry.tag] = directory.read_numbers(entry)
      if entry.tag not in _LISTS and len(found) > 1:
        raise errors.DataError(f'expected one value in tag {entry.tag} of a '
                               f'TIFF, received {len(found):,}')
  if {WIDTH, HEIGHT, PHOTOMETRIC} - numbers.keys():
    raise errors.DataError('expected a TIFF, received one without a width, a '
                           'height or a color space')
  return Tags(directory.order, numbers, _find_hidden(directory, numbers))


def _find_hidden(directory: tiff_directory.Directory,
                 numbers: dict[int, tuple[int, ...]]) -> str:
  """Returns how a file says that it has several images; '' if it does not."""
  if directory.following:
    return 'each with a directory'
  if numbers.get(_DEPTH, (1,)) != (1,):
    return f'{numbers[_DEPTH][0]:,} layers'
  for entry in directory.entries:
    if entry.tag == _SUB_DIRECTORIES and entry.count:
      return 'a pyramid, or others below it'
    if entry.tag == _STACK_PLANES and entry.count > 1:
      return f'a MetaMorph stack of {entry.count:,}'
    if entry.tag == _DESCRIPTION and entry.kind == tiff_directory.ASCII:
      told = _find_planes(directory.read_text(entry, _MAX_DESCRIPTION_BYTES),
                          numbers)
      if told:
        return told
  return ''


def _find_planes(text: str, numbers: dict[int, tuple[int, ...]]) -> str:
  """Returns how a description says that there are several planes, or ''."""
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
  """Returns why the pixels are of a kind that is not read; '' if they are read.

  The size of the image, and where its parts are, is for check_parts.
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
                       ('with its bits in reverse', fill_order != 1),
                       (f'turned or mirrored (orientation {orientation})',
                        orientation != 1),
                       ('with its colors in separate planes', planar != 1 and
                        samples > 1), (f'of several images ({tags.hidden})',
                                       tags.hidden)):
    if wrong:
      return f'a TIFF {found}'
  return ''


def check_parts(tags: Tags, num_bytes: int, max_pixels: int) -> None:
  """Checks that all strips or tiles are there, inside the file and apart.

  Args:
    tags: in which find_other_kind found nothing, of at most max_pixels.
    num_bytes: size of the file.
    max_pixels: of a tile, which may be larger than the image.

  Raises:
    errors.DataError: they are not; decoders leave such parts black, or take
      what is behind them.
  """
  height, width = tags.first(HEIGHT), tags.first(WIDTH)
  tiled = bool(tags.numbers.keys() & {_TILES, _TILE_BYTES})
  if tiled and tags.numbers.keys() & {_STRIPS, _STRIP_BYTES}:
    raise errors.DataError('expected a TIFF of strips or of tiles, received '
                           'one of both')
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
        f'expected a TIFF with all parts of {height:,} x {width:,} pixels, '
        f'received {len(starts):,} parts of {sum(lengths):,} bytes in all')
  # Parts that share bytes would be read over and over.
  end = max(sum(lengths), *map(sum, zip(starts, lengths)))
  if end > num_bytes:
    raise errors.DataError(f'expected {end:,} bytes as the TIFF\'s header says,'
                           f' received {num_bytes:,}: the file was cut short')
  if min(starts) < _HEAD_BYTES:
    raise errors.DataError('expected the parts of a TIFF behind its header, '
                           f'received one at byte {min(starts)}')


def _strip_rows(tags: Tags) -> int:
  height = tags.first(HEIGHT)
  return min(tags.numbers.get(_STRIP_ROWS, (height,))[0], height)


def _least_bytes(tags: Tags, wanted: int, rows: int, columns: int,
                 tiled: bool) -> Iterator[int]:
  """Yields how many bytes each of the wanted parts has at least."""
  if tags.first(COMPRESSION) != _UNCOMPRESSED:
    yield from (1,) * wanted
    return
  row_bytes = columns * tags.first(SAMPLES) * tags.first(BITS) // 8
  yield from (rows * row_bytes,) * (wanted - 1)
  last_rows = rows if tiled else (tags.first(HEIGHT) - 1) % rows + 1
  yield last_rows * row_bytes


def rewrite(data: bytes, tags: Tags) -> bytes:
  """Returns a TIFF of the same parts whose directory says what was read.

  Args:
    data: the whole file, checked, of less than 2**31 bytes.
    tags: of it.
  """
  order = tags.order
  told = {tag: each for tag, each in tags.numbers.items() if tag in _WRITTEN}
  told[BITS] = (tags.first(BITS),) * tags.first(SAMPLES)
  if _TILES not in told:
    told[_STRIP_ROWS] = (_strip_rows(tags),)
  end = len(data) + len(data) % 2
  values = entries = b''
  for tag, numbers in sorted(told.items()):
    content = struct.pack(f'{order}{len(numbers)}I', *numbers)
    if len(content) > 4:
      start = struct.pack(f'{order}I', end + len(values))
      content, values = start, values + content
    entries += struct.pack(f'{order}HHI', tag, tiff_directory.LONG,
                           len(numbers)) + content
  head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(
      f'{order}I', end + len(values))
  return b''.join((head, data[_HEAD_BYTES:], bytes(len(data) % 2), values,
                   struct.pack(f'{order}H', len(told)), entries, bytes(4)))
