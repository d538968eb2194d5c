"""Reads and checks the header of an image file: size, bit depth and colors.

The header decides whether a file is decoded. Libraries convert kinds that they
do not support (kornia_rs reads palettes as gray and only one image of an
animated PNG, Pillow reads 16-bit RGB as 8-bit), warn in place of an error, and
open files of three times their own limit. So the header is parsed here: 41
bytes and the last 12 of a PNG (png), the markers before the pixels of a JPEG
(jpeg), the directory of a TIFF (tiff). Errors name the kind of the file.

Source: PNG specification (W3C), 5.2 signature, 11.2.1 IHDR.
"""

import io
import os
import struct
from typing import BinaryIO, NamedTuple

from hpa_records.images import file_kind
from hpa_records.images import file_pattern
from hpa_records.images.containers import jpeg
from hpa_records.images.containers import png
from hpa_records.images.containers import tiff
from hpa_records.runtime import errors

# 8192 x 8192, 64 MiB of 8-bit gray; the largest HPA image is 3072 x 3072.
MAX_PIXELS = 2**26
# An uncompressed RGB image of MAX_PIXELS has 192 MiB.
MAX_FILE_BYTES = 2**30

HEAD_BYTES = 41  # a PNG's signature, IHDR chunk, and the next chunk's name
END_BYTES = 12  # a PNG's IEND chunk
_PNG_START = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
_PNG_8_BIT_GRAY = b'\x08\0\0\0\0'  # depth, color, methods, no interlace
_PNG_SIZE = struct.Struct('>II')
_SIGNATURES = ((b'\x89PNG\r\n\x1a\n', 'PNG'), (b'II*\0', 'TIFF'),
               (b'MM\0*', 'TIFF'), (b'II+\0', 'TIFF'), (b'MM\0+', 'TIFF'),
               (b'\xff\xd8\xff', 'JPEG'))
_ENDS = {'PNG': png.END, 'JPEG': jpeg.END}  # a TIFF has none
_READ = ((8, 1), (16, 1), (8, 3))  # bits and colors
# Allowed bytes of a file beyond four times its pixels. A sparse file of a few
# kilobytes on disk may have a gigabyte, which would all be read.
_MAX_SPARE_BYTES = 2**25


class Header(NamedTuple):
  """The header of a supported image file.

  Attributes:
    format: 'PNG', 'TIFF' or 'JPEG'.
    height, width: in pixels.
    bits: of one color, 8 or 16; 16 only in gray files.
    colors: 1 (gray) or 3 (RGB).
    tags: of a TIFF.
  """
  format: str
  height: int
  width: int
  bits: int
  colors: int
  tags: tiff.Tags | None = None

  @property
  def depth(self) -> str:
    """The type of a value, such as 'uint8'."""
    return f'uint{self.bits}'


def read_gray_png(head: bytes, end: bytes, num_bytes: int,
                  name: str) -> tuple[int, int] | None:
  """Returns (height, width) of a plain 8-bit gray PNG; None for other files.

  A fast path for Kaggle's 124,288 files; read takes 20 us more. It accepts only
  PNGs without chunks between IHDR and IDAT.

  Args:
    head: the file's first HEAD_BYTES bytes.
    end: its last END_BYTES bytes.
    num_bytes: size of the file.
    name: of the file.
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
  """Returns the header of an image file; also checks the file's end.

  Args:
    file: positioned at its start.
    name: of the file; its extension must match the content.
    channel: name of the channel, for the message.

  Raises:
    errors.DataError: the file is of an unsupported kind, larger than
      MAX_PIXELS or MAX_FILE_BYTES, truncated, or has data after its end; the
      message names its kind.
  """
  head = file.read(HEAD_BYTES)
  file.seek(0, os.SEEK_END)
  num_bytes = file.tell()  # a remote file's seek returns nothing
  kind = _check_kind(head, name)
  if num_bytes > MAX_FILE_BYTES:
    raise errors.DataError(f'expected at most {MAX_FILE_BYTES:,} bytes, '
                           f'received {num_bytes:,}')
  try:
    shape, unsupported = _READERS[kind](file, num_bytes)
  except struct.error as error:
    raise errors.DataError(f'truncated {kind} ({num_bytes:,} bytes): the '
                           'header is incomplete') from error
  header = Header(kind, *shape)
  if unsupported or (header.bits, header.colors) not in _READ:
    raise errors.DataError(f'expected gray or {channel}-tinted pixels, received'
                           f' {unsupported or f"{header.bits}-bit RGB"}')
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
  if kind == 'TIFF':
    tiff.check_parts(header.tags, num_bytes, MAX_PIXELS)
  else:
    _check_end(file, num_bytes, kind)
  return header


def _most_bytes(pixel_bytes: int) -> int:
  """Returns the largest allowed size of a file with pixel_bytes of pixels."""
  return _MAX_SPARE_BYTES + 4 * pixel_bytes


def read_bytes(data: bytes, name: str, channel: str) -> Header:
  """Returns the header of an image file's content, as read does.

  Raises:
    errors.DataError: as in read.
  """
  return read(io.BytesIO(data), name, channel)


def _check_kind(head: bytes, name: str) -> str:
  """Returns the format, checked against the extension of the name."""
  found = next(
      (kind for signature, kind in _SIGNATURES if head.startswith(signature)),
      '')
  wanted = file_pattern.FORMATS.get(name[name.rfind('.'):].lower())
  if wanted is None:
    raise errors.DataError(
        f'expected one of the extensions {file_pattern.ENDINGS}, received '
        f'{os.path.basename(name)!r}')
  if found != wanted:
    received = file_kind.describe(head) or 'another kind of file'
    raise errors.DataError(f'expected a {wanted} (from the extension), received'
                           f' {received if head else "an empty file"}')
  return found


def _check_end(file: BinaryIO, num_bytes: int, kind: str) -> None:
  """Checks that a PNG or JPEG is complete and has no data after its end."""
  end = _ENDS[kind]
  file.seek(max(0, num_bytes - len(end)))
  if file.read(len(end)) == end:
    return
  trailing = num_bytes - _FIND_END[kind](file, num_bytes)
  if trailing < num_bytes:
    raise _describe_trailing(kind, trailing)
  raise errors.DataError(f'truncated {kind} ({num_bytes:,} bytes): the end is '
                         'missing')


def _describe_trailing(kind: str, num_bytes: int) -> errors.DataError:
  return errors.DataError(
      f'{num_bytes:,} bytes of other data after the end of the {kind}')


def check_single(data: bytes, kind: str) -> None:
  """Checks that a PNG or JPEG has no data after its end and is not rotated.

  read does not find another image appended to the file, nor a PNG's chunks
  after the pixels.

  Args:
    data: the complete file, as passed by read.
    kind: its format; a TIFF is not checked.

  Raises:
    errors.DataError: there are data after the end, or the image is rotated.
  """
  file, end = io.BytesIO(data), len(data)
  if kind == 'PNG':
    chunks = list(png.walk(file, end))
    end = png.find_end(chunks)
    received = png.find_rotation(file, chunks)
    if received:
      raise errors.DataError(f'expected upright pixels, received {received}')
  elif kind == 'JPEG':
    # From the last marker before the pixels: a preview before it has an end.
    _, start, _ = list(jpeg.walk(file, end))[-1]
    end = data.find(_ENDS[kind], start) + len(_ENDS[kind])
  if 0 < end < len(data):
    raise _describe_trailing(kind, len(data) - end)


def _read_tiff(
    file: BinaryIO,
    num_bytes: int) -> tuple[tuple[int, int, int, int, tiff.Tags], str]:
  """Returns (height, width, bits, colors, tags) and the unsupported kind or ''.
  """
  tags = tiff.read(file, num_bytes)
  height, width, bits, colors = map(
      tags.first, (tiff.HEIGHT, tiff.WIDTH, tiff.BITS, tiff.SAMPLES))
  return (height, width, bits, colors, tags), tiff.find_other_kind(tags)


# (file, num_bytes) -> ((height, width, bits, colors), unsupported kind or '');
# they raise struct.error for a truncated header.
_READERS = {'PNG': png.read, 'JPEG': jpeg.read, 'TIFF': _read_tiff}
# (file, num_bytes) -> the first byte behind the image, 0 if there is none.
_FIND_END = {
    'PNG': lambda file, num_bytes: png.find_end(png.walk(file, num_bytes)),
    'JPEG': jpeg.find_end,
}
