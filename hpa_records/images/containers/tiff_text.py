"""What the image description of a TIFF says of its planes.

ImageJ, OME-TIFF and tifffile store the number and the order of the planes of a
stack there. The text is searched for a few numbers, not parsed: XML parsers
expand entities.

Source: ImageJ, TiffEncoder.java and FileInfo; OME-TIFF specification 6
(DimensionOrder, TiffData); tifffile, "shaped" files.
"""

import math
import re

from hpa_records.runtime import errors
from hpa_records.runtime import printable

# OME-XML lists each plane in some hundred bytes.
MAX_BYTES = 2**22

_IMAGEJ = re.compile(r'^(images|channels|slices|frames)=0*([0-9]{1,9})',
                     re.MULTILINE)
_IMAGEJ_AXES = {'T': 'frames', 'Z': 'slices', 'C': 'channels'}
_SHAPE = re.compile(r'^\{?"?shape"?[:=] ?[\[(]([0-9, ]{1,99})[\])]')
_SHAPE_AXES = re.compile(r'"axes": ?"([A-Z]{1,16})"')
_PIXELS = re.compile(r'<(?:\w{1,20}:)?Pixels\s([^<>]*)>')
_TIFF_DATA = re.compile(r'<(?:\w{1,20}:)?TiffData\s([^<>]*)>')
_CHANNEL = re.compile(r'<(?:\w{1,20}:)?Channel\s([^<>]*)>')
_ATTRIBUTE = re.compile(r'\b(\w{1,40})\s*=\s*["\']([^"\'<>]{0,40})["\']')

# (axis, planes along it), slowest first.
Sizes = tuple[tuple[str, int], ...]


def find_sizes(text: str) -> Sizes | None:
  """Returns the axes of a stack that its description declares, or None.

  Args:
    text: the description of the first image, its first MAX_BYTES bytes.

  Returns:
    The axes other than height, width and samples; T, Z and C of ImageJ and OME.

  Raises:
    errors.DataError: OME-XML declares several images or another order of the
      planes in the file, or its sizes are invalid.
  """
  if text.startswith('ImageJ='):
    found = dict(_IMAGEJ.findall(text))
    if not found.keys() & set(_IMAGEJ_AXES.values()):
      return None  # a stack of unnamed planes
    return tuple(
        (axis, int(found.get(name, 1))) for axis, name in _IMAGEJ_AXES.items())
  if _PIXELS.search(text):
    return _find_ome_sizes(text)
  shape, axes = _SHAPE.match(text), _SHAPE_AXES.search(text)
  if not shape or not axes:
    return None
  sides = _numbers(shape[1])
  if len(sides) != len(axes[1]):
    return None
  return tuple((axis, side)
               for axis, side in zip(axes[1], sides)
               if axis not in 'YXS') or None


def _find_ome_sizes(text: str) -> Sizes:
  pixels = _PIXELS.findall(text)
  if len(pixels) > 1:
    raise errors.DataError(
        f'expected an OME-TIFF of one image, received {len(pixels):,}')
  found = dict(_ATTRIBUTE.findall(pixels[0]))
  order = found.get('DimensionOrder', '')
  if not re.fullmatch('XY[CZT]{3}', order) or len(set(order)) != 5:
    raise errors.DataError('OME-TIFF without a valid DimensionOrder')
  sizes = {axis: _number(found.get(f'Size{axis}', '')) for axis in 'TZC'}
  _check_order(text, order, sizes)
  return tuple((axis, sizes[axis]) for axis in order[:1:-1])


def _check_order(text: str, order: str, sizes: dict[str, int]) -> None:
  """Checks that the planes are in the file in the declared order."""
  for each in _TIFF_DATA.findall(text):
    found = dict(_ATTRIBUTE.findall(each))
    place, step = 0, 1
    for axis in order[2:]:
      place += step * _number(found.get(f'First{axis}', '0'))
      step *= sizes[axis]
    if 'IFD' in found and _number(found['IFD']) != place:
      raise errors.DataError(
          f'OME-TIFF whose planes are not in the order {order}: plane {place} '
          f'is image {found["IFD"]}')


def find_channel_names(text: str) -> tuple[str, ...]:
  """Returns the names of an OME-TIFF's channels, in the order of planes.

  Args:
    text: as of find_sizes.

  Returns:
    A name for each channel, '' without one; () if the text lists no channels.
  """
  if not _PIXELS.search(text):
    return ()
  return tuple(
      dict(_ATTRIBUTE.findall(each)).get('Name', '')
      for each in _CHANNEL.findall(text))


def count_planes(text: str, num_pixels: int, samples: int) -> int:
  """Returns the planes that a description declares; 1 if it does not.

  Args:
    text: the description of the first image.
    num_pixels: height * width of the image.
    samples: values of a pixel.
  """
  if text.startswith('ImageJ='):
    count = max((int(number) for _, number in _IMAGEJ.findall(text)), default=1)
    return 1 if count == samples else count  # 16-bit RGB is 3 images to ImageJ
  shape = _SHAPE.match(text)
  declared = math.prod(_numbers(shape[1])) if shape else 0
  num_values = num_pixels * samples
  return -(-declared // num_values) if num_values and declared else 1


def describe_planes(text: str, num_pixels: int, samples: int) -> str:
  """Returns the description of several planes in one image, or ''.

  Args:
    text, num_pixels, samples: as of count_planes.
  """
  count = count_planes(text, num_pixels, samples)
  if count <= 1:
    return ''
  if text.startswith('ImageJ='):
    return f'an ImageJ stack of {count:,}'
  return f'an array of {_SHAPE.match(text)[1]} by its description'


def _number(text: str) -> int:
  if not re.fullmatch('[0-9]{1,9}', text):
    raise errors.DataError(
        f'expected a number in the description of an OME-TIFF, received '
        f'{printable.quote(text)}')
  return int(text)


def _numbers(text: str) -> list[int]:
  return [int(each) for each in re.findall('[0-9]+', text)]
