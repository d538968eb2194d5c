"""The style that distinguishes runs in a figure, and what all panels share.

Runs differ in colour and in dashes or marker, so the colour-blind and readers
of a black-and-white print can tell them apart. A run's name is its folder's: it
is printed as it is, never parsed as mathematics.
"""

from collections.abc import Iterable
from typing import Any

from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import lines

GRAY = '0.45'  # of what is not of a run
SMALL = 7.5  # points, of text in a panel

# Source: Paul Tol, "Colour Schemes", 2021: bright blue, then muted.
_COLORS = ('#4477aa', '#cc6677', '#117733', '#aa4499', '#999933', '#332288')
_DASHES = ('-', (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_MARKERS = ('o', 's', '^', 'D', 'v')
_LETTER_IN = 0.085  # about as wide as a letter of a legend
_HANDLE_LETTERS = 6  # as wide as the line beside a name
_MOST_COLUMNS = 4


def line(number: int) -> dict[str, Any]:
  """Returns colour and line style of a run's number, for Axes.plot."""
  return {
      'color': _COLORS[number % len(_COLORS)],
      'linestyle': _DASHES[number % len(_DASHES)]
  }


def marker(number: int) -> str:
  """Returns the marker of a run's number."""
  return _MARKERS[number % len(_MARKERS)]


def add_legend(drawn: figure.Figure,
               names: Iterable[str],
               title: str | None = None,
               marked: bool = False) -> None:
  """Adds a legend of runs above all panels; long names are cut.

  Args:
    drawn: with a constrained layout.
    names: of the runs, in order.
    title: of the legend.
    marked: whether their lines have markers.
  """
  room = int(drawn.get_figwidth() / _LETTER_IN) - _HANDLE_LETTERS
  names = [shorten(name, room) for name in names]
  handles = [
      lines.Line2D([], [], marker=marker(i) if marked else '', **line(i))
      for i in range(len(names))
  ]
  columns = room // (max(map(len, names), default=1) + _HANDLE_LETTERS)
  legend = drawn.legend(handles,
                        names,
                        loc='outside upper center',
                        ncols=min(max(columns, 1), _MOST_COLUMNS),
                        title=title,
                        frameon=False)
  for text in legend.get_texts():
    text.set_parse_math(False)


def shorten(text: str, most: int) -> str:
  """Returns a text cut to a number of letters, the last one an ellipsis."""
  return text if len(text) <= most else f'{text[:most - 1]}…'


def tidy(axes: axes_lib.Axes, along: str = 'both') -> None:
  """Adds a faint grid to a panel, and removes its top and right frame.

  Args:
    axes: the panel.
    along: axis of the grid, as in Axes.grid.
  """
  axes.grid(axis=along, alpha=0.3)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
