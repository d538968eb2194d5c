"""Four gray image files to one [H, W, 4] uint8 array, and its stored bytes.

Filter: averaging over the source area of each output pixel (cv2.INTER_AREA).
Reducing 512 to 299 without an antialiasing filter would fold fine texture,
which is what tells the classes apart, into false patterns.
"""

import cv2
import numpy as np

from hpa_records import image_file
from hpa_records import schema

RESIZE_FILTERS = ('area',)


def load(paths: tuple[str, ...], size_px: int) -> np.ndarray:
  """Returns the four files of a sample as one image.

  Args:
    paths: of the 8-bit gray PNGs, in schema.CHANNELS order.
    size_px: height and width of the result.

  Returns:
    [size_px, size_px, C] uint8, 0..255.

  Raises:
    schema.DataError: (message, path): a file is damaged, of another kind or
      another size.
    OSError: a file cannot be read.
  """
  planes = []
  for path in paths:
    with open(path, 'rb') as file:
      data = file.read()
    try:
      planes.append(image_file.decode_gray(data))
    except schema.DataError as error:
      raise schema.DataError(str(error), path) from error
    if planes[-1].shape != planes[0].shape:
      raise schema.DataError(
          f'expected {planes[0].shape} pixels like {paths[0]}, received '
          f'{planes[-1].shape}', path)
  return resize(cv2.merge(planes), size_px)


def resize(image: np.ndarray, size_px: int) -> np.ndarray:
  """Returns the image at size_px x size_px, by averaging source areas.

  Args:
    image: [H, W, C] uint8, 0..255.
    size_px: output height and width; a larger one than the input's is
      interpolated linearly.

  Returns:
    [size_px, size_px, C] uint8; each value is within 0.5 + 1e-3 of the exact
    mean over its source area, where the image shrinks.

  Source: area averaging keeps total intensity; OpenCV's INTER_AREA.
  """
  if image.shape[:2] == (size_px, size_px):
    return image
  shrinks = size_px <= min(image.shape[:2])
  return cv2.resize(
      image, (size_px, size_px),
      interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


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


def decode(data: bytes | np.ndarray, encoding: str, size_px: int) -> np.ndarray:
  """Returns the image [size_px, size_px, C] uint8 from its stored bytes.

  Raises:
    schema.DataError: data does not hold such an image.
  """
  shape = (size_px, size_px, schema.NUM_CHANNELS)
  flat = np.frombuffer(data, np.uint8)
  if encoding == 'png':
    pixels = cv2.imdecode(flat, cv2.IMREAD_UNCHANGED)
    is_8_bit = pixels is not None and pixels.dtype == np.uint8
    if is_8_bit and pixels.shape == shape:
      return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
  elif flat.size == np.prod(shape):
    return flat.reshape(shape)
  raise schema.DataError(
      f'expected a {encoding} image of {shape}, received {flat.size} bytes '
      'that are none')


def histogram(image: np.ndarray) -> np.ndarray:
  """Returns how often each intensity occurs: [C, 256] int64.

  Whole numbers, so that sums over images do not depend on their order.
  """
  return np.stack([
      cv2.calcHist([image], [c], None, [256], [0, 256]).reshape(-1)
      for c in range(schema.NUM_CHANNELS)
  ]).astype(np.int64)
