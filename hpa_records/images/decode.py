"""Decoding of image files to planes [H, W].

Each format has the decoder that refuses damaged files (BUILD_NOTES.md, "Image
files"):
  PNG: kornia_rs takes 0.45 ms for a real 512x512 file on one core (cv2 1.02,
    Pillow 1.24) and verifies checksums, which Pillow does not.
  JPEG: kornia_rs's libjpeg-turbo refuses a truncated file, whose missing part
    cv2 and Pillow return as gray.
  TIFF: Pillow unpacks the strips or tiles (tiff_pixels); cv2 returns a damaged
    8-bit file in part.
  JPEG 2000: cv2 takes half of Pillow's time; both use OpenJPEG and refuse
    truncated files.
All decode some other kinds wrongly, so the header is checked before each
decode.
"""

import functools
import io
import os
from typing import Iterator, NamedTuple

import cv2
import kornia_rs
import numpy as np

from hpa_records.images import header as header_lib
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import pseudocolor
from hpa_records.images.containers import gzip_file
from hpa_records.images.containers import tiff_pixels
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
    num_planes: of a stacked file its pages, or the values of a pixel; else 1.
  """
  height: int
  width: int
  num_bytes: int
  depth: str
  num_planes: int = 1


def measure(path: str, how: how_lib.How, channel: int = 0) -> Measured:
  """Returns the properties of an image file; reads only its header and end.

  A compressed file is read and inflated.

  Args:
    path: local or an address.
    how: settings of the image.
    channel: index of the file's channel; of a stacked file not used.

  Raises:
    errors.DataError: the file is of an unsupported kind, larger than
      MAX_PIXELS, truncated, of a depth that how.intensity does not take, or
      has fewer planes than how.stack needs.
    OSError: the file cannot be read.
  """
  with filesystem.open_read(path, buffered=False) as file:
    head = file.read(header_lib.HEAD_BYTES)
    if len(head) == header_lib.HEAD_BYTES and not how.stack:
      file.seek(-header_lib.END_BYTES, os.SEEK_END)
      end = file.read(header_lib.END_BYTES)
      num_bytes = file.tell()
      size = header_lib.read_gray_png(head, end, num_bytes, path)
      if size:
        return Measured(*size, num_bytes, 'uint8')
    file.seek(0)
    content = file
    if _is_compressed(path):
      content = io.BytesIO(gzip_file.inflate(file.read(gzip_file.MAX_BYTES +
                                                       1)))
    header = header_lib.read(content, path, how, channel)
    file.seek(0, os.SEEK_END)
    num_bytes = file.tell()
  _check_depth(header, how)
  num_planes = header.colors * len(header.images or '1') if how.stack else 1
  return Measured(header.height, header.width, num_bytes, header.depth,
                  num_planes)


def decode(data: bytes,
           name: str,
           how: how_lib.How,
           channel: int = 0) -> np.ndarray:
  """Returns the plane of a file with one channel, [H, W].

  Args:
    data: the complete file.
    name: of the file; its extension says which format is expected.
    how: settings of the image; how.intensity is only checked.
    channel: index of the file's channel; selects the color of a tinted image.

  Returns:
    uint8, uint16 or float32; finite.

  Raises:
    errors.DataError: as in measure; or the pixels are damaged or have another
      tint.
    OSError: a limit of the process is reached.
  """
  size = header_lib.read_gray_png(data[:header_lib.HEAD_BYTES],
                                  data[-header_lib.END_BYTES:], len(data), name)
  if size:
    header = header_lib.Header('PNG', *size, 'uint8', 1)
  else:
    data, header = _read_header(data, name, how, channel)
  pixels = _unpack(data, header)
  if header.colors == 1:
    return pixels[..., 0]
  return pseudocolor.extract(pixels, how.channels[channel], how.colors[channel])


def decode_stack(data: bytes, name: str,
                 how: how_lib.How) -> Iterator[np.ndarray]:
  """Yields the plane [H, W] of each channel of a file with all.

  Args and errors: as of decode.
  """
  data, header = _read_header(data, name, how)
  if how.stack.kind == 'planes':
    pixels = _unpack(data, header)
    for i, in header.chosen:
      yield np.ascontiguousarray(pixels[..., i])
    return
  for pages in header.chosen:
    found = (_unpack(data, header, i)[..., 0] for i in pages)
    yield functools.reduce(np.maximum, found)


def _is_compressed(name: str) -> bool:
  return name.lower().endswith('.gz')


def _read_header(data: bytes,
                 name: str,
                 how: how_lib.How,
                 channel: int = 0) -> tuple[bytes, header_lib.Header]:
  """Returns the content of a file, inflated, and its header."""
  if _is_compressed(name):
    data = gzip_file.inflate(data)
  header = header_lib.read(io.BytesIO(data), name, how, channel)
  _check_depth(header, how)
  return data, header


def _unpack(data: bytes,
            header: header_lib.Header,
            image: int = 0) -> np.ndarray:
  """Returns one image of a file, [H, W, colors]; errors as of decode."""
  header_lib.check_single(data, header.format)
  try:
    pixels = _DECODERS[header.format](data, header, image)
  except MemoryError:
    raise
  except Exception as error:  # kornia_rs raises Exception, Pillow many types
    if getattr(error, 'errno', None):  # of the system, not of the file
      raise
    raise errors.DataError(
        f'damaged {header.format} ({printable.join_lines(str(error))})'
    ) from error
  shape = (header.height, header.width, header.colors)
  if pixels.shape != shape or pixels.dtype != header.depth:
    raise errors.DataError(
        f'damaged {header.format}: expected {shape} values of {header.depth}, '
        f'received {pixels.shape} {pixels.dtype}')
  if not header.depth.startswith('float'):
    return pixels
  with np.errstate(over='ignore'):
    pixels = pixels.astype(np.float32, copy=False)
  if not np.isfinite(pixels).all():
    raise errors.DataError('expected finite pixels, received NaN, infinity or '
                           'values beyond float32')
  return pixels


def _check_depth(header: header_lib.Header, how: how_lib.How) -> None:
  refusal = intensity.explain_refusal(how.intensity, header.depth)
  if refusal:
    raise errors.DataError(refusal)


def _decode_png(data: bytes, header: header_lib.Header, _: int) -> np.ndarray:
  read = (kornia_rs.io.decode_image_png_u8
          if header.depth == 'uint8' else kornia_rs.io.decode_image_png_u16)
  return read(data, (header.height, header.width), _MODES[header.colors])


def _decode_jpeg(data: bytes, header: header_lib.Header, _: int) -> np.ndarray:
  scans = data.count(_SCAN)
  if scans > _MAX_SCANS:
    raise ValueError(f'{scans:,} scans')
  return kornia_rs.io.decode_image_jpegturbo(data, _MODES[header.colors])


def _decode_tiff(data: bytes, header: header_lib.Header,
                 image: int) -> np.ndarray:
  return tiff_pixels.decode(data, header.images[image])


def _decode_jpeg2000(data: bytes, *_) -> np.ndarray:
  with process.silent():  # OpenCV and OpenJPEG print lines
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if pixels is None:
    raise ValueError('OpenJPEG cannot decode it')
  return np.atleast_3d(pixels)


# Values of a pixel -> kornia_rs's name.
_MODES = {1: 'mono', 3: 'rgb', 4: 'rgba'}
# (content, header, index of the image) -> [H, W, colors] of header.depth.
_DECODERS = {
    'PNG': _decode_png,
    'JPEG': _decode_jpeg,
    'TIFF': _decode_tiff,
    'JPEG 2000': _decode_jpeg2000
}
