"""Encodes the files of a synthetic sample, as a description has them.

Gray PNGs and TIFFs, JPEGs in the color of their channel, RGB(A) planes and
stacks of TIFF pages, gzip around a TIFF. TIFFs have 16 bits where the intensity
rule needs more than 8, as of a 12-bit camera.
"""

import gzip
import io
from typing import Sequence

import cv2
import numpy as np
from PIL import Image

from hpa_records.datasets import layout
from hpa_records.runtime import errors
from hpa_records.runtime import printable

# Fast, with file sizes close to the real ones.
PNG_SETTINGS = [
    cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_NONE
]
# Color at full resolution: in small images the usual half would leak too much
# of a tint into the other components.
_JPEG_SETTINGS = [
    cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
]
_TIFF_ENDINGS = ('.tif', '.tiff')
_ENDINGS = ('.png', '.jpg', '.jpeg', *_TIFF_ENDINGS)
_CAMERA_MAX, _CAMERA_OFFSET = 4095, 100
_RGBA = 4  # planes that cv2 encodes in a pixel
_DEPTH = 3  # focal planes of a stack
_BLUR = .6  # brightness of the outer ones


def find_ending(found: layout.Description) -> str:
  """Returns the ending of files whose whole names are in a column."""
  is_tiff = found.intensity.rule == 'percentiles' or found.images.stacked == \
      'pages'
  return '.tif' if is_tiff else '.png'


def check(names: Sequence[str], found: layout.Description) -> None:
  """Checks that files of these names can be encoded.

  Args:
    names: of a sample's files.
    found: description of the dataset.

  Raises:
    errors.DataError: one has another ending, or more planes than RGBA.
  """
  for name in names:
    if not name.lower().removesuffix('.gz').endswith(_ENDINGS):
      raise errors.DataError(
          f'Expected image files that end in {", ".join(_ENDINGS)}, received '
          f'{printable.quote(name)}; sample data of other types cannot be made.'
      )
  if found.images.stacked == 'planes' and max(_find_places(found)) >= _RGBA:
    raise errors.DataError(
        f'The channels of {found.name} are in {max(_find_places(found)) + 1} '
        f'planes; sample data of more than {_RGBA} planes cannot be made.')


def encode(planes: Sequence[np.ndarray], found: layout.Description,
           names: Sequence[str]) -> list[bytes]:
  """Returns the content of the files of a sample.

  Args:
    planes: [H, W] float32 of each channel, about 0..255.
    found: description of the dataset.
    names: of the sample's files, as passed by check: one a channel, or one.
  """
  # Stacked files have one name, and the same ending for all planes.
  endings = [each.lower().removesuffix('.gz') for each in names]
  planes = [
      _to_integers(plane, channel, found, endings[min(i,
                                                      len(endings) - 1)])
      for i, (plane, channel) in enumerate(zip(planes, found.channels))
  ]
  if found.images.stacked:
    contents = [_encode_stack(planes, found, endings[0])]
  else:
    contents = [
        _encode_plane(plane, channel.color, ending)
        for plane, channel, ending in zip(planes, found.channels, endings)
    ]
  return [
      gzip.compress(content, mtime=0)
      if name.lower().endswith('.gz') else content
      for content, name in zip(contents, names)
  ]


def _to_integers(plane: np.ndarray, channel: layout.Channel,
                 found: layout.Description, ending: str) -> np.ndarray:
  """Returns a plane as uint8, or as uint16 where the intensity rule needs it.
  """
  white = channel.white_level or found.intensity.white_level
  rule = found.intensity.rule
  is_deep = rule == 'percentiles' or (rule == 'white_level' and white > 255)
  if not is_deep or not ending.endswith(_TIFF_ENDINGS):
    return cv2.convertScaleAbs(plane)  # rounds, clips at 255
  black, white = ((_CAMERA_OFFSET, _CAMERA_MAX) if rule == 'percentiles' else
                  (0, white))
  values = np.abs(plane) * ((white - black) / 255) + black
  return np.clip(np.rint(values), 0, white).astype(np.uint16)


def _encode_plane(plane: np.ndarray, color: str, ending: str) -> bytes:
  if ending.endswith(_TIFF_ENDINGS):
    return _encode_pages([plane])
  if ending.endswith('.png'):
    return cv2.imencode('.png', plane, PNG_SETTINGS)[1].tobytes()
  # A tint has one or two full components; other colors are written as gray.
  red, green, blue = (each > 127 for each in bytes.fromhex(color[1:]))
  if (red, green, blue) not in ((True,) * 3, (False,) * 3):
    plane = cv2.merge([plane * each for each in (blue, green, red)])
  return cv2.imencode('.jpg', plane, _JPEG_SETTINGS)[1].tobytes()


def _encode_stack(planes: Sequence[np.ndarray], found: layout.Description,
                  ending: str) -> bytes:
  """Returns one file of all channels; planes of no channel are black."""
  places = _find_places(found)
  is_pages = found.images.stacked == 'pages'
  least = 1 if is_pages else 3  # RGB
  stack = np.zeros((max(least,
                        max(places) + 1), *planes[0].shape), planes[0].dtype)
  stack[places] = planes
  if is_pages:
    axes = [each for each in found.images.axes if each in 'CZ']
    if 'Z' in axes:
      depths = np.full(_DEPTH, _BLUR, np.float32)
      depths[_DEPTH // 2] = 1
      stack = np.rint(stack[:, None] * depths[:, None, None])
      stack = stack.astype(planes[0].dtype)
      stack = stack if axes[0] == 'C' else np.swapaxes(stack, 0, 1)
    return _encode_pages(stack.reshape(-1, *planes[0].shape))
  # From RGB(A) to the order of cv2.
  pixels = cv2.merge([stack[i] for i in (2, 1, 0, *range(3, len(stack)))])
  return cv2.imencode(f'.{ending.rpartition(".")[2]}', pixels)[1].tobytes()


def _find_places(found: layout.Description) -> list[int]:
  """Returns the plane of each channel in a stacked file."""
  return [
      i if each.plane < 0 else each.plane
      for i, each in enumerate(found.channels)
  ]


def _encode_pages(planes: Sequence[np.ndarray]) -> bytes:
  content = io.BytesIO()
  first, *others = map(Image.fromarray, planes)
  first.save(content,
             format='TIFF',
             compression='tiff_adobe_deflate',
             save_all=True,
             append_images=others)
  return content.getvalue()
