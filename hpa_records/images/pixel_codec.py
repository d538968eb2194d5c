"""Encoding and decoding of the stored pixels: raw, or one PNG.

A PNG is gray, RGB or RGBA, so only images of 1, 3 or 4 channels can be stored
as one.
"""

import struct
from typing import Any, Sequence

import cv2
import kornia_rs
import numpy as np

from hpa_records.images.containers import png as png_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable

# PNG color type by number of channels: gray, RGB, RGBA.
_PNG_COLORS = {1: 0, 3: 2, 4: 6}
_MODES = {1: 'mono', 3: 'rgb', 4: 'rgba'}
# kornia_rs takes a fourth of the time of OpenCV and TensorFlow for a PNG, but
# keeps the GIL.
GIL_CORES = 3
# Between OpenCV's order of the channels, blue first, and a PNG's.
_SWAPPED = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def encodings(num_channels: int) -> tuple[str, ...]:
  """Returns the encodings of images with num_channels channels."""
  return ('raw', 'png') if num_channels in _PNG_COLORS else ('raw',)


def encode(image: np.ndarray, encoding: str) -> np.ndarray:
  """Returns the stored bytes of an image, [n] uint8.

  Args:
    image: [H, W, C] uint8.
    encoding: one of encodings(C): 'raw' (row-major pixels) or 'png' (one
      lossless PNG, whose gray value, R, G, B or R, G, B, A are the channels).

  Raises:
    KeyError: a PNG of another number of channels.
    RuntimeError: OpenCV cannot encode the image.
  """
  if encoding == 'raw':
    return np.ascontiguousarray(image).reshape(-1)
  done, png = cv2.imencode('.png', _swap(image, image.shape[2]))
  if not done:
    raise RuntimeError(f'OpenCV cannot encode an image of {image.shape}')
  return png.reshape(-1)


def _swap(image: np.ndarray, num_channels: int) -> np.ndarray:
  """Returns the image with its red and blue channels swapped."""
  return image if num_channels == 1 else cv2.cvtColor(image,
                                                      _SWAPPED[num_channels])


def png_head(size_px: int, num_channels: int) -> bytes:
  """Returns the first bytes of each stored PNG: signature, size and colors.

  Decoders allocate memory for the size that a PNG declares, so it is compared
  first.

  Args:
    size_px: height and width of the image.
    num_channels: 1, 3 or 4.

  Source: PNG (ISO/IEC 15948), 5.2 and 11.2.1; 8 bits, color types 0, 2, 6.
  """
  return b'\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR' + struct.pack(
      '>IIBB', size_px, size_px, 8, _PNG_COLORS[num_channels])


def decode(data: bytes | np.ndarray,
           encoding: str,
           size_px: int,
           num_channels: int,
           in_threads: bool = False) -> np.ndarray:
  """Returns the image [size_px, size_px, C] uint8 from its stored bytes.

  Args:
    data: bytes, or [n] uint8.
    encoding: one of encodings(num_channels).
    size_px: height and width of the image.
    num_channels: C.
    in_threads: whether more than GIL_CORES threads decode at the same time.

  Raises:
    errors.DataError: data is not such an image.
  """
  shape = (size_px, size_px, num_channels)
  flat = np.frombuffer(data, np.uint8)
  wrong = ''
  if encoding == 'raw':
    if flat.size == np.prod(shape):
      return flat.reshape(shape)
  elif encoding in encodings(num_channels):
    head = png_head(size_px, num_channels)
    if flat[:len(head)].tobytes() == head:
      wrong = png_lib.find_stored_issue(flat.data)
      if not wrong:
        try:
          pixels = (_decode_in_threads(flat, num_channels)
                    if in_threads else kornia_rs.io.decode_image_png_u8(
                        flat.tobytes(), shape[:2], _MODES[num_channels]))
          if pixels.dtype == np.uint8 and np.atleast_3d(pixels).shape == shape:
            return pixels.reshape(shape)
        except Exception as error:  # pylint: disable=broad-exception-caught
          wrong = printable.join_lines(str(error))
  raise errors.DataError(
      f'not a {encoding} image of {shape} ({flat.size:,} bytes)' +
      (wrong and f': {wrong}'))


def _decode_in_threads(png: np.ndarray, num_channels: int) -> np.ndarray:
  """Returns the pixels of a PNG, [n] uint8; without the GIL."""
  pixels = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
  if pixels is None:
    raise ValueError('OpenCV cannot decode it')
  return _swap(pixels, num_channels)


def sums(image: np.ndarray) -> np.ndarray:
  """Returns each channel's sum and sum of squares: [2, C] int64, exact.

  Args:
    image: [H, W, C] uint8, of at most header.MAX_PIXELS pixels.
  """
  # OpenCV sums integers and divides at the end. From the mean and deviation of
  # 2**26 pixels the sums are recovered to within 0.01.
  mean, deviation = cv2.meanStdDev(image)
  count = image.shape[0] * image.shape[1]
  found = np.stack([mean, deviation**2 + mean**2])[..., 0] * count
  return np.rint(found).astype(np.int64)


def are_sums(count: int, totals: Sequence[int], squares: Sequence[int],
             num_channels: int) -> bool:
  """Returns whether these sums and sums of squares are possible.

  Args:
    count: pixels of one channel.
    totals: sum of each channel, integers of any size.
    squares: sum of squares of each channel.
    num_channels: C.
  """
  return len(totals) == len(squares) == num_channels and all(
      total <= square <= 255 * total <= 255**2 * count and total**2 <= square *
      count for total, square in zip(totals, squares))


def describe_folds(counts: Sequence[int],
                   fold_sums: np.ndarray) -> dict[str, Any]:
  """Returns the manifest's `pixels` of records with folds.

  Those of all records are as of statistics; `folds` has the sums of each fold,
  so that the statistics of the training folds are exact, too.

  Args:
    counts: [F], pixels of one channel in each fold.
    fold_sums: [F, 2, C] int64, sum and sum of squares of each channel in each
      fold.
  """
  folds = [{
      'count': count,
      'sum': totals,
      'sum_of_squares': squares
  } for count, (totals, squares) in zip(counts, fold_sums.tolist())]
  return statistics(sum(counts), *fold_sums.sum(axis=0)) | {'folds': folds}


def statistics(count: int, totals: np.ndarray,
               squares: np.ndarray) -> dict[str, Any]:
  """Returns the manifest's `pixels` of records without folds.

  Args:
    count: pixels of one channel, over all images.
    totals: [C] int64, sum of each channel.
    squares: [C] int64, sum of squares of each channel.
  """
  mean = totals / count
  return {
      'count': count,
      'sum': totals.tolist(),
      'sum_of_squares': squares.tolist(),
      'mean': mean.tolist(),
      'std': np.sqrt(np.maximum(squares / count - mean**2, 0)).tolist(),
  }
