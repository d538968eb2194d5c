"""What an image file says of itself before its first pixel.

Size, depth and colours decide whether a file is read at all, so they are read
here and not by a library: of a PNG 41 bytes and the last 12 (png), of a JPEG
its markers up to the pixels (jpeg), of a TIFF its directory (tiff). Libraries
turn what they do not know into something near it (kornia_rs reads palettes as
gray and of an animated PNG one image, Pillow 16-bit RGB as 8-bit), warn where
they should refuse, and open a file of three times their own limit. Each refusal
names what the file is.

Source: PNG specification (W3C), 5.2 signature, 11.2.1 IHDR.
"""

import io
import os
import struct
from typing import BinaryIO, NamedTuple

from hpa_records.images import file_kind
from hpa_records.images import file_pattern
from hpa_records.images import jpeg
from hpa_records.images import png
from hpa_records.images import tiff
from hpa_records.runtime import errors

# 8192 x 8192, 64 MiB of 8-bit gray; the largest HPA image is 3072 x 3072.
MAX_PIXELS = 2**26
# Such an image takes 192 MiB where nothing is compressed.
MAX_FILE_BYTES = 2**30

HEAD_BYTES = 41  # a PNG's signature, IHDR chunk, and the next one's name
END_BYTES = 12  # its IEND chunk
_PNG_START = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
_PNG_8_BIT_GRAY = b'\x08\0\0\0\0'  # depth, color, methods, no interlace
_PNG_SIZE = struct.Struct('>II')
_SIGNATURES = ((b'\x89PNG\r\n\x1a\n', 'PNG'), (b'II*\0', 'TIFF'),
               (b'MM\0*', 'TIFF'), (b'II+\0', 'TIFF'), (b'MM\0+', 'TIFF'),
               (b'\xff\xd8\xff', 'JPEG'))
_ENDS = {'PNG': png.END, 'JPEG': jpeg.END}
_READ = ((8, 1), (16, 1), (8, 3))  # bits and colors
# Of a file beyond four times its pixels: a sparse one of a few kilobytes may
# have a gigabyte, which is read whole.
_MAX_SPARE_BYTES = 2**25


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
    shape, received = _READERS[kind](file, num_bytes)
  except struct.error as error:
    raise errors.DataError(
        f'expected a whole {kind}, received {num_bytes:,} bytes without the '
        'whole of its header') from error
  header = Header(kind, *shape)
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
  behind = num_bytes - (png.find_end(png.walk(file, num_bytes))
                        if kind == 'PNG' else jpeg.find_end(file, num_bytes))
  if behind < num_bytes:
    raise _go_on(kind, behind)
  raise errors.DataError(
      f'expected a {kind} that ends as one, received {num_bytes:,} bytes '
      'without its end: the file was cut short')


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
    chunks = list(png.walk(file, end))
    end = png.find_end(chunks)
    received = png.find_turned(file, chunks)
    if received:
      raise errors.DataError(f'expected upright pixels, received {received}')
  elif kind == 'JPEG':
    # Behind the last marker before the pixels: a preview before them may end.
    _, start, _ = list(jpeg.walk(file, end))[-1]
    end = data.find(_ENDS[kind], start) + len(_ENDS[kind])
  if 0 < end < len(data):
    raise _go_on(kind, len(data) - end)


def _read_tiff(
    file: BinaryIO,
    num_bytes: int) -> tuple[tuple[int, int, int, int, tiff.Tags], str]:
  """Returns (height, width, bits, colors, tags), and what is not read, or ''.
  """
  tags = tiff.read(file, num_bytes)
  height, width, bits, colors = map(
      tags.first, (tiff.HEIGHT, tiff.WIDTH, tiff.BITS, tiff.SAMPLES))
  return (height, width, bits, colors, tags), tiff.find_other_kind(tags)


_READERS = {'PNG': png.read, 'JPEG': jpeg.read, 'TIFF': _read_tiff}
