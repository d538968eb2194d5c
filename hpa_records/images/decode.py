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
from typing import NamedTuple

import kornia_rs
import numpy as np
from PIL import Image

from hpa_records.images import header as header_lib
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
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


class Measured(NamedTuple):
  """The properties of an image file by its header.

  Attributes:
    height, width: in pixels.
    num_bytes: size of the file.
    depth: of its pixels: 'uint8', 'uint16', 'float32' or 'float64'.
  """
  height: int
  width: int
  num_bytes: int
  depth: str


def measure(path: str, how: how_lib.How, channel: int = 0) -> Measured:
  """Returns the properties of an image file; reads only its header and end.

  Args:
    path: local or an address.
    how: settings of the image.
    channel: index of the file's channel.

  Raises:
    errors.DataError: the file is of an unsupported kind, larger than
      MAX_PIXELS, truncated, or of a depth that how.intensity does not take.
    OSError: the file cannot be read.
  """
  with filesystem.open_read(path, buffered=False) as file:
    head = file.read(header_lib.HEAD_BYTES)
    if len(head) == header_lib.HEAD_BYTES:
      file.seek(-header_lib.END_BYTES, os.SEEK_END)
      end = file.read(header_lib.END_BYTES)
      num_bytes = file.tell()
      size = header_lib.read_gray_png(head, end, num_bytes, path)
      if size:
        return Measured(*size, num_bytes, 'uint8')
    file.seek(0)
    header = header_lib.read(file, path, how.channels[channel])
    file.seek(0, os.SEEK_END)
    num_bytes = file.tell()
  _check_depth(header, how)
  return Measured(header.height, header.width, num_bytes, header.depth)


def decode(data: bytes,
           name: str,
           how: how_lib.How,
           channel: int = 0) -> np.ndarray:
  """Returns the plane of one channel, [H, W] uint8 or uint16.

  Args:
    data: the complete file.
    name: of the file; its extension says which format is expected.
    how: settings of the image; how.intensity is only checked.
    channel: index of the file's channel; selects the color of a tinted image.

  Raises:
    errors.DataError: as in measure; or the pixels are damaged or have another
      tint.
    OSError: a limit of the process is reached.
  """
  size = header_lib.read_gray_png(data[:header_lib.HEAD_BYTES],
                                  data[-header_lib.END_BYTES:], len(data), name)
  if size:
    header = header_lib.Header('PNG', *size, bits=8, colors=1)
  else:
    header = header_lib.read_bytes(data, name, how.channels[channel])
    _check_depth(header, how)
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
  if header.colors == 1:
    return pixels[..., 0]
  return pseudocolor.extract(pixels, how.channels[channel], how.colors[channel])


def _check_depth(header: header_lib.Header, how: how_lib.How) -> None:
  refusal = intensity.explain_refusal(how.intensity, header.depth)
  if refusal:
    raise errors.DataError(refusal)


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
