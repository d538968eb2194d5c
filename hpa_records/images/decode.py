"""Decoding of one PNG, TIFF or JPEG, gray or tinted, to one plane [H, W].

Each format has the decoder that refuses damaged files (BUILD_NOTES.md, "Image
files"):
  PNG: kornia_rs takes 0.45 ms for a real 512x512 file on one core (cv2 1.02,
    Pillow 1.24) and verifies checksums, which Pillow does not.
  JPEG: kornia_rs's libjpeg-turbo refuses a truncated file, whose missing part
    cv2 and Pillow return as gray.
  TIFF: Pillow; cv2 returns a damaged 8-bit file in part.
All three decode some other kinds wrongly, so the header is checked before each
decode. Pillow gets a TIFF with a directory rewritten by tiff.rewrite.
"""

import io
import os

import kornia_rs
import numpy as np
from PIL import Image

from hpa_records.images import header as header_lib
from hpa_records.images import pseudocolor
from hpa_records.images.containers import tiff
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import filesystem

MAX_PIXELS = header_lib.MAX_PIXELS

# A progressive JPEG has about ten scans. At 8192 x 8192 pixels a scan takes
# 0.09 s, and may be only a hundred bytes long.
_MAX_SCANS = 100
_SCAN = b'\xff\xda'


def check(path: str, channel: str, white_level: int) -> tuple[int, int]:
  """Returns (height, width) of an image file; reads only its header and end.

  Args:
    path: local or an address.
    channel: one of spec.CHANNELS.
    white_level: the 16-bit intensity that becomes 255; 0 if not given.

  Raises:
    errors.DataError: the file is of an unsupported kind, larger than
      MAX_PIXELS, truncated, or 16-bit without a white_level.
    OSError: the file cannot be read.
  """
  return measure(path, channel, white_level)[:2]


def measure(path: str, channel: str, white_level: int) -> tuple[int, int, int]:
  """Returns (height, width, bytes) of an image file.

  Args and errors: as in check.
  """
  with filesystem.open_read(path, buffered=False) as file:
    head = file.read(header_lib.HEAD_BYTES)
    if len(head) == header_lib.HEAD_BYTES:
      file.seek(-header_lib.END_BYTES, os.SEEK_END)
      end = file.read(header_lib.END_BYTES)
      num_bytes = file.tell()
      size = header_lib.read_gray_png(head, end, num_bytes, path)
      if size:
        return *size, num_bytes
    file.seek(0)
    header = header_lib.read(file, path, channel)
    file.seek(0, os.SEEK_END)
    num_bytes = file.tell()
  _check_white_level(header, white_level)
  return header.height, header.width, num_bytes


def decode(data: bytes, name: str, channel: str,
           white_level: int) -> np.ndarray:
  """Returns the decoded plane, [H, W] uint8, or uint16 of a 16-bit file.

  Args:
    data: the complete file.
    name: of the file; its extension says which format is expected.
    channel: one of spec.CHANNELS; selects the color of a tinted image.
    white_level: only checked as in check; resize.to_uint8 scales the pixels.

  Raises:
    errors.DataError: as in check; or the pixels are damaged or have another
      tint.
    OSError: a limit of the process is reached.
  """
  size = header_lib.read_gray_png(data[:header_lib.HEAD_BYTES],
                                  data[-header_lib.END_BYTES:], len(data), name)
  if size:
    header = header_lib.Header('PNG', *size, bits=8, colors=1)
  else:
    header = header_lib.read_bytes(data, name, channel)
    _check_white_level(header, white_level)
  header_lib.check_single(data, header.format)
  try:
    pixels = _DECODERS[header.format](data, header)
  except MemoryError:
    raise
  except Exception as error:  # kornia_rs raises Exception, Pillow many types
    if getattr(error, 'errno', None):  # of the system, not of the file
      raise
    raise errors.DataError(
        f'damaged {header.format} ({printable.join_lines(str(error))})'
    ) from error
  shape = (header.height, header.width, header.colors)
  if pixels.shape != shape or pixels.itemsize * 8 != header.bits:
    raise errors.DataError(
        f'damaged {header.format}: expected {shape} values of {header.bits} '
        f'bits, received {pixels.shape} {pixels.dtype}')
  return pseudocolor.extract(pixels,
                             channel) if header.colors == 3 else pixels[..., 0]


def _check_white_level(header: header_lib.Header, white_level: int) -> None:
  if header.bits == 16 and not white_level:
    raise errors.DataError(
        'expected 8-bit pixels, received 16-bit; pass --white_level=N, the '
        'intensity that becomes 255: 65535, or 4095 for a 12-bit camera')


def _decode_png(data: bytes, header: header_lib.Header) -> np.ndarray:
  read = (kornia_rs.io.decode_image_png_u8
          if header.bits == 8 else kornia_rs.io.decode_image_png_u16)
  return read(data, (header.height, header.width),
              'mono' if header.colors == 1 else 'rgb')


def _decode_jpeg(data: bytes, header: header_lib.Header) -> np.ndarray:
  scans = data.count(_SCAN)
  if scans > _MAX_SCANS:
    raise ValueError(f'{scans:,} scans')
  return kornia_rs.io.decode_image_jpegturbo(
      data, 'mono' if header.colors == 1 else 'rgb')


def _decode_tiff(data: bytes, header: header_lib.Header) -> np.ndarray:
  # libtiff also prints a line for a damaged part.
  with process.silent(), Image.open(io.BytesIO(tiff.rewrite(data, header.tags)),
                                    formats=('TIFF',)) as image:
    pixels = np.asarray(image)
  # From big-endian to native order; 'equiv' raises for other types.
  pixels = pixels.astype(f'u{header.bits // 8}', casting='equiv', copy=False)
  return pixels if pixels.ndim == 3 else pixels[..., None]


# (content, header) -> [H, W, colors] uint8 or uint16.
_DECODERS = {'PNG': _decode_png, 'JPEG': _decode_jpeg, 'TIFF': _decode_tiff}
