"""Images to another size and, where they have 16 bits, to 8.

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

import cv2
import cykooz_resizer as resizer
import numpy as np

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
