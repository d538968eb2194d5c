"""Four image files to one [H, W, 4] uint8 array, and its stored bytes.

Filter: reducing 512 to 299 without an antialiasing filter would fold fine
texture, which is what tells the classes apart, into false patterns. triangle
is a filter as wide as the reduction, linear to both sides: what Pillow calls
BILINEAR and tf.image.resize bilinear with antialias. cykooz_resizer does it in
whole numbers, the same on every CPU, in a quarter of the time of area, the mean
over the source area of each output pixel (cv2.INTER_AREA); BUILD_NOTES.md,
"Converting".

16-bit planes are reduced as they are and scaled to 8 bits afterwards, so that
the average is taken of what was measured.
"""

import functools
import os
import struct
from typing import Callable, Sequence

import cv2
import cykooz_resizer as resizer
import numpy as np

from hpa_records import fault
from hpa_records import filesystem
from hpa_records import image_file
from hpa_records import image_header
from hpa_records import os_error
from hpa_records import schema

RESIZE_FILTERS = ('triangle', 'area')
DEFAULT_FILTER = 'triangle'

_TRIANGLE = resizer.ResizeOptions(resize_alg=resizer.ResizeAlg.convolution(
    resizer.FilterType.bilinear),
                                  use_alpha=False)
_PIXEL_TYPES = {
    (np.uint8, 1): resizer.PixelType.U8,
    (np.uint8, 4): resizer.PixelType.U8x4,
    (np.uint16, 1): resizer.PixelType.U16,
    (np.uint16, 4): resizer.PixelType.U16x4,
}

# Larger planes are reduced one by one as they are read: four of 3072 x 3072 in
# 16 bits take 75 MB, and as much again when merged. Smaller ones are merged
# first: the same bytes, in half the time (2048 to 299: 53 ms against 93).
_MERGED_BYTES = 10 * 2**20


def load(paths: tuple[str, ...],
         size_px: int,
         name: str = DEFAULT_FILTER,
         white_level: int = 0,
         read: Callable[[str], bytes] = filesystem.read_bytes) -> np.ndarray:
  """Returns the four files of a sample as one image.

  Args:
    paths: of the files, in schema.CHANNELS order; see image_file for what they
      may hold. Each may be an address.
    size_px: height and width of the result.
    white_level: the 16-bit intensity that becomes 255; 0 where none is stated.
    read: path → content of a file.

  Returns:
    [size_px, size_px, C] uint8, 0..255.

  Raises:
    fault.UnreadError: (message, path): a file cannot be read.
    schema.DataError: (message, path): a file is damaged, of a kind that is not
      read here, or of another size than the first.
  """
  planes: list[np.ndarray] = []
  shape = None
  for path, channel in zip(paths, schema.CHANNELS):
    try:
      plane = image_file.decode(read(path), path, channel, white_level)
    except OSError as error:
      raise fault.UnreadError(f'cannot be read: {os_error.explain(error)}',
                              path) from error
    except schema.DataError as error:
      raise schema.DataError(str(error), path) from error
    shape = shape or plane.shape
    if plane.shape != shape:
      raise schema.DataError(
          f'expected {shape} pixels like {os.path.basename(paths[0])}, '
          f'received {plane.shape}', path)
    planes.append(
        _reduce(plane, size_px, name, white_level) if plane.nbytes >
        _MERGED_BYTES else plane)
  if len({(plane.shape, plane.dtype) for plane in planes}) > 1:
    planes = [_reduce(plane, size_px, name, white_level) for plane in planes]
  return _reduce(cv2.merge(planes), size_px, name, white_level)


def _reduce(image: np.ndarray, size_px: int, name: str,
            white_level: int) -> np.ndarray:
  """Returns [size_px, size_px] or [size_px, size_px, C] uint8."""
  image = resize(image, size_px, name)
  return to_uint8(image, white_level) if image.dtype == np.uint16 else image


def to_uint8(plane: np.ndarray, white_level: int) -> np.ndarray:
  """Returns round(plane * 255 / white_level), halves up, at most 255, as uint8.

  Args:
    plane: of any shape, uint16.
    white_level: the intensity that becomes 255, 1..65535.

  Raises:
    ValueError: plane is not uint16, or white_level is out of range.

  Source: exact in whole numbers: floor((510 v + w) / 2 w) is the rounded value.
  """
  if plane.dtype != np.uint16 or not 1 <= white_level <= 65535:
    raise ValueError('expected uint16 and a white level of 1..65535, received '
                     f'{plane.dtype} and {white_level}')
  return _scaled_levels(white_level)[plane]


@functools.lru_cache(maxsize=1)
def _scaled_levels(white_level: int) -> np.ndarray:
  """[65536] uint8, what becomes of each 16-bit intensity."""
  levels = np.arange(65536, dtype=np.int64)
  scaled = (510 * levels + white_level) // (2 * white_level)
  return np.minimum(scaled, 255).astype(np.uint8)


def resize(image: np.ndarray,
           size_px: int,
           name: str = DEFAULT_FILTER) -> np.ndarray:
  """Returns the image at size_px x size_px.

  Args:
    image: [H, W, C] or [H, W], uint8 or uint16.
    size_px: output height and width; where a side is enlarged, both filters
      are triangle, which interpolates linearly along it.
    name: one of RESIZE_FILTERS.

  Returns:
    [size_px, size_px, C] or [size_px, size_px], of the same type. triangle:
    within 1 of exact arithmetic (it rounds once an axis), and Pillow's result
    within 1; area: within 0.5 + 1e-3.

  Source: Pillow's ImagingResample for triangle; OpenCV's INTER_AREA keeps
  total intensity.
  """
  height, width = image.shape[:2]
  if (height, width) == (size_px, size_px):
    return image
  if name == 'area' and size_px <= min(height, width):
    return cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
  channels = image.shape[2:]
  kind = _PIXEL_TYPES[image.dtype.type, channels[0] if channels else 1]
  source = resizer.ImageData(width, height, kind, image.tobytes())
  target = resizer.ImageData(size_px, size_px, kind)
  _resizer().resize(source, target, _TRIANGLE)
  return np.frombuffer(target.get_buffer(),
                       image.dtype).reshape(size_px, size_px, *channels)


@functools.cache
def _resizer() -> resizer.Resizer:
  return resizer.Resizer()


def encode(image: np.ndarray, encoding: str) -> np.ndarray:
  """Returns the stored bytes, [n] uint8, of an image [H, W, C] uint8.

  Args:
    image: channels in schema.CHANNELS order.
    encoding: 'raw' (the pixels as they lie in memory) or 'png' (one RGBA PNG,
      lossless, whose R, G, B, A are the four channels).
  """
  if encoding == 'raw':
    return np.ascontiguousarray(image).reshape(-1)
  # cv2 writes its first channel as blue.
  done, png = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
  if not done:
    raise RuntimeError(f'cv2 could not encode an image of {image.shape}')
  return png.reshape(-1)


def png_head(size_px: int) -> bytes:
  """Returns how a stored PNG begins, whatever its pixels: signature and size.

  A decoder takes memory for the size that a PNG says, so it is compared first.

  Source: PNG (ISO/IEC 15948), 5.2 and 11.2.1; 8 bits, color type 6, RGBA.
  """
  return b'\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR' + struct.pack(
      '>IIBB', size_px, size_px, 8, 6)


def decode(data: bytes | np.ndarray, encoding: str, size_px: int) -> np.ndarray:
  """Returns the image [size_px, size_px, C] uint8 from its stored bytes.

  Raises:
    schema.DataError: data does not hold such an image.
  """
  shape = (size_px, size_px, schema.NUM_CHANNELS)
  flat = np.frombuffer(data, np.uint8)
  head, wrong = png_head(size_px), ''
  if encoding == 'png' and flat[:len(head)].tobytes() == head:
    wrong = image_header.find_stored_fault(flat.data)
    pixels = None if wrong else cv2.imdecode(flat, cv2.IMREAD_UNCHANGED)
    is_8_bit = pixels is not None and pixels.dtype == np.uint8
    if is_8_bit and pixels.shape == shape:
      return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
  elif encoding == 'raw' and flat.size == np.prod(shape):
    return flat.reshape(shape)
  raise schema.DataError(
      f'not a {encoding} image of {shape} ({flat.size:,} bytes)' +
      (wrong and f': {wrong}'))


def sums(image: np.ndarray) -> np.ndarray:
  """Returns each channel's sum and sum of squares: [2, C] int64, exact.

  Whole numbers, so that sums over images do not depend on their order.

  Args:
    image: [H, W, C] uint8, of at most image_file.MAX_PIXELS pixels.
  """
  # OpenCV sums whole numbers and divides at the end. Mean and deviation of
  # 2**26 pixels give the sums back to within 0.01.
  mean, deviation = cv2.meanStdDev(image)
  count = image.shape[0] * image.shape[1]
  found = np.stack([mean, deviation**2 + mean**2])[..., 0] * count
  return np.rint(found).astype(np.int64)


def are_sums(count: int, totals: Sequence[int], squares: Sequence[int]) -> bool:
  """Returns whether pixels can have these sums and sums of squares.

  Args:
    count: pixels of one channel.
    totals: of each channel, whole numbers of any size.
    squares: of each channel, the same.
  """
  return len(totals) == len(squares) == schema.NUM_CHANNELS and all(
      total <= square <= 255 * total <= 255**2 * count and total**2 <= square *
      count for total, square in zip(totals, squares))
