"""Curves of every class, one panel each, for several runs."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib import axes as axes_lib
from matplotlib import figure
import numpy as np

from hpa_records.inspection import figure as figure_lib
from trainer.report.figures import curve as curve_lib
from trainer.report.figures import run_style

_COLUMNS = 4
_MARGIN, _ROW = 1.4, 2.0  # heights in inches; the margin is the legend's
_TITLE_LETTERS, _WIDE_LETTERS = 32, 26  # that fit, on average and always
_LINE_HEIGHT = 0.1  # of the numbers in a panel, in axis units
_PAPER = {'facecolor': 'white', 'edgecolor': 'none', 'pad': 0.6}

Compute = Callable[[np.ndarray, np.ndarray], curve_lib.Curve | None]


@figure_lib.own_style()
def draw(labels: np.ndarray, predictions: Mapping[str, np.ndarray],
         shown: Mapping[int, str], compute: Compute,
         names: tuple[str, str, str]) -> figure.Figure:
  """Returns a figure with a panel a class and a line a run, with their areas.

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float of each run by its name.
    shown: the names of the classes with a panel, by number.
    compute: curve.roc or curve.precision_recall.
    names: of the horizontal axis, the vertical one, and the area.
  """
  num_rows = -(-len(shown) // _COLUMNS)
  drawn = figure.Figure(figsize=(9, _MARGIN + _ROW * num_rows),
                        layout='constrained')
  grid = drawn.subplots(num_rows,
                        _COLUMNS,
                        sharex=True,
                        sharey=True,
                        squeeze=False)
  for axes, above in zip(grid.flat[len(shown):],
                         grid.flat[len(shown) - _COLUMNS:]):
    axes.set_axis_off()
    above.tick_params(labelbottom=True)
  for (number, name), axes in zip(shown.items(), grid.flat):
    found = [
        compute(labels[:, number], each[:, number])
        for each in predictions.values()
    ]
    curves = [curve_lib.thin(each) for each in found if each]
    positives = int(labels[:, number].sum())
    if curves:
      _draw_curves(axes, curves, compute is curve_lib.roc, positives,
                   len(labels))
    elif positives in (0, len(labels)):
      missing = 'negatives' if positives else 'positives'
      axes.text(0.5,
                0.5,
                f'no {missing}',
                ha='center',
                va='center',
                color=run_style.GRAY)
    title = f'{number} {name}'
    if len(title) > _TITLE_LETTERS:
      title = run_style.shorten(title, _WIDE_LETTERS)
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set(xlim=(-0.02, 1.02),
             ylim=(-0.02, 1.02),
             xticks=(0, 0.5, 1),
             yticks=(0, 0.5, 1))
    axes.tick_params(labelsize=8)
    axes.set_box_aspect(1)
    run_style.tidy(axes)
  drawn.supxlabel(names[0], fontsize=10)
  drawn.supylabel(names[1], fontsize=10)
  run_style.add_legend(drawn, predictions,
                       f'In each panel: positives, and {names[2]} of')
  return drawn


def _draw_curves(axes: axes_lib.Axes, curves: Sequence[curve_lib.Curve],
                 is_roc: bool, positives: int, total: int) -> None:
  """Draws lines, the line of chance, and numbers in the empty corner."""
  chance = [0, 1] if is_roc else [positives / total] * 2
  axes.plot([0, 1], chance, ':', color=run_style.GRAY, linewidth=0.9, zorder=1)
  texts = [(f'{positives:,}', run_style.GRAY)]
  for number, each in enumerate(curves):
    style = run_style.line(number)
    axes.plot(each.x, each.y, linewidth=1.3, **style)
    texts.append((f'{each.area:.3f}', style['color']))
  places = _LINE_HEIGHT * np.arange(len(texts))
  x, side, heights, edge = 0.97, 'right', 0.04 + places[::-1], 'bottom'
  if not is_roc and max(each.area for each in curves) < 0.5:
    heights, edge = 0.96 - places, 'top'
  elif not is_roc:
    x, side = 0.03, 'left'
  for height, (text, color) in zip(heights, texts):
    axes.text(x,
              height,
              text,
              color=color,
              ha=side,
              va=edge,
              bbox=_PAPER,
              fontsize=run_style.SMALL)
