"""Reads and checks the header of an image file: size, depth and colors.

The header decides whether a file is decoded. Libraries convert kinds that they
do not support (kornia_rs reads palettes as gray and only one image of an
animated PNG, Pillow reads 16-bit RGB as 8-bit), warn in place of an error, and
open files of three times their own limit. So the header is parsed here: 41
bytes and the last 12 of a PNG (png), the markers before the pixels of a JPEG
(jpeg), the directories of a TIFF (tiff), the markers of a JPEG 2000 (jpeg2000).
Errors name the kind of the file.

Source: PNG specification (W3C), 5.2 signature, 11.2.1 IHDR.
"""

import io
import os
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from hpa_records.images import file_kind
from hpa_records.images import file_pattern
from hpa_records.images import how as how_lib
from hpa_records.images import stack as stack_lib
from hpa_records.images.containers import jpeg
from hpa_records.images.containers import jpeg2000
from hpa_records.images.containers import png
from hpa_records.images.containers import tiff
from hpa_records.images.containers import tiff_kind
from hpa_records.images.containers import tiff_parts
from hpa_records.runtime import errors

# 8192 x 8192, 64 MiB of 8-bit gray; the largest HPA image is 3072 x 3072.
MAX_PIXELS = 2**26
# Of one image: float32 or 8-bit RGBA of MAX_PIXELS.
_MAX_PIXEL_BYTES = 256 * 2**20
# Of all images of a stack: 16 of MAX_PIXELS, or 256 of 2048 x 2048.
_MAX_STACK_PIXELS = 2**30
MAX_FILE_BYTES = 2**30

HEAD_BYTES = 41  # a PNG's signature, IHDR chunk, and the next chunk's name
END_BYTES = 12  # a PNG's IEND chunk
_PNG_START = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
_PNG_8_BIT_GRAY = b'\x08\0\0\0\0'  # depth, color, methods, no interlace
_PNG_SIZE = struct.Struct('>II')
_SIGNATURES = ((b'\x89PNG\r\n\x1a\n', 'PNG'), (b'II*\0', 'TIFF'),
               (b'MM\0*', 'TIFF'), (b'II+\0', 'TIFF'), (b'MM\0+', 'TIFF'),
               (b'\xff\xd8\xff', 'JPEG'), (jpeg2000.BOX_START, 'JPEG 2000'),
               (jpeg2000.CODESTREAM_START, 'JPEG 2000'))
_ENDS = {'PNG': png.END, 'JPEG': jpeg.END}
# What a stacked file of each kind must have.
_STACKED = {'planes': 'gray, RGB or RGBA pixels', 'pages': 'gray pages'}
# Allowed bytes of a file beyond four times its pixels. A sparse file of a few
# kilobytes on disk may have a gigabyte, which would all be read.
_MAX_SPARE_BYTES = 2**25


class Header(NamedTuple):
  """The header of a supported image file.

  Attributes:
    format: one of the values of file_pattern.FORMATS.
    height, width: in pixels.
    depth: type of a value: 'uint8', 'uint16', 'float32' or 'float64'.
    colors: values of a pixel: 1 (gray), 3 (RGB); in a stacked file 1..16.
    images: the tags of each image of a TIFF.
    chosen: of a stacked file the planes or pages of each channel, whose maximum
      is the channel's plane.
  """
  format: str
  height: int
  width: int
  depth: str
  colors: int
  images: tuple[tiff.Tags, ...] = ()
  chosen: tuple[tuple[int, ...], ...] = ()


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


def read(file: BinaryIO,
         name: str,
         how: how_lib.How,
         channel: int = 0) -> Header:
  """Returns the header of an image file; also checks the file's end.

  Args:
    file: positioned at its start; the content of a compressed file.
    name: of the file; its extension must match the content.
    how: settings of the image; how.stack says what the file must have.
    channel: index of the file's channel, for the message.

  Raises:
    errors.DataError: the file is of an unsupported kind, larger than
      MAX_PIXELS or MAX_FILE_BYTES, truncated, has data after its end, or has
      other planes than a stacked file needs; the message names its kind.
  """
  head = file.read(HEAD_BYTES)
  file.seek(0, os.SEEK_END)
  num_bytes = file.tell()  # a remote file's seek returns nothing
  kind = _check_kind(head, name)
  if num_bytes > MAX_FILE_BYTES:
    raise errors.DataError(f'expected at most {MAX_FILE_BYTES:,} bytes, '
                           f'received {num_bytes:,}')
  stacked = how.stack.kind if how.stack else ''
  try:
    if kind == 'TIFF':
      header, unsupported = _read_tiff(file, num_bytes, stacked)
    else:
      (*size, bits, colors), unsupported = _READERS[kind](file, num_bytes)
      header = Header(kind, *size, f'uint{bits}', colors)
  except struct.error as error:
    raise errors.DataError(f'truncated {kind} ({num_bytes:,} bytes): the '
                           'header is incomplete') from error
  fits = header.colors == 1 or stacked == 'planes' or (
      not stacked and (header.depth, header.colors) == ('uint8', 3))
  if unsupported or not fits:
    expected = _STACKED.get(stacked,
                            f'gray or {how.channels[channel]}-tinted pixels')
    raise errors.DataError(f'expected {expected}, received '
                           f'{unsupported or _describe_colors(header)}')
  _check_size(header, num_bytes)
  if kind == 'TIFF':
    tiff_parts.check(header.images, num_bytes, MAX_PIXELS, _MAX_PIXEL_BYTES)
  elif kind in _ENDS:
    _check_end(file, num_bytes, kind)
  return header._replace(chosen=_choose(header, how)) if stacked else header


def _describe_colors(header: Header) -> str:
  bits = 8 * np.dtype(header.depth).itemsize
  return f'{bits}-bit {"RGBA" if header.colors == 4 else "RGB"}'


def _check_size(header: Header, num_bytes: int) -> None:
  """Checks the size of the pixels, and of the file compared with them."""
  num_pixels, num_images = header.height * header.width, len(header.images) or 1
  if not 0 < num_pixels <= MAX_PIXELS:
    raise errors.DataError(f'expected 1 to {MAX_PIXELS:,} pixels, received '
                           f'{header.height:,} x {header.width:,} '
                           '(height x width)')
  pixel_bytes = num_pixels * header.colors * np.dtype(header.depth).itemsize
  if (pixel_bytes > _MAX_PIXEL_BYTES or
      num_pixels * num_images > _MAX_STACK_PIXELS):
    raise errors.DataError(
        f'expected at most {_MAX_PIXEL_BYTES:,} bytes of an image and '
        f'{_MAX_STACK_PIXELS:,} pixels of all, received {num_images:,} of '
        f'{header.height:,} x {header.width:,} pixels of {header.colors} '
        f'{header.depth}')
  most_bytes = _most_bytes(pixel_bytes * num_images)
  if num_bytes > most_bytes:
    raise errors.DataError(
        f'expected at most {most_bytes:,} bytes for {header.height:,} x '
        f'{header.width:,} pixels, received {num_bytes:,}')


def _choose(header: Header, how: how_lib.How) -> tuple[tuple[int, ...], ...]:
  """Returns Header.chosen of a stacked file."""
  num_channels = len(how.channels)
  if how.stack.kind == 'planes':
    return stack_lib.find_planes(how.stack, num_channels, header.colors)
  images = header.images or (tiff.Tags('<', {}, ''),)
  return stack_lib.find_pages(how.stack, how.channels, len(images),
                              images[0].text)


def _most_bytes(pixel_bytes: int) -> int:
  """Returns the largest allowed size of a file with pixel_bytes of pixels."""
  return _MAX_SPARE_BYTES + 4 * pixel_bytes


def _check_kind(head: bytes, name: str) -> str:
  """Returns the format, checked against the extension of the name."""
  found = next(
      (kind for signature, kind in _SIGNATURES if head.startswith(signature)),
      '')
  wanted = next((found for ending, found in file_pattern.FORMATS.items()
                 if name.lower().endswith(ending)), '')
  if not wanted:
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
    kind: its format; a TIFF or JPEG 2000 is not checked.

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


def _read_tiff(file: BinaryIO, num_bytes: int,
               stacked: str) -> tuple[Header, str]:
  """Returns the header of a TIFF, and the unsupported kind or ''."""
  images = (tiff.read_all(file, num_bytes) if stacked == 'pages' else
            (tiff.read(file, num_bytes),))
  kinds = [(tags.first(tiff.HEIGHT), tags.first(tiff.WIDTH),
            tiff_kind.depth(tags), tags.first(tiff.SAMPLES)) for tags in images]
  unsupported = next(
      filter(None,
             (tiff_kind.find_other_kind(tags, stacked) for tags in images)), '')
  if not unsupported and len(set(kinds)) > 1:
    i = next(i for i, each in enumerate(kinds) if each != kinds[0])
    unsupported = (f'a TIFF of different images: {kinds[0]}, and {kinds[i]} as '
                   f'image {i + 1}')
  return Header('TIFF', *kinds[0], images), unsupported


# (file, num_bytes) -> ((height, width, bits, colors), unsupported kind or '');
# they raise struct.error for a truncated header.
_READERS = {'PNG': png.read, 'JPEG': jpeg.read, 'JPEG 2000': jpeg2000.read}
# (file, num_bytes) -> the first byte behind the image, 0 if there is none.
_FIND_END = {
    'PNG': lambda file, num_bytes: png.find_end(png.walk(file, num_bytes)),
    'JPEG': jpeg.find_end,
}
