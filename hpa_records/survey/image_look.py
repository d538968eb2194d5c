"""What some of the image files contain: sizes, depths, planes and pages."""

import collections
import dataclasses
import gzip
import io
import os
from typing import Any, Sequence
import warnings

from PIL import Image

from hpa_records.images import file_pattern
from hpa_records.images.containers import tiff
from hpa_records.images.containers import tiff_text
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

_MAX_FILES = 64  # that are opened
_MAX_GZIP = 2**28
_BITS, _DESCRIPTION, _RESOLUTION, _UNIT = 258, 270, 282, 296  # TIFF tags
_CENTIMETER = 3
_PIXEL_UM = (.01, 10)  # of microscopes
_DEPTHS = {'1': '1', 'L': '8', 'P': 'palette', 'I': '32', 'F': 'float 32'}


@dataclasses.dataclass(frozen=True)
class Look:
  """The properties of image files, each with its number of files.

  Attributes:
    sizes: (height, width).
    depths: '8', '16', or as float and palette are called.
    colors: values of a pixel.
    pages: of a file.
    axes: declared by a file, as (axis, planes), slowest first; () for none.
    pixel_um: by the resolution of a TIFF; 0 for unknown.
    unread: messages of files that cannot be opened, with an example.
  """
  sizes: collections.Counter[tuple[int, int]]
  depths: collections.Counter[str]
  colors: collections.Counter[int]
  pages: collections.Counter[int]
  axes: collections.Counter[tuple[tuple[str, int], ...]]
  pixel_um: collections.Counter[float]
  unread: dict[str, str]

  @property
  def num_files(self) -> int:
    """The number of files that were opened."""
    return self.sizes.total()

  @property
  def num_pages(self) -> int:
    """The pages that most files have; 1 without files."""
    return self.pages.most_common(1)[0][0] if self.pages else 1

  @property
  def num_colors(self) -> int:
    """The values of a pixel that most files have; 1 without files."""
    return self.colors.most_common(1)[0][0] if self.colors else 1


def look(images: str, names: Sequence[str]) -> Look:
  """Returns the properties of some of the files.

  Args:
    images: folder or address.
    names: of files in it, with '/' between folders.
  """
  found = Look(*(collections.Counter() for _ in range(6)), {})
  step = -(-len(names) // _MAX_FILES)
  for name in sorted(names)[::max(1, step)]:
    try:
      _add(found, os.path.join(images, name))
    except Exception as error:  # pylint: disable=broad-exception-caught
      # Pillow raises many types for damaged and unknown files.
      found.unread.setdefault(printable.join_lines(str(error)), name)
  return found


def _add(found: Look, path: str) -> None:
  data = filesystem.read_bytes(path)
  if path.lower().endswith('.gz'):
    with gzip.open(io.BytesIO(data)) as file:
      data = file.read(_MAX_GZIP)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # of large or odd files
    with Image.open(io.BytesIO(data)) as image:
      pages = _count_pages(image, data)
      tags: Any = getattr(image, 'tag_v2', {})
      found.sizes[image.height, image.width] += 1
      found.depths[_find_depth(image.mode, tags)] += 1
      found.colors[len(image.getbands())] += 1
      found.pages[pages] += 1
      found.axes[_find_axes(str(tags.get(_DESCRIPTION, '')), pages)] += 1
      found.pixel_um[_find_pixel_um(tags)] += 1


def _count_pages(image: Image.Image, data: bytes) -> int:
  """Returns the images of a file.

  Raises:
    errors.DataError: the converter would refuse the directories of a TIFF.
  """
  if image.format != 'TIFF':
    return getattr(image, 'n_frames', 1)
  # Pillow compares each directory with all before it: 20,000 take 8 s.
  return len(tiff.read_all(io.BytesIO(data), len(data)))


def _find_depth(mode: str, tags: Any) -> str:
  bits = tags.get(_BITS)
  if mode.startswith('I;16') or (bits and set(bits) == {16}):
    return '16'
  return _DEPTHS.get(mode, '8')


def _find_axes(text: str, pages: int) -> tuple[tuple[str, int], ...]:
  try:
    sizes = tiff_text.find_sizes(text) if pages > 1 else None
  except errors.DataError:
    sizes = None
  return tuple((axis, each) for axis, each in sizes or () if each > 1)


def _find_pixel_um(tags: Any) -> float:
  """Returns the size of a pixel if the resolution is one of a microscope."""
  resolution = float(tags.get(_RESOLUTION, 0) or 0)
  # Also false for the NaN of a denominator of 0.
  is_known = tags.get(_UNIT) == _CENTIMETER and resolution > 0
  size = round(10_000 / resolution, 4) if is_known else 0.0
  return size if _PIXEL_UM[0] <= size <= _PIXEL_UM[1] else 0.0


def is_image(name: str) -> bool:
  """Returns whether the ending of a name is one of image files."""
  return name.lower().endswith(tuple(file_pattern.FORMATS))
