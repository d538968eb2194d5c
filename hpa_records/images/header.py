"""What an image file says of itself before its first pixel.

Size, depth and colours decide whether a file is read at all, so they are read
here and not by a library: of a PNG 41 bytes and the last 12, of a JPEG its
markers up to the pixels, of a TIFF its directory (tiff). Libraries turn what
they do not know into something near it (kornia_rs reads palettes as gray and
of an animated PNG one image, Pillow 16-bit RGB as 8-bit), warn where they
should refuse, and open a file of three times their own limit. Each refusal
names what the file is.

Source: PNG specification (W3C), 5.2 signature, 11.2.1 IHDR, 11.2.5 IEND;
ITU-T T.81, B.1 and B.2; Exif 2.32 (CIPA), 4.5.4.
"""

import io
import itertools
import os
import re
import struct
from typing import BinaryIO, Iterable, Iterator, NamedTuple, Sequence
import zlib

from hpa_records.images import file_kind
from hpa_records.images import file_pattern
from hpa_records.images import tiff
from hpa_records.runtime import errors
from hpa_records.runtime import printable

# 8192 x 8192, 64 MiB of 8-bit gray; the largest HPA image is 3072 x 3072.
MAX_PIXELS = 2**26
# Such an image takes 192 MiB where nothing is compressed.
MAX_FILE_BYTES = 2**30

HEAD_BYTES = 41  # a PNG's signature, IHDR chunk, and the next one's name
END_BYTES = 12  # its IEND chunk
_PNG_START = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
_PNG_HEADER_BYTES = 33
_PNG_8_BIT_GRAY = b'\x08\0\0\0\0'  # depth, color, methods, no interlace
_PNG_SIZE = struct.Struct('>II')
_PNG_CHUNK = struct.Struct('>I4s')
_STORED_CHUNKS = (b'IHDR', b'IDAT', b'IEND')
_SIGNATURES = ((b'\x89PNG\r\n\x1a\n', 'PNG'), (b'II*\0', 'TIFF'),
               (b'MM\0*', 'TIFF'), (b'II+\0', 'TIFF'), (b'MM\0+', 'TIFF'),
               (b'\xff\xd8\xff', 'JPEG'))
_ENDS = {'PNG': b'\0\0\0\0IEND\xaeB`\x82', 'JPEG': b'\xff\xd9'}
_READ = ((8, 1), (16, 1), (8, 3))  # bits and colors
_Chunk = tuple[bytes, int, int]  # name, start of the content, its length
_PNG_COLORS = {0: 'gray', 2: 'RGB', 3: 'palette', 4: 'gray+alpha', 6: 'RGBA'}
_EXIF = b'Exif\0\0'
_XMP = b'http://ns.adobe.com/xap/1.0/\0'
_XMP_ORIENTATION = re.compile(
    rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([0-9])\b')
_XMP_NAME = b'XML:com.adobe.xmp'
_RAW_PROFILES = (b'Raw profile type exif', b'Raw profile type APP1')
_TEXTS = (b'tEXt', b'zTXt', b'iTXt')
# Of more and longer ones nothing is unpacked.
_MAX_TEXTS = 100
_MAX_TEXT_BYTES = 2**20
# Of a file beyond four times its pixels: a sparse one of a few kilobytes may
# have a gigabyte, which is read whole.
_MAX_SPARE_BYTES = 2**25
# More chunks or markers are not looked at: a read for each takes time.
_MAX_STEPS = 100_000
_TOO_MANY = f'expected at most {_MAX_STEPS:,} chunks or markers, received more'
_TAIL_BYTES = 2**22


class Header(NamedTuple):
  """A readable file's format ('PNG', ...), size, bits (8, 16), colors (1, 3).

  Bits are those of one color, and 16 of them are gray only. A TIFF's has its
  tags.
  """
  format: str
  height: int
  width: int
  bits: int
  colors: int
  tags: tiff.Tags | None = None


def read_gray_png(head: bytes, end: bytes, num_bytes: int,
                  name: str) -> tuple[int, int] | None:
  """Returns (height, width) of Kaggle's kind of file; None for others and bad.

  The hot path: 124,288 files pass it twice, and hardly one asks `read`, which
  takes 20 us more, what it is. Nothing is between the header and the pixels
  that could say more of them.

  Args:
    head: the file's first HEAD_BYTES bytes.
    end: its last END_BYTES.
    num_bytes: of the file.
    name: the file's.
  """
  if not (head.startswith(_PNG_START) and head[24:29] == _PNG_8_BIT_GRAY and
          head[37:] == b'IDAT' and end == _ENDS['PNG'] and
          name.endswith('.png')):
    return None
  width, height = _PNG_SIZE.unpack_from(head, 16)
  if not (0 < height * width <= MAX_PIXELS and
          num_bytes <= _most_bytes(height * width)):
    return None
  return height, width


def read(file: BinaryIO, name: str, channel: str) -> Header:
  """Returns the header of an image file, whose end is looked at as well.

  Args:
    file: positioned at its start.
    name: the file's; its ending has to agree with the content.
    channel: of spec.CHANNELS, for the message.

  Raises:
    errors.DataError: the file is of a kind that is not read, larger than
      MAX_PIXELS or MAX_FILE_BYTES, cut short, or goes on behind its end; the
      message says what it is.
  """
  head = file.read(HEAD_BYTES)
  file.seek(0, os.SEEK_END)
  num_bytes = file.tell()  # a remote file's seek returns nothing
  kind = _check_kind(head, name)
  if num_bytes > MAX_FILE_BYTES:
    raise errors.DataError(f'expected at most {MAX_FILE_BYTES:,} bytes, '
                           f'received {num_bytes:,}')
  try:
    header, received = _READERS[kind](file, num_bytes)
  except struct.error as error:
    raise errors.DataError(
        f'expected a whole {kind}, received {num_bytes:,} bytes without the '
        'whole of its header') from error
  if received or (header.bits, header.colors) not in _READ:
    raise errors.DataError(f'expected gray or {channel}-tinted pixels, received'
                           f' {received or f"{header.bits}-bit RGB"}')
  if not 0 < header.height * header.width <= MAX_PIXELS:
    raise errors.DataError(f'expected 1 to {MAX_PIXELS:,} pixels, received '
                           f'{header.height:,} x {header.width:,} '
                           '(height x width)')
  most_bytes = _most_bytes(header.height * header.width * header.colors *
                           header.bits // 8)
  if num_bytes > most_bytes:
    raise errors.DataError(
        f'expected at most {most_bytes:,} bytes for {header.height:,} x '
        f'{header.width:,} pixels, received {num_bytes:,}')
  if header.tags:
    tiff.check_parts(header.tags, num_bytes, MAX_PIXELS)
  else:
    _check_end(file, num_bytes, kind)
  return header


def _most_bytes(pixel_bytes: int) -> int:
  """Returns how large a file of so many bytes of pixels may be."""
  return _MAX_SPARE_BYTES + 4 * pixel_bytes


def read_bytes(data: bytes, name: str, channel: str) -> Header:
  """Returns the header of an image file's content, as read does.

  Raises:
    errors.DataError: as in read.
  """
  return read(io.BytesIO(data), name, channel)


def _check_kind(head: bytes, name: str) -> str:
  """Returns the format, which content and name agree on."""
  found = next(
      (kind for signature, kind in _SIGNATURES if head.startswith(signature)),
      '')
  said = file_pattern.FORMATS.get(name[name.rfind('.'):].lower())
  if said is None:
    raise errors.DataError(
        f'expected a name that ends in one of {file_pattern.ENDINGS}, received '
        f'{os.path.basename(name)!r}')
  if found != said:
    received = file_kind.describe(head) or 'another kind of file'
    raise errors.DataError(f'expected a {said} as its name says, received '
                           f'{received if head else "an empty file"}')
  return found


def _check_end(file: BinaryIO, num_bytes: int, kind: str) -> None:
  """Checks that a PNG or JPEG ends where its bytes do."""
  end = _ENDS[kind]
  file.seek(max(0, num_bytes - len(end)))
  if file.read(len(end)) == end:
    return
  behind = num_bytes - (_end_of_png(_walk_png(file, num_bytes))
                        if kind == 'PNG' else _find_jpeg_end(file, num_bytes))
  if behind < num_bytes:
    raise _go_on(kind, behind)
  raise errors.DataError(
      f'expected a {kind} that ends as one, received {num_bytes:,} bytes '
      'without its end: the file was cut short')


def find_stored_fault(data: bytes | memoryview) -> str:
  """Returns what is wrong with the chunks of a stored PNG; '' if nothing is.

  They are those that the converter writes, one after another to the end. A
  decoder may take the memory that a chunk asks for before it looks whether the
  data are there, as OpenCV does, up to 4 GB; and unpack compressed text for
  seconds.

  Args:
    data: that begins as a PNG does.
  """
  try:
    chunks = list(_walk_png(io.BytesIO(data), len(data)))
  except errors.DataError as error:  # chunks without end
    return str(error)
  for kind, _, _ in chunks:
    if kind not in _STORED_CHUNKS:
      return (f'it has the chunk {printable.quote(kind.decode("latin-1"))}, '
              'which the converter does not write')
  if _end_of_png(chunks) != len(data):
    return 'its chunks do not end where its bytes do'
  return ''


def _go_on(kind: str, num_bytes: int) -> errors.DataError:
  return errors.DataError(
      f'expected a {kind} that ends as one, received {num_bytes:,} more bytes '
      'after its end: something was written behind it')


def check_single(data: bytes, kind: str) -> None:
  """Checks that a PNG or JPEG ends nowhere but where its bytes do.

  What is written behind one may end as one, such as another picture. `read`
  does not find that: it reads no pixels. Nor does it find what a PNG says of
  itself behind them.

  Args:
    data: the whole file, in which read found nothing.
    kind: its format; of a TIFF nothing is checked.

  Raises:
    errors.DataError: it goes on behind its end, or is turned.
  """
  file, end = io.BytesIO(data), len(data)
  if kind == 'PNG':
    chunks = list(_walk_png(file, end))
    end = _end_of_png(chunks)
    received = _find_turned_png(file, chunks)
    if received:
      raise errors.DataError(f'expected upright pixels, received {received}')
  elif kind == 'JPEG':
    # Behind the last marker before the pixels: a preview before them may end.
    _, start, _ = list(_walk_jpeg(file, end))[-1]
    end = data.find(_ENDS[kind], start) + len(_ENDS[kind])
  if 0 < end < len(data):
    raise _go_on(kind, len(data) - end)


def _find_turned_png(file: BinaryIO, chunks: Sequence[_Chunk]) -> str:
  """Returns how some chunks of a PNG say that it is turned, or ''."""
  seen = set()  # a PNG has each once; one may have a hundred, to be unpacked
  texts = [each for each in chunks if each[0] in _TEXTS][:_MAX_TEXTS]
  for kind, start, length in texts:
    file.seek(start)
    name, _, text = file.read(min(length, _MAX_TEXT_BYTES)).partition(b'\0')
    if name in (*_RAW_PROFILES, _XMP_NAME) and name not in seen:
      seen.add(name)
      found = _find_in_text(kind, name, text)
      if found:
        return found
  for kind, start, length in chunks:
    if kind == b'eXIf':
      file.seek(start)
      found = _describe_turned(
          tiff.find_orientations(file.read(min(length, _MAX_TEXT_BYTES))),
          'PNG')
      if found:
        return found
  return ''


def _find_in_text(kind: bytes, name: bytes, text: bytes) -> str:
  """Returns how a PNG's named chunk of text says that it is turned, or ''.

  Exif as older ImageMagick writes it, and XMP as Adobe's programs do.

  Source: PNG specification (W3C), 11.3.3; ImageMagick, coders/png.c; XMP
  specification part 3 (Adobe), 1.1.5.
  """
  is_xmp = name == _XMP_NAME
  is_packed = kind == b'zTXt' or (kind == b'iTXt' and text[:1] == b'\1')
  if kind == b'iTXt':  # flag, method, language, translated name
    text = text[2:].split(b'\0', 2)[-1]
  elif is_packed:
    text = text[1:]
  try:
    if is_packed:
      text = zlib.decompressobj().decompress(text, _MAX_TEXT_BYTES)
    if is_xmp:
      return _describe_turned(_find_in_xmp(text), 'PNG', 'XMP')
    exif = bytes.fromhex(b''.join(text.split()[2:]).decode('ascii'))
  except (zlib.error, ValueError):
    return ''
  return _describe_turned(tiff.find_orientations(exif.removeprefix(_EXIF)),
                          'PNG')


def _find_in_xmp(text: bytes) -> set[int]:
  return set(map(int, _XMP_ORIENTATION.findall(text)))


def _end_of_png(chunks: Iterable[_Chunk]) -> int:
  """Returns the position after the end, 0 if there is none."""
  for kind, start, length in chunks:
    if kind == b'IEND':
      return start + length + 4
  return 0


def _find_jpeg_end(file: BinaryIO, num_bytes: int) -> int:
  """Returns the position after the end, 0 if there is none near."""
  start = max(0, num_bytes - _TAIL_BYTES)
  for marker, position, _ in _walk_jpeg(file, num_bytes):
    if marker == 0xda:  # before it a preview may end
      start = max(start, position)
  file.seek(start)
  found = file.read(_TAIL_BYTES).rfind(_ENDS['JPEG'])
  return 0 if found < 0 else start + found + len(_ENDS['JPEG'])


def _walk_png(file: BinaryIO, num_bytes: int) -> Iterator[_Chunk]:
  """Yields each whole chunk up to the end of the PNG."""
  position = 8
  for _ in range(_MAX_STEPS):
    file.seek(position)
    head = file.read(8)
    if len(head) < 8:
      return
    length, kind = _PNG_CHUNK.unpack(head)
    if position + 12 + length > num_bytes:
      return
    yield kind, position + 8, length
    if kind == b'IEND':
      return
    position += 12 + length
  raise errors.DataError(_TOO_MANY)


def _read_png(file: BinaryIO, num_bytes: int) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  file.seek(0)
  head = file.read(_PNG_HEADER_BYTES)
  if len(head) < _PNG_HEADER_BYTES or head[12:16] != b'IHDR':
    raise struct.error('no IHDR')
  width, height, bits, color = struct.unpack('>IIBB', head[16:26])
  header = Header('PNG', height, width, bits, 3 if color == 2 else 1)
  if color not in (0, 2) or bits not in (8, 16):
    return header, f'{bits}-bit {_PNG_COLORS.get(color, f"color type {color}")}'
  chunks = list(
      itertools.takewhile(lambda each: each[0] != b'IDAT',
                          _walk_png(file, num_bytes)))
  if any(kind == b'acTL' for kind, _, _ in chunks):
    return header, 'a PNG of several images (animated)'
  return header, _find_turned_png(file, chunks)


def _walk_jpeg(file: BinaryIO,
               num_bytes: int) -> Iterator[tuple[int, int, int]]:
  """Yields marker, start of the content and length of all before the pixels."""
  position = 2
  for _ in range(_MAX_STEPS):
    if position >= num_bytes:
      return
    file.seek(position)
    head = file.read(4)
    if head[:1] != b'\xff' or head[:2] == _ENDS['JPEG']:
      return
    marker, length = struct.unpack('>xBH', head)
    if marker == 0xff:  # any number of them may stand before a marker
      position += 1
    elif marker == 0x01 or 0xd0 <= marker <= 0xd8:
      position += 2
    else:
      yield marker, position + 4, length - 2
      if marker == 0xda:
        return
      position += 2 + length
  raise errors.DataError(_TOO_MANY)


def _read_jpeg(file: BinaryIO, num_bytes: int) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  header, received = None, ''
  for marker, start, length in _walk_jpeg(file, num_bytes):
    if marker == 0xe1:
      received = received or _find_exif(file, start, length)
    elif 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):
      file.seek(start)
      bits, height, width, colors = struct.unpack('>BHHB', file.read(6))
      header = header or Header('JPEG', height, width, bits, colors)
      if marker > 0xc2:
        received = f'a JPEG of the rare kind SOF{marker - 0xc0}'
      elif bits != 8 or colors not in (1, 3):
        received = 'a CMYK JPEG' if colors == 4 else (
            f'a JPEG of {colors} colors of {bits} bits')
  if header:
    return header, received
  raise errors.DataError('expected a JPEG, received one without a frame header')


def _find_exif(file: BinaryIO, start: int, length: int) -> str:
  """Returns what is not read of a JPEG's APP1, which may be Exif or XMP."""
  file.seek(start)
  content = file.read(min(max(0, length), _MAX_TEXT_BYTES))
  if content.startswith(_EXIF):
    return _describe_turned(tiff.find_orientations(content[len(_EXIF):]),
                            'JPEG')
  if content.startswith(_XMP):
    return _describe_turned(_find_in_xmp(content), 'JPEG', 'XMP')
  return ''


def _describe_turned(orientations: set[int],
                     kind: str,
                     told_by: str = 'Exif') -> str:
  """Returns how a file says that it is turned; '' if it does not.

  Viewers turn such pictures, decoders do not; 0 is what some cameras say for
  none.
  """
  turned = orientations - {0, 1}
  return (f'a {kind} turned or mirrored ({told_by} orientation {min(turned)})'
          if turned else '')


def _read_tiff(file: BinaryIO, num_bytes: int) -> tuple[Header, str]:
  """Returns the header, and what is not read: empty where all is."""
  tags = tiff.read(file, num_bytes)
  height, width, bits, colors = map(
      tags.first, (tiff.HEIGHT, tiff.WIDTH, tiff.BITS, tiff.SAMPLES))
  return Header('TIFF', height, width, bits, colors,
                tags), tiff.find_other_kind(tags)


_READERS = {'PNG': _read_png, 'JPEG': _read_jpeg, 'TIFF': _read_tiff}
