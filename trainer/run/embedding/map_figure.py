"""Draws the maps of features: a panel a model, colored by class."""

from collections.abc import Mapping, Sequence
import textwrap

from matplotlib import figure
from matplotlib import lines
import numpy as np

from hpa_records.inspection import figure as figure_lib
from trainer.run.embedding import feature_map as feature_map_lib

# Distinct for the colour-blind, too; the last is that of other classes.
# Source: Paul Tol, "Colour Schemes", 2021, bright, and one of muted.
COLORS = ('#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377',
          '#882255', '#ee8866')
OTHER = '#bbbbbb'
_PANELS_A_ROW = 3
_PANEL_IN = 4.2


def choose_colors(labels: np.ndarray) -> tuple[np.ndarray, list[int]]:
  """Returns the color of each image, and the classes that have one.

  The classes with the most images have one each. An image has that of its
  rarest class among them: the most frequent class is beside many others.

  Args:
    labels: [N, K] uint8 multi-hot.

  Returns:
    [N] int64, the place of the color in COLORS, len(COLORS) for OTHER; and the
    numbers of the classes, in the order of COLORS.
  """
  counts = labels.sum(axis=0, dtype=np.int64)
  largest = np.argsort(-counts, kind='stable')[:len(COLORS)]
  classes = [number for number in largest.tolist() if counts[number]]
  found = np.full(len(labels), len(COLORS))
  for place, number in enumerate(classes):  # rarer ones come later
    found[labels[:, number] > 0] = place
  return found, classes


@figure_lib.own_style()
def draw(found: feature_map_lib.FeatureMap,
         names: Sequence[str]) -> figure.Figure:
  """Returns a figure with the map of each model.

  Args:
    found: the maps; at least one image.
    names: of the K classes.
  """
  models = np.unique(found.models).tolist()
  columns = min(len(models), _PANELS_A_ROW)
  rows = -(-len(models) // columns)
  drawn = figure.Figure(figsize=(_PANEL_IN * columns + 2.4,
                                 _PANEL_IN * rows + 0.4),
                        layout='constrained')
  grid = drawn.subplots(rows, columns, squeeze=False).reshape(-1)
  colors, classes = choose_colors(found.labels)
  palette = np.array([*COLORS, OTHER])
  for axes, model in zip(grid, models):
    chosen = np.flatnonzero(found.models == model)
    # Those of no color below the others.
    chosen = chosen[np.argsort(-colors[chosen], kind='stable')]
    axes.scatter(*found.places[chosen].T,
                 s=max(2, min(16, 4000 / len(chosen))),
                 c=palette[colors[chosen]],
                 linewidths=0)
    axes.set(title=f'{found.method}, fold {model}: {len(chosen):,} images',
             xticks=[],
             yticks=[])
  for axes in grid[len(models):]:
    axes.set_axis_off()
  drawn.legend(handles=[
      lines.Line2D([], [],
                   color=color,
                   marker='o',
                   linestyle='',
                   label=textwrap.shorten(name, 32, placeholder='…'))
      for name, color in name_colors(classes, names).items()
  ],
               loc='outside right center',
               frameon=False)
  return drawn


def name_colors(classes: Sequence[int],
                names: Sequence[str]) -> Mapping[str, str]:
  """Returns the colors of a legend by their text.

  Args:
    classes: of choose_colors.
    names: of the K classes.
  """
  found = {names[number]: color for number, color in zip(classes, COLORS)}
  return {**found, 'other': OTHER}
