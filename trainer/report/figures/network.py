"""A drawing of a network, layer by layer: figure 4 of the paper, as built.

The longest path through the network runs from top to bottom. Branches stand
beside it, and rails on the right lead back to where they join it.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import textwrap
from typing import Any

from matplotlib import figure
from matplotlib import patches
import numpy as np

from hpa_records.inspection import figure as figure_lib
from trainer.network import block as block_lib

# In inches.
_GAP, _RAIL, _MARGIN = 0.3, 0.16, 0.12
_SPACE = 0.17  # between two rows
_TITLE, _LINE = 0.2, 0.125  # heights of a block's lines
_PADDING = 0.08
_ASIDE = 0.06  # rails end above a block's middle by it, and start below

_DARK = '0.25'
# The first key that a class name contains. Pale, so that black is legible.
_COLORS = {
    'Global': '#cfe8cf',
    'Pool': '#fbe3c0',
    'Conv': '#cfe0f3',
    'Dense': '#e5d5ee',
    'Concatenate': '#f7cdd2',
    'Add': '#f7cdd2',
    '': '#eeeeee',
}


@dataclasses.dataclass(frozen=True)
class _Size:
  """The width of a block in inches, and the letters of its lines."""
  width: float
  heading: int  # name and shape together
  details: int

  def wrap(self, block: block_lib.Block) -> list[str]:
    """Returns the lines of a block's details, beside the parameters."""
    parameters = f'{block.parameters:,} ' if block.parameters else ''
    lines = textwrap.wrap(block.details,
                          self.details,
                          initial_indent=' ' * len(parameters))
    return [line.lstrip() for line in lines]

  def measure(self, block: block_lib.Block) -> float:
    """Returns the height of a block in inches."""
    return _TITLE + _LINE * len(self.wrap(block)) + 0.1


_MAIN, _SIDE = _Size(3.7, 43, 46), _Size(1.75, 19, 30)


@dataclasses.dataclass(frozen=True)
class _Box:
  """Where a block is drawn, in inches, y from the top."""
  left: float
  top: float
  height: float
  size: _Size

  @property
  def right(self) -> float:
    """The right edge, x in inches."""
    return self.left + self.size.width

  @property
  def bottom(self) -> float:
    """The lower edge, y in inches from the top."""
    return self.top + self.height

  @property
  def center(self) -> float:
    """The center, x in inches."""
    return self.left + self.size.width / 2

  @property
  def middle(self) -> float:
    """The center, y in inches from the top."""
    return self.top + self.height / 2


@figure_lib.own_style()
def draw_network(network: Mapping[str, Any]) -> figure.Figure:
  """Returns a drawing of a network: blocks, output shapes, parameters.

  Layers of a network with more than 80 are grouped by block.group.

  Args:
    network: of network.summary.summarise.
  """
  blocks = block_lib.group(network['layers'])
  main = _find_longest_path(blocks)
  rows = _place_rows(blocks, main)
  rails = _place_rails(blocks, main, rows)
  boxes, height = _place_boxes(blocks, main, rows)
  rails_left = max((box.right for box in boxes), default=_MAIN.width)
  width = rails_left + _RAIL * (max(rails.values(), default=0) + 1) + _MARGIN
  drawn = figure.Figure(figsize=(width, height))
  axes = drawn.add_axes((0, 0, 1, 1))
  axes.set(xlim=(0, width), ylim=(height, 0))
  axes.set_axis_off()
  axes.text(_MARGIN,
            _MARGIN + _TITLE,
            f'{network["parameters"]:,} parameters',
            va='bottom',
            fontsize=10,
            weight='bold')
  axes.text(_MARGIN + _MAIN.width - _PADDING,
            _MARGIN + _TITLE,
            'output shape,\nparameters',
            ha='right',
            va='bottom',
            fontsize=7,
            color=_DARK)
  for block, box in zip(blocks, boxes):
    _draw_block(axes, block, box)
  for (start, end), rail in rails.items():
    _draw_rail(axes, boxes[start], boxes[end], rails_left + _RAIL * (rail + 1))
  for end, block in enumerate(blocks):
    for start in block.inputs:
      if (start, end) not in rails:
        _draw_arrow(axes, boxes[start], boxes[end])
  return drawn


def _find_longest_path(blocks: Sequence[block_lib.Block]) -> list[int]:
  """Returns the blocks of the longest path to the last block, in order."""
  before: list[int | None] = []
  lengths: list[int] = []
  for block in blocks:
    longest = max(block.inputs, key=lambda i: lengths[i], default=None)
    before.append(longest)
    lengths.append(0 if longest is None else lengths[longest] + 1)
  way, place = [], len(blocks) - 1 if blocks else None
  while place is not None:
    way.append(place)
    place = before[place]
  return way[::-1]


def _place_rows(blocks: Sequence[block_lib.Block],
                main: Sequence[int]) -> list[int]:
  """Returns the row of each block.

  Blocks of the main path have a row each. A block beside it is in the row of
  its input, or further down where a rail or another block is in the way.
  """
  of_main = {block: row for row, block in enumerate(main)}
  busy = set()
  for end in main:
    for start in blocks[end].inputs:
      if of_main.get(start, -2) != of_main[end] - 1:
        busy |= {of_main[end], of_main.get(start, of_main[end])}
  rows: list[int] = []
  for i, block in enumerate(blocks):
    row = of_main.get(i)
    if row is None:
      below = [rows[j] + (j not in of_main) for j in block.inputs]
      row = max(below, default=0)
      while row in busy:
        row += 1
      busy.add(row)
    rows.append(row)
  return rows


def _place_rails(blocks: Sequence[block_lib.Block], main: Sequence[int],
                 rows: Sequence[int]) -> dict[tuple[int, int], int]:
  """Returns the rail, 0 the innermost, of each connection that needs one.

  Connections to the next row, and those to a block beside the main path with no
  other between, are drawn directly. Short rails are further in, so that they do
  not cross.
  """
  beside = {row for i, row in enumerate(rows) if i not in main}
  wanted = []
  for end, block in enumerate(blocks):
    for start in block.inputs:
      fall = rows[end] - rows[start]
      if (start in main) == (end in main):
        is_direct = fall == 1
      else:
        is_direct = start in main and not beside & set(
            range(rows[start], rows[end]))
      if not is_direct:
        wanted.append((fall, start, end))
  rails: dict[tuple[int, int], int] = {}
  for _, start, end in sorted(wanted):
    crossed = {
        rail for (other, last), rail in rails.items()
        if rows[other] <= rows[end] and rows[start] <= rows[last]
    }
    rails[start, end] = min(set(range(len(rails) + 1)) - crossed)
  return rails


def _place_boxes(blocks: Sequence[block_lib.Block], main: Sequence[int],
                 rows: Sequence[int]) -> tuple[list[_Box], float]:
  """Returns the box of each block, and the total height in inches."""
  sizes = [_MAIN if i in main else _SIDE for i in range(len(blocks))]
  heights = np.zeros(max(rows, default=-1) + 1)
  for block, row, size in zip(blocks, rows, sizes):
    heights[row] = max(heights[row], size.measure(block))
  tops = _MARGIN + _TITLE + _PADDING + np.append(0, np.cumsum(heights + _SPACE))
  boxes = []
  for block, row, size in zip(blocks, rows, sizes):
    left = _MARGIN if size is _MAIN else _MARGIN + _MAIN.width + _GAP
    height = size.measure(block)
    top = tops[row] + (heights[row] - height) / 2
    boxes.append(_Box(left, top, height, size))
  return boxes, float(tops[-1])


def _draw_block(axes, block: block_lib.Block, box: _Box) -> None:
  color = next(color for part, color in _COLORS.items() if part in block.kind)
  axes.add_patch(
      patches.FancyBboxPatch((box.left, box.top),
                             box.size.width,
                             box.height,
                             boxstyle='round,pad=0,rounding_size=0.06',
                             facecolor=color,
                             edgecolor=_DARK,
                             linewidth=0.7))
  shape = '×'.join('?' if size is None else str(size) for size in block.shape)
  name, room = block.name, box.size.heading - len(shape) - 1
  if len(name) > room:
    name = f'{name[:room - 1]}…'
  options = {'va': 'top', 'parse_math': False}
  left, right = box.left + _PADDING, box.right - _PADDING
  first = box.top + 0.06
  second = first + _TITLE
  axes.text(left, first, name, fontsize=9, weight='bold', **options)
  axes.text(right, first, shape, fontsize=9, ha='right', **options)
  for i, line in enumerate(box.size.wrap(block)):
    axes.text(left,
              second + i * _LINE,
              line,
              fontsize=7,
              color=_DARK,
              **options)
  if block.parameters:
    axes.text(right,
              second,
              f'{block.parameters:,}',
              fontsize=7.5,
              ha='right',
              **options)


def _draw_arrow(axes, start: _Box, end: _Box) -> None:
  """Draws an arrow down to the next block, or to the right and down."""
  if start.left == end.left:
    _draw_line(axes, (start.center, start.bottom), (end.center, end.top))
  elif end.top < start.bottom:
    _draw_line(axes, (start.right, start.middle), (end.left, end.middle))
  else:
    leave = start.middle + _ASIDE
    _draw_line(axes, (start.right, leave), (end.center, leave),
               (end.center, end.top))


def _draw_rail(axes, start: _Box, end: _Box, x: float) -> None:
  """Draws a line to the right, down, and back to the left."""
  leave, enter = start.middle + _ASIDE, end.middle - _ASIDE
  _draw_line(axes, (start.right, leave), (x, leave), (x, enter),
             (end.right, enter))


def _draw_line(axes, *corners: tuple[float, float]) -> None:
  """Draws a line from corner to corner, with an arrow head at its end."""
  *begin, start, end = corners
  if begin:
    axes.plot(*zip(*begin, start),
              color=_DARK,
              linewidth=1,
              solid_joinstyle='round',
              zorder=0.5)
  axes.annotate('',
                end,
                start,
                arrowprops={
                    'arrowstyle': '-|>',
                    'color': _DARK,
                    'linewidth': 1,
                    'shrinkA': 0,
                    'shrinkB': 0,
                    'mutation_scale': 8
                },
                zorder=0.5)
