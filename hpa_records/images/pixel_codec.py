"""Encoding and decoding of the stored pixels: raw, or one RGBA PNG."""

import struct
from typing import Sequence

import cv2
import numpy as np

from hpa_records.format import spec
from hpa_records.images.containers import png as png_lib
from hpa_records.runtime import errors


def encode(image: np.ndarray, encoding: str) -> np.ndarray:
  """Returns the stored bytes of an image, [n] uint8.

  Args:
    image: [H, W, C] uint8, channels in spec.CHANNELS order.
    encoding: 'raw' (row-major pixels) or 'png' (one lossless RGBA PNG, whose
      R, G, B, A are the four channels).

  Raises:
    RuntimeError: OpenCV cannot encode the image.
  """
  if encoding == 'raw':
    return np.ascontiguousarray(image).reshape(-1)
  # cv2 writes its first channel as blue.
  done, png = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
  if not done:
    raise RuntimeError(f'OpenCV cannot encode an image of {image.shape}')
  return png.reshape(-1)


def png_head(size_px: int) -> bytes:
  """Returns the first bytes of each stored PNG: signature, size and RGBA.

  Decoders allocate memory for the size that a PNG declares, so it is compared
  first.

  Args:
    size_px: height and width of the image.

  Source: PNG (ISO/IEC 15948), 5.2 and 11.2.1; 8 bits, color type 6, RGBA.
  """
  return b'\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR' + struct.pack(
      '>IIBB', size_px, size_px, 8, 6)


def decode(data: bytes | np.ndarray, encoding: str, size_px: int) -> np.ndarray:
  """Returns the image [size_px, size_px, C] uint8 from its stored bytes.

  Args:
    data: bytes, or [n] uint8.
    encoding: 'raw' or 'png'.
    size_px: height and width of the image.

  Raises:
    errors.DataError: data is not such an image.
  """
  shape = (size_px, size_px, spec.NUM_CHANNELS)
  flat = np.frombuffer(data, np.uint8)
  head, wrong = png_head(size_px), ''
  if encoding == 'png' and flat[:len(head)].tobytes() == head:
    wrong = png_lib.find_stored_issue(flat.data)
    pixels = None if wrong else cv2.imdecode(flat, cv2.IMREAD_UNCHANGED)
    is_8_bit = pixels is not None and pixels.dtype == np.uint8
    if is_8_bit and pixels.shape == shape:
      return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
  elif encoding == 'raw' and flat.size == np.prod(shape):
    return flat.reshape(shape)
  raise errors.DataError(
      f'not a {encoding} image of {shape} ({flat.size:,} bytes)' +
      (wrong and f': {wrong}'))


def sums(image: np.ndarray) -> np.ndarray:
  """Returns each channel's sum and sum of squares: [2, C] int64, exact.

  Args:
    image: [H, W, C] uint8, of at most decode.MAX_PIXELS pixels.
  """
  # OpenCV sums integers and divides at the end. From the mean and deviation of
  # 2**26 pixels the sums are recovered to within 0.01.
  mean, deviation = cv2.meanStdDev(image)
  count = image.shape[0] * image.shape[1]
  found = np.stack([mean, deviation**2 + mean**2])[..., 0] * count
  return np.rint(found).astype(np.int64)


def are_sums(count: int, totals: Sequence[int], squares: Sequence[int]) -> bool:
  """Returns whether these sums and sums of squares are possible.

  Args:
    count: pixels of one channel.
    totals: sum of each channel, integers of any size.
    squares: sum of squares of each channel.
  """
  return len(totals) == len(squares) == spec.NUM_CHANNELS and all(
      total <= square <= 255 * total <= 255**2 * count and total**2 <= square *
      count for total, square in zip(totals, squares))
