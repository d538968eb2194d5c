"""One image file to one plane [H, W]: PNG, TIFF or JPEG, gray or tinted.

Decoders, each for what it reads right and never by half (BUILD_NOTES.md,
"Image files"): kornia_rs for PNG, of all kinds that are read here, since it
takes 0.45 ms for a real 512x512 one on one core, cv2 1.02, Pillow 1.24, and
holds the pixels to their checksum, as Pillow does not; its libjpeg-turbo for
JPEG, since it refuses a picture that ends early, whose rest cv2 and Pillow
return as gray; Pillow for TIFF, since cv2 returns what is left of a damaged
8-bit one. All three read other kinds wrong or half, so the header is checked
before every decode, not only beforehand; and Pillow gets a TIFF whose directory
was written here, see tiff.
"""

import io
import os

import kornia_rs
import numpy as np
from PIL import Image

from hpa_records.images import header as header_lib
from hpa_records.images import pseudocolor
from hpa_records.images import tiff
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import filesystem

MAX_PIXELS = header_lib.MAX_PIXELS

# A progressive JPEG has about ten scans; each takes 0.09 s of 8192 x 8192
# pixels, for as few as a hundred bytes.
_MAX_SCANS = 100
_SCAN = b'\xff\xda'


def check(path: str, channel: str, white_level: int) -> tuple[int, int]:
  """Returns (height, width) of an image file; reads its header and its end.

  Args:
    path: local or an address.
    channel: of spec.CHANNELS.
    white_level: the 16-bit intensity that becomes 255; 0 where none is stated.

  Raises:
    errors.DataError: the file is of a kind that is not read, larger than
      MAX_PIXELS, cut short, or of 16 bits with no white_level.
    OSError: it cannot be read.
  """
  return measure(path, channel, white_level)[:2]


def measure(path: str, channel: str, white_level: int) -> tuple[int, int, int]:
  """Returns (height, width, bytes) of an image file.

  Args and errors: as of check.
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
  """Returns the plane [H, W] of a file's content, uint8 or (16-bit) uint16.

  Args:
    data: the whole file.
    name: the file's, whose ending says what it holds.
    channel: of spec.CHANNELS; of a tinted picture its color is returned.
    white_level: as in check; the pixels are returned as they are, see
      resize.to_uint8.

  Raises:
    errors.DataError: as in check; or the pixels are damaged or of another
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
  except Exception as error:  # kornia_rs raises nothing narrower, Pillow much
    if getattr(error, 'errno', None):  # the system's, nothing of the file
      raise
    raise errors.DataError(
        f'expected a whole {header.format}, received a '
        f'damaged one ({printable.join_lines(str(error))})') from error
  shape = (header.height, header.width, header.colors)
  if pixels.shape != shape or pixels.itemsize * 8 != header.bits:
    raise errors.DataError(
        f'expected {shape} values of {header.bits} bits, received '
        f'{pixels.shape} {pixels.dtype}: the {header.format} is damaged')
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
  # libtiff writes a line of its own for a damaged part, beside the error.
  with process.silent(), Image.open(io.BytesIO(tiff.rewrite(data, header.tags)),
                                    formats=('TIFF',)) as image:
    pixels = np.asarray(image)
  # Big-endian ones keep their order; so does what is not whole numbers.
  pixels = pixels.astype(f'u{header.bits // 8}', casting='equiv', copy=False)
  return pixels if pixels.ndim == 3 else pixels[..., None]


_DECODERS = {'PNG': _decode_png, 'JPEG': _decode_jpeg, 'TIFF': _decode_tiff}
