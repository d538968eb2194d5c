"""Which planes of a stacked file, with all channels in it, become the image.

  planes: the samples of a pixel, as R, G, B and A of a PNG or TIFF.
  pages: the images of a TIFF, in the order of its axes: C (channels) and Z
    (focal planes, which are reduced to one).

The axes are those that the user gives, else those of the file's description
(ImageJ, OME, tifffile), else all images are channels.
"""

import dataclasses
import math
import re
from typing import Sequence

from hpa_records.images.containers import tiff_text
from hpa_records.runtime import errors
from hpa_records.runtime import printable

KINDS = ('planes', 'pages')
PROJECTIONS = ('max', 'middle')
_AXES = re.compile(r'(?:([CZ])([1-9][0-9]{0,3})?)(?:([CZ])([1-9][0-9]{0,3})?)?')


@dataclasses.dataclass(frozen=True)
class Stack:
  """How the planes of a stacked file are used.

  Attributes:
    kind: one of KINDS.
    axes: of pages, slowest first: 'C', 'Z', 'CZ' or 'ZC', a number of planes
      may follow each letter, as in 'C2Z51'; '' uses those of the file.
    project: how the focal planes of a channel become one, one of PROJECTIONS;
      '' if there is one.
    planes: the plane of each channel along C, or its sample; () uses all in
      order, as many as there are channels.
  """
  kind: str
  axes: str = ''
  project: str = ''
  planes: tuple[int, ...] = ()


def check(stack: Stack, num_channels: int) -> None:
  """Checks the values of a Stack.

  Args:
    stack: to be checked.
    num_channels: C.

  Raises:
    errors.DataError: a value is unknown or out of range.
  """
  wrong = ''
  axes = dict(_parse(stack.axes))
  if stack.kind not in KINDS:
    wrong = f'stacked files of {" or ".join(KINDS)}, received {stack.kind!r}'
  elif stack.project and stack.project not in PROJECTIONS:
    wrong = (f'a projection of {" or ".join(PROJECTIONS)}, received '
             f'{stack.project!r}')
  elif stack.axes and (not axes or stack.kind != 'pages'):
    wrong = ("axes of pages, such as 'CZ' or 'C2Z51', received "
             f'{stack.axes!r}')
  elif stack.planes and (len(stack.planes) != num_channels or
                         min(stack.planes) < 0):
    wrong = (f'the plane of each of {num_channels} channels, received '
             f'{stack.planes}')
  elif stack.planes and len(axes) == 2 and not any(axes.values()):
    wrong = ('the number of channels in the file, since planes are chosen, '
             f"such as 'C4Z', received axes {stack.axes!r}")
  if wrong:
    raise errors.DataError(f'Expected {wrong}.')


def find_planes(stack: Stack, num_channels: int,
                count: int) -> tuple[tuple[int, ...], ...]:
  """Returns the plane of each of C channels, as find_pages does.

  Args:
    stack: passed by check.
    num_channels: C.
    count: planes of the file along the channels.

  Raises:
    errors.DataError: the file has too few planes, or others than channels.
  """
  if stack.planes:
    if max(stack.planes) >= count:
      raise errors.DataError(
          f'expected at least {max(stack.planes) + 1} planes, received {count}')
    return tuple((each,) for each in stack.planes)
  if count != num_channels:
    more = ('; give the plane of each channel' if count > num_channels else '')
    raise errors.DataError(f'expected {num_channels} planes, one for each '
                           f'channel, received {count:,}{more}')
  return tuple((each,) for each in range(num_channels))


def find_pages(stack: Stack, names: Sequence[str], count: int,
               text: str) -> tuple[tuple[int, ...], ...]:
  """Returns the pages of each of C channels, whose maximum is its plane.

  Args:
    stack: passed by check.
    names: of the C channels. If the file has all of these names, its order of
      them must be the same.
    count: pages of the file.
    text: image description of the first page.

  Raises:
    errors.DataError: the file has too few pages, others than channels, other
      axes, focal planes and no projection, or channels in another order.
  """
  num_channels = len(names)
  sizes = (_complete(stack, num_channels, count) or
           tiff_text.find_sizes(text) or (('C', count),))
  number = dict(sizes)
  others = [
      f'{axis} = {each:,}' for axis, each in sizes
      if axis not in 'CZ' and each != 1
  ]
  if others:
    raise errors.DataError('expected a stack of channels and focal planes, '
                           f'received {", ".join(others)}')
  if math.prod(number.values()) != count or len(number) != len(sizes):
    declared = ', '.join(f'{axis} = {each:,}' for axis, each in sizes)
    raise errors.DataError(
        f'expected the pages of {declared}, received {count:,} pages')
  channels = find_planes(stack, num_channels, number.get('C', 1))
  _check_names(names, [plane for plane, in channels], text)
  depth = number.get('Z', 1)
  if depth > 1 and not stack.project:
    raise errors.DataError(
        f'expected one focal plane of a channel, received {depth:,}; choose '
        f'their projection, {" or ".join(PROJECTIONS)}')
  chosen = [depth // 2] if stack.project == 'middle' else range(depth)
  steps, step = {'C': 0, 'Z': 0}, 1
  for axis, each in reversed(sizes):
    steps[axis] = step
    step *= each
  return tuple(
      tuple(channel * steps['C'] + z * steps['Z']
            for z in chosen)
      for channel, in channels)


def _check_names(names: Sequence[str], planes: Sequence[int],
                 text: str) -> None:
  """Refuses planes that the file itself calls by the name of another channel.

  Args:
    names: of the C channels.
    planes: along the channels of the file, of each channel.
    text: as of find_pages.
  """
  found = [each.casefold() for each in tiff_text.find_channel_names(text)]
  wanted = [each.casefold() for each in names]
  if len(set(found)) < len(found) or not set(wanted) <= set(found):
    return  # names of its own
  for name, plane in zip(names, planes):
    if found[plane:plane + 1] != [name.casefold()]:
      place = found.index(name.casefold())
      raise errors.DataError(
          f'expected the channel {printable.quote(name)} in plane {plane}, but '
          f'the OME-XML of the file has it in plane {place}; give the plane of '
          'each channel')


def _parse(axes: str) -> list[tuple[str, int]]:
  """Returns the (axis, number of planes or 0) of Stack.axes; [] if invalid."""
  found = _AXES.fullmatch(axes)
  if not found or found[1] == found[3]:
    return []
  pairs = ((found[1], found[2]), (found[3], found[4]))
  return [(axis, int(number or 0)) for axis, number in pairs if axis]


def _complete(stack: Stack, num_channels: int,
              count: int) -> tiff_text.Sizes | None:
  """Returns the axes that a user gave, with all numbers; None if not given.

  If the number of neither is given, there are as many channels as the image
  has.
  """
  axes = dict(_parse(stack.axes))
  if len(axes) == 2 and not axes['C'] and not axes['Z']:
    axes['C'] = num_channels
  known = math.prod(each for each in axes.values() if each)
  return tuple((axis, each or max(1, count // known))
               for axis, each in axes.items()) or None
