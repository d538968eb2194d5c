"""What an image file says of itself before its first pixel.

Size, depth and colours decide whether a file is read at all, so they are read
here and not by a library: of a PNG 33 bytes and the last 12, of a JPEG its
markers up to the frame header, of a TIFF its directory. Libraries turn what
they do not know into something near it (kornia_rs reads palettes as gray,
Pillow 16-bit RGB as 8-bit), warn where they should refuse, and open a file of
three times their own limit. Each refusal names what the file is.

Source: PNG specification (W3C), 5.2 signature, 11.2.1 IHDR, 11.2.5 IEND;
TIFF 6.0 (Adobe), sections 2, 8 and 15; ITU-T T.81, B.1 and B.2.
"""

import io
import math
import os
import struct
from typing import BinaryIO, NamedTuple

from hpa_records import file_pattern
from hpa_records import schema

# 8192 x 8192, 64 MiB of 8-bit gray; the largest HPA image is 3072 x 3072.
MAX_PIXELS = 2**26

HEAD_BYTES = 33  # a PNG's signature and IHDR chunk
END_BYTES = 12  # its IEND chunk
_PNG_START = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
_PNG_8_BIT_GRAY = b'\x08\0\0\0\0'  # depth, color, methods, no interlace
_PNG_SIZE = struct.Struct('>II')
_SIGNATURES = ((b'\x89PNG\r\n\x1a\n', 'PNG'), (b'II*\0', 'TIFF'),
               (b'MM\0*', 'TIFF'), (b'\xff\xd8\xff', 'JPEG'))
_ENDS = {'PNG': b'\0\0\0\0IEND\xaeB`\x82', 'JPEG': b'\xff\xd9'}
_READ = ((8, 1), (16, 1), (8, 3))  # bits and colors
_PNG_COLORS = {0: 'gray', 2: 'RGB', 3: 'palette', 4: 'gray+alpha', 6: 'RGBA'}

_TIFF_TYPES = {1: 'B', 3: 'H', 4: 'I'}  # BYTE, SHORT, LONG
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES = 266, 273, 274, 277
_STRIP_ROWS, _STRIP_BYTES, _PLANAR = 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_SAMPLE_FORMAT = 339
# Those that are 1 where the file is silent.
_ONES = {
    _BITS, _COMPRESSION, _FILL_ORDER, _ORIENTATION, _SAMPLES, _PLANAR,
    _SAMPLE_FORMAT
}
_TAGS = _ONES | {
    _WIDTH, _HEIGHT, _PHOTOMETRIC, _STRIPS, _STRIP_ROWS, _STRIP_BYTES,
    _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES
}
_MAX_TAG_BYTES = 2**20  # 8192 x 8192 pixels in tiles of 16 x 16
_UNCOMPRESSED = 1
_LOSSLESS = {_UNCOMPRESSED, 5, 8, 32773, 32946}  # LZW, Deflate, PackBits, ...
_TIFF_COLORS = {
    0: 'gray with white as 0',
    1: 'gray',
    2: 'RGB',
    3: 'palette',
    5: 'CMYK',
    6: 'YCbCr'
}
_SAMPLE_FORMATS = {2: 'signed', 3: 'floating-point'}


class Header(NamedTuple):
  """A readable file's format ('PNG', ...), size, bits (8, 16), colors (1, 3).

  Bits are those of one color, and 16 of them are gray only.
  """
  format: str
  height: int
  width: int
  bits: int
  colors: int


def read_gray_png(head: bytes, end: bytes, name: str) -> tuple[int, int] | None:
  """Returns (height, width) of Kaggle's kind of file; None for others and bad.

  The hot path: 124,288 files pass it twice, and hardly one asks `read`, which
  takes 20 us more, what it is.

  Args:
    head: the file's first HEAD_BYTES bytes.
    end: its last END_BYTES.
    name: the file's.
  """
  if not (head.startswith(_PNG_START) and head[24:29] == _PNG_8_BIT_GRAY and
          len(head) == HEAD_BYTES and end == _ENDS['PNG'] and
          name.endswith('.png')):
    return None
  width, height = _PNG_SIZE.unpack_from(head, 16)
  return (height, width) if 0 < height * width <= MAX_PIXELS else None


def read(file: BinaryIO, name: str, channel: str) -> Header:
  """Returns the header of an image file, whose end is looked at as well.

  Args:
    file: positioned at its start.
    name: the file's; its ending has to agree with the content.
    channel: of schema.CHANNELS, for the message.

  Raises:
    schema.DataError: the file is of a kind that is not read, larger than
      MAX_PIXELS, or cut short; the message says what it is.
  """
  head = file.read(HEAD_BYTES)
  file.seek(0, os.SEEK_END)
  num_bytes = file.tell()  # a remote file's seek returns nothing
  kind = _check_kind(head, name)
  if kind == 'PNG':
    header, received = _read_png(head)
  else:
    try:
      header, received = (_read_tiff if kind == 'TIFF' else _read_jpeg)(
          file, num_bytes)
    except struct.error as error:
      raise schema.DataError(
          f'expected a whole {kind}, received {num_bytes:,} bytes without the '
          'whole of its header') from error
  _, height, width, bits, colors = header
  if received or (bits, colors) not in _READ:
    raise schema.DataError(f'expected gray or {channel}-tinted pixels, received'
                           f' {received or f"{bits}-bit RGB"}')
  if not 0 < height * width <= MAX_PIXELS:
    raise schema.DataError(f'expected 1 to {MAX_PIXELS:,} pixels, received '
                           f'{height:,} x {width:,} (height x width)')
  end = _ENDS.get(kind, b'')
  file.seek(max(0, num_bytes - len(end)))
  if file.read(len(end)) != end:
    raise schema.DataError(
        f'expected a {kind} that ends as one, received {num_bytes:,} bytes '
        'without its end: the file was cut short')
  return header


def read_bytes(data: bytes, name: str, channel: str) -> Header:
  """Returns the header of an image file's content, as read does.

  Raises:
    schema.DataError: as in read.
  """
  return read(io.BytesIO(data), name, channel)


def _check_kind(head: bytes, name: str) -> str:
  """Returns the format, which content and name agree on."""
  found = next(
      (kind for signature, kind in _SIGNATURES if head.startswith(signature)),
      '')
  said = file_pattern.FORMATS.get(name[name.rfind('.'):].lower())
  if said is None:
    raise schema.DataError(
        f'expected a name that ends in one of {file_pattern.ENDINGS}, received '
        f'{os.path.basename(name)!r}')
  if found != said:
    received = 'an empty file'
    if head:
      received = f'a {found}' if found else 'another kind of file'
    raise schema.DataError(
        f'expected a {said} as its name says, received {received}')
  return found


def _read_png(head: bytes) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  if len(head) < HEAD_BYTES or head[12:16] != b'IHDR':
    raise schema.DataError(f'expected a whole PNG, received {len(head)} bytes '
                           'without the whole of its header')
  width, height, bits, color = struct.unpack('>IIBB', head[16:26])
  header = Header('PNG', height, width, bits, 3 if color == 2 else 1)
  if color in (0, 2) and bits in (8, 16):
    return header, ''
  return header, f'{bits}-bit {_PNG_COLORS.get(color, f"color type {color}")}'


def _read_jpeg(file: BinaryIO, num_bytes: int) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  position = 2
  while position < num_bytes:
    file.seek(position)
    start, marker, length = struct.unpack('>BBH', file.read(4))
    if start != 0xff or marker in (0xd9, 0xda):
      break
    if marker == 0xff:  # any number of them may stand before a marker
      position += 1
    elif marker == 0x01 or 0xd0 <= marker <= 0xd8:
      position += 2
    elif 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):
      bits, height, width, colors = struct.unpack('>BHHB', file.read(6))
      received = ''
      if marker > 0xc2:
        received = f'a JPEG of the rare kind SOF{marker - 0xc0}'
      elif bits != 8 or colors not in (1, 3):
        received = 'a CMYK JPEG' if colors == 4 else (
            f'a JPEG of {colors} colors of {bits} bits')
      return Header('JPEG', height, width, bits, colors), received
    else:
      position += 2 + length
  raise schema.DataError('expected a JPEG, received one without a frame header')


def _read_tiff(file: BinaryIO, num_bytes: int) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  tags, more = _read_directory(file, num_bytes)
  if {_WIDTH, _HEIGHT, _PHOTOMETRIC} - set(tags):
    raise schema.DataError('expected a TIFF, received one without a width, a '
                           'height or a color space')
  one = {tag: tags.get(tag, (1,))[0] for tag in _ONES | set(tags)}
  bits, samples = one[_BITS], one[_SAMPLES]
  color = _TIFF_COLORS.get(one[_PHOTOMETRIC], 'another color space')
  header = Header('TIFF', one[_HEIGHT], one[_WIDTH], bits, samples)
  if color not in ('gray', 'RGB'):
    received = f'{bits}-bit {color}'
  elif samples != (1 if color == 'gray' else 3):
    received = f'{bits}-bit {color} with alpha: {samples} values a pixel'
  elif set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
    kind = _SAMPLE_FORMATS.get(one[_SAMPLE_FORMAT], 'untyped')
    received = f'{kind} {bits}-bit {color}'
  elif (bits, samples) not in _READ or len(set(tags[_BITS])) > 1:
    received = f'{bits}-bit {color}'
  elif one[_COMPRESSION] not in _LOSSLESS:
    received = f'a TIFF of compression {one[_COMPRESSION]}'
  elif one[_FILL_ORDER] != 1:
    received = 'a TIFF with its bits in reverse'
  elif one[_ORIENTATION] != 1:
    received = f'a TIFF turned or mirrored (orientation {one[_ORIENTATION]})'
  elif one[_PLANAR] != 1 and samples > 1:
    received = 'a TIFF with its colors in separate planes'
  else:
    received = 'a TIFF of several images' if more else ''
  if not received and 0 < header.height * header.width <= MAX_PIXELS:
    _check_parts(tags, header, num_bytes)
  return header, received


def _read_directory(file: BinaryIO,
                    num_bytes: int) -> tuple[dict[int, tuple[int, ...]], bool]:
  """Returns whole-number tags of the first image, and whether more follow."""
  file.seek(0)
  order = '<' if file.read(2) == b'II' else '>'
  file.seek(4)
  file.seek(struct.unpack(f'{order}I', file.read(4))[0])
  count, = struct.unpack(f'{order}H', file.read(2))
  entries = file.read(12 * count)
  following, = struct.unpack(f'{order}I', file.read(4))
  tags = {}
  for tag, kind, length, value in struct.iter_unpack(f'{order}HHI4s', entries):
    if kind in _TIFF_TYPES and tag in _TAGS:
      layout = f'{order}{length}{_TIFF_TYPES[kind]}'
      value_bytes = struct.calcsize(layout)
      if value_bytes > min(num_bytes, _MAX_TAG_BYTES):
        raise struct.error(f'tag {tag} of {value_bytes} bytes')
      if value_bytes > 4:
        file.seek(struct.unpack(f'{order}I', value)[0])
        value = file.read(value_bytes)
      if length:
        tags[tag] = struct.unpack(layout, value[:value_bytes])
  return tags, following != 0


def _check_parts(tags: dict[int, tuple[int, ...]], header: Header,
                 num_bytes: int) -> None:
  """Checks that all strips or tiles are there, and inside the file.

  Raises:
    schema.DataError: they are not; decoders leave such parts black.
  """
  _, height, width, bits, colors = header
  if _TILES in tags:
    starts, lengths = tags[_TILES], tags.get(_TILE_BYTES, ())
    rows, columns = tags.get(_TILE_HEIGHT,
                             (0,))[0], tags.get(_TILE_WIDTH, (0,))[0]
  else:
    starts, lengths = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
    rows, columns = min(tags.get(_STRIP_ROWS, (height,))[0], height), width
  wanted = least = 0
  if 0 < rows * columns <= MAX_PIXELS:  # a tile may be larger than the image
    wanted = math.ceil(height / rows) * math.ceil(width / columns)
  if tags.get(_COMPRESSION, (_UNCOMPRESSED,))[0] == _UNCOMPRESSED:
    least = height * width * colors * bits // 8
  if not (0 < wanted == len(starts) == len(lengths) and min(lengths) and
          sum(lengths) >= least):
    raise schema.DataError(
        f'expected a TIFF with all parts of {height:,} x {width:,} pixels, '
        f'received {len(starts):,} parts of {sum(lengths):,} bytes in all')
  end = max(map(sum, zip(starts, lengths)))
  if end > num_bytes:
    raise schema.DataError(f'expected {end:,} bytes as the TIFF\'s header says,'
                           f' received {num_bytes:,}: the file was cut short')
