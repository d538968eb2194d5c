"""Resizing of images, in their own depth.

Reducing 512 to 299 px without antialiasing would alias the fine texture that
distinguishes the classes. Filters:
  triangle: Pillow's BILINEAR, and tf.image.resize bilinear with antialias.
    cykooz_resizer computes it in integers, the same on each CPU, in a quarter
    of the time of area (BUILD_NOTES.md, "Converting").
  area: the mean over the source area of each output pixel (cv2.INTER_AREA).

16-bit and floating-point planes are resized before they are scaled to 8 bits,
so that measured intensities are averaged.
"""

import functools

import cv2
import cykooz_resizer as resizer
import numpy as np

RESIZE_FILTERS = ('triangle', 'area')
DEFAULT_FILTER = 'triangle'
# Neither library resizes more channels in one call. The bytes do not depend on
# how channels are grouped.
MAX_GROUP = 4

_TRIANGLE = resizer.ResizeOptions(resize_alg=resizer.ResizeAlg.convolution(
    resizer.FilterType.bilinear),
                                  use_alpha=False)
_PIXEL_TYPES = {
    (dtype, count): getattr(resizer.PixelType, f'{name}{suffix}')
    for dtype, name in ((np.uint8, 'U8'), (np.uint16, 'U16'), (np.float32,
                                                               'F32'))
    for count, suffix in enumerate(('', 'x2', 'x3', 'x4'), 1)
}


def resize(image: np.ndarray,
           size_px: int,
           name: str = DEFAULT_FILTER) -> np.ndarray:
  """Returns the image at size_px x size_px.

  Args:
    image: [H, W, C] or [H, W], uint8, uint16 or float32.
    size_px: output height and width. If a side is enlarged, triangle is used,
      which interpolates linearly along it.
    name: one of RESIZE_FILTERS.

  Returns:
    [size_px, size_px, C] or [size_px, size_px], of the same dtype. Of integers,
    triangle is within 1 of exact arithmetic (it rounds once an axis) and of
    Pillow; area is within 0.5 + 1e-3 of exact arithmetic.

  Source: Pillow's ImagingResample for triangle; OpenCV's INTER_AREA, which
  keeps total intensity.
  """
  height, width, *channels = image.shape
  if (height, width) == (size_px, size_px):
    return image
  if channels and channels[0] > MAX_GROUP:
    # Of several channels each, in a quarter of concatenate's time.
    return cv2.merge([
        resize(image[..., i:i + MAX_GROUP], size_px, name)
        for i in range(0, channels[0], MAX_GROUP)
    ])
  if name == 'area' and size_px <= min(height, width):
    small = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return small.reshape(size_px, size_px, *channels)
  kind = _PIXEL_TYPES[image.dtype.type, channels[0] if channels else 1]
  source = resizer.ImageData(width, height, kind, image.tobytes())
  target = resizer.ImageData(size_px, size_px, kind)
  _resizer().resize(source, target, _TRIANGLE)
  return np.frombuffer(target.get_buffer(),
                       image.dtype).reshape(size_px, size_px, *channels)


@functools.cache
def _resizer() -> resizer.Resizer:
  return resizer.Resizer()
