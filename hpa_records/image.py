"""Four gray image files to one [H, W, 4] uint8 array, and its stored bytes.

Filter: reducing 512 to 299 without an antialiasing filter would fold fine
texture, which is what tells the classes apart, into false patterns. triangle
is a filter as wide as the reduction, linear to both sides: what Pillow calls
BILINEAR and tf.image.resize bilinear with antialias. cykooz_resizer does it in
whole numbers, the same on every CPU, in a quarter of the time of area, the mean
over the source area of each output pixel (cv2.INTER_AREA); BUILD_NOTES.md,
"Decode and resize".
"""

import functools

import cv2
import cykooz_resizer as resizer
import numpy as np

from hpa_records import image_file
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


def load(paths: tuple[str, ...],
         size_px: int,
         name: str = DEFAULT_FILTER,
         white_level: int = 0) -> np.ndarray:
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
  return resize(cv2.merge(planes), size_px, name)


def resize(image: np.ndarray,
           size_px: int,
           name: str = DEFAULT_FILTER) -> np.ndarray:
  """Returns the image at size_px x size_px.

  Args:
    image: [H, W, C] or [H, W], uint8 or uint16.
    size_px: output height and width; where it is larger than the input's, both
      filters interpolate linearly.
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
  if name == 'area':
    shrinks = size_px <= min(height, width)
    return cv2.resize(
        image, (size_px, size_px),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
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


def decode(data: bytes | np.ndarray, encoding: str, size_px: int) -> np.ndarray:
  """Returns the image [size_px, size_px, C] uint8 from its stored bytes.

  Raises:
    schema.DataError: data does not hold such an image.
  """
  shape = (size_px, size_px, schema.NUM_CHANNELS)
  flat = np.frombuffer(data, np.uint8)
  if encoding == 'png':
    pixels = cv2.imdecode(flat, cv2.IMREAD_UNCHANGED)
    if pixels is not None and pixels.shape == shape:
      return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
  elif flat.size == np.prod(shape):
    return flat.reshape(shape)
  raise schema.DataError(
      f'expected a {encoding} image of {shape}, received {flat.size} bytes '
      'that are none')


def sums(image: np.ndarray) -> np.ndarray:
  """Returns each channel's sum and sum of squares: [2, C] int64, exact.

  Whole numbers, so that sums over images do not depend on their order.

  Args:
    image: [H, W, C] uint8, of fewer than 2**35 pixels.
  """
  # norm() takes a root and squares it again; round() undoes what that loses.
  squares = [
      round(cv2.norm(plane, cv2.NORM_L2SQR)) for plane in cv2.split(image)
  ]
  return np.array([cv2.sumElems(image), squares]).astype(np.int64)
