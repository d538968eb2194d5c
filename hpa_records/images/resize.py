"""Resizing of images, and conversion of 16-bit planes to 8 bits.

Reducing 512 to 299 px without antialiasing would alias the fine texture that
distinguishes the classes. Filters:
  triangle: Pillow's BILINEAR, and tf.image.resize bilinear with antialias.
    cykooz_resizer computes it in integers, the same on each CPU, in a quarter
    of the time of area (BUILD_NOTES.md, "Converting").
  area: the mean over the source area of each output pixel (cv2.INTER_AREA).

16-bit planes are resized before they are scaled to 8 bits, so that measured
intensities are averaged.
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
    size_px: output height and width. If a side is enlarged, triangle is used,
      which interpolates linearly along it.
    name: one of RESIZE_FILTERS.

  Returns:
    [size_px, size_px, C] or [size_px, size_px], of the same dtype. triangle is
    within 1 of exact arithmetic (it rounds once an axis) and of Pillow; area is
    within 0.5 + 1e-3 of exact arithmetic.

  Source: Pillow's ImagingResample for triangle; OpenCV's INTER_AREA, which
  keeps total intensity.
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
  """Returns min(round(plane * 255 / white_level), 255) as uint8, halves up.

  Args:
    plane: uint16, of any shape.
    white_level: the intensity that becomes 255, 1..65535.

  Raises:
    ValueError: plane is not uint16, or white_level is out of range.

  Source: in integers, floor((510 v + w) / 2 w) is the rounded value.
  """
  if plane.dtype != np.uint16 or not 1 <= white_level <= 65535:
    raise ValueError('expected uint16 and a white level of 1..65535, received '
                     f'{plane.dtype} and {white_level}')
  return _scaled_levels(white_level)[plane]


@functools.lru_cache(maxsize=1)
def _scaled_levels(white_level: int) -> np.ndarray:
  """Returns the 8-bit value of each 16-bit intensity, [65536] uint8."""
  levels = np.arange(65536, dtype=np.int64)
  scaled = (510 * levels + white_level) // (2 * white_level)
  return np.minimum(scaled, 255).astype(np.uint8)
