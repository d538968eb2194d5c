"""Figures of predictions: curves, calibration, confusion, learning, classes."""

from collections.abc import Mapping, Sequence

from matplotlib import figure
from matplotlib import ticker
import numpy as np
import pandas as pd

from hpa_records.inspection import figure as figure_lib
from trainer.report.figures import class_panel
from trainer.report.figures import curve as curve_lib
from trainer.report.figures import run_style

_PANELS = {
    'loss': 'loss, training',
    'val_loss': 'loss, validation',
    'f1_macro': 'F1 macro',
    'f1_micro': 'F1 micro',
    'auc_macro': 'AUC macro',
    'learning_rate': 'learning rate',
}
_MATRIX_MARGIN, _MATRIX_CELL = 2.5, 8.4 / 29  # inches, of names and of a class
_LEAST_MATRIX = 5.0  # inches
# Inches of a row of class metrics: the least, its margin, and each run in it.
_LEAST_ROW, _ROW_MARGIN, _ROW_RUN = 4.5 / 14, 1 / 14, 9 / 56
_LEAST_ROWS = 8.4  # whose height leaves room for legend and axis
_MOST_LETTERS = 30  # of the name of a class
_DARK = 0.7  # share of a row from which white is more legible than black


def draw_roc(labels: np.ndarray, predictions: Mapping[str, np.ndarray],
             shown: Mapping[int, str]) -> figure.Figure:
  """Returns ROC curves, a panel a class and a line a run, with their areas.

  Lines are thinned without visible change (curve.thin).

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float of each run by its name.
    shown: the names of the classes with a panel, by number.
  """
  return class_panel.draw(labels, predictions, shown, curve_lib.roc,
                          ('false positive rate', 'true positive rate', 'AUC'))


def draw_precision_recall(labels: np.ndarray, predictions: Mapping[str,
                                                                   np.ndarray],
                          shown: Mapping[int, str]) -> figure.Figure:
  """Returns precision over recall, a panel a class and a line a run.

  Lines are the steps whose area is the average precision, thinned without
  visible change (curve.thin). The dotted line, chance, is the share of
  positives.

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float of each run by its name.
    shown: the names of the classes with a panel, by number.
  """
  return class_panel.draw(labels, predictions, shown,
                          curve_lib.precision_recall,
                          ('recall', 'precision', 'average precision'))


@figure_lib.own_style()
def draw_calibration(labels: np.ndarray,
                     predictions: Mapping[str, np.ndarray]) -> figure.Figure:
  """Returns a reliability diagram above a histogram, a line a run.

  Each class of each sample is one decision. All classes that occur are pooled;
  the others are easy to predict, and would hide the rest. A point is a bin: the
  mean probability of its decisions, and the share of positives.

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float of each run by its name.
  """
  drawn = figure.Figure(figsize=(6.2, 8), layout='constrained')
  upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
  upper.plot([0, 1], [0, 1], ':', color=run_style.GRAY, zorder=1)
  names, tallest = [], 1
  occurs = labels.any(axis=0)
  for number, (name, each) in enumerate(predictions.items()):
    bins = curve_lib.reliability(labels[:, occurs], each[:, occurs])
    filled = bins.counts > 0
    upper.plot(bins.mean[filled],
               bins.share[filled],
               **run_style.line(number),
               marker=run_style.marker(number),
               markersize=4)
    style = run_style.line(number)
    lower.stairs(bins.counts,
                 bins.edges,
                 color=style['color'],
                 linestyle=style['linestyle'],
                 linewidth=1.3)
    tallest = max(tallest, bins.counts.max())
    names.append(name if np.isnan(bins.error) else
                 f'{name}: expected calibration error {bins.error:.4f}')
  upper.set(ylabel='share of positives', xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
  lower.set(xlabel='probability', ylabel='decisions')
  lower.set_ylim(0.7, 2 * tallest)  # first: an empty histogram has no log scale
  lower.set_yscale('log')
  for axes in (upper, lower):
    run_style.tidy(axes)
  run_style.add_legend(drawn, names, marked=True)
  return drawn


@figure_lib.own_style()
def draw_learning_curves(
    histories: Mapping[str, Sequence[pd.DataFrame]]) -> figure.Figure:
  """Returns learning curves: a thin line for each fold, a thick one their mean.

  The mean is drawn only where every fold that has the metric has a value, so
  that it does not jump where a fold ends early.

  Args:
    histories: by run, of each fold a table with a row an epoch. Columns: epoch,
      and any of loss, val_loss, f1_macro, f1_micro, auc_macro, learning_rate. A
      missing column, or a cell that is not a number, leaves a gap.
  """
  drawn = figure.Figure(figsize=(9, 8.4), layout='constrained')
  grid = drawn.subplots(3, 2, sharex=True)
  for axes, (column, title) in zip(grid.flat, _PANELS.items()):
    for number, folds in enumerate(histories.values()):
      table = _align([each for each in folds if column in each], column)
      style = run_style.line(number)
      for fold in table:
        axes.plot(table.index,
                  table[fold],
                  color=style['color'],
                  linewidth=0.7,
                  alpha=0.5)
      mean = table.mean(axis=1, skipna=False)
      alone = mean.notna() & mean.shift().isna() & mean.shift(-1).isna()
      axes.plot(table.index,
                mean,
                **style,
                linewidth=2,
                marker=run_style.marker(number),
                markersize=4,
                markevery=np.flatnonzero(alone).tolist())
    if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
      axes.text(0.5,
                0.5,
                'no values',
                ha='center',
                va='center',
                color=run_style.GRAY,
                transform=axes.transAxes)
    elif column == 'learning_rate':
      axes.set_yscale('log')
      axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
      axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
      axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_title(title, fontsize=10)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True))
    run_style.tidy(axes)
  for axes in grid[-1]:
    axes.set_xlabel('epoch')
  run_style.add_legend(drawn, histories)
  return drawn


def _align(folds: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
  """Returns one column of all folds that have values, a row an epoch."""
  parts = [
      pd.Series(pd.to_numeric(each[column], errors='coerce').to_numpy(float),
                index=each['epoch'].to_numpy()) for each in folds
  ]
  parts = [each for each in parts if each.notna().any()]
  return pd.concat(parts, axis=1).sort_index() if parts else pd.DataFrame()


@figure_lib.own_style()
def draw_confusion_matrix(matrix: np.ndarray, classes: Sequence[str],
                          name: str) -> figure.Figure:
  """Returns a heat map of a multi-label confusion matrix, with counts.

  Args:
    matrix: [K + 1, K + 1] int: rows are true labels, the last one "no true
      label"; columns predicted ones, the last one "no predicted label"; or
      without these, [K, K]. The colour is the share of the row.
    classes: the names of the K classes.
    name: of the run, for the title.
  """
  places = np.arange(len(matrix))
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  side = max(_MATRIX_MARGIN + _MATRIX_CELL * len(matrix), _LEAST_MATRIX)
  drawn = figure.Figure(figsize=(side + 0.6, side), layout='constrained')
  axes = drawn.add_subplot()
  # Cells as vector shapes, which are sharp at any size.
  mesh = axes.pcolormesh(shares, cmap='Blues', vmin=0, vmax=1)
  for row, column in np.argwhere(matrix):
    count = f'{matrix[row, column]}'
    axes.text(column + 0.5,
              row + 0.5,
              count,
              ha='center',
              va='center',
              fontsize=6.5 if len(count) < 5 else 5.5,
              color='white' if shares[row, column] > _DARK else 'black')
  names = [
      f'{run_style.shorten(each, _MOST_LETTERS)} {i}'
      for i, each in enumerate(classes)
  ]
  style = {'fontsize': 8, 'parse_math': False}
  axes.set_xticks(places + 0.5, [*names, 'no predicted label'][:len(matrix)],
                  rotation=90,
                  **style)
  axes.set_yticks(places + 0.5, [*names, 'no true label'][:len(matrix)],
                  **style)
  if len(matrix) > len(classes):  # the last row and column are not classes
    for draw in (axes.axhline, axes.axvline):
      draw(len(classes), color='black', linewidth=0.8)
  axes.tick_params(length=0)
  axes.set(xlabel='predicted label', ylabel='true label')
  axes.set_title(f'Confusion matrix: {name}', parse_math=False)
  axes.invert_yaxis()
  axes.set_aspect('equal')
  drawn.colorbar(mesh,
                 ax=axes,
                 label='share of the row',
                 shrink=0.5,
                 aspect=30,
                 pad=0.01)
  return drawn


@figure_lib.own_style()
def draw_class_metrics(tables: Mapping[str, pd.DataFrame]) -> figure.Figure:
  """Returns a figure of each class's F1 with its interval, for several runs.

  Args:
    tables: of each run by its name, at least one: a row a class, its number as
      index, with name, f1, f1_low, f1_high and positives; f1 is NaN where no
      fold has the class.
  """
  step = 0.72 / len(tables)
  names = next(iter(tables.values()))['name']
  row = max(_LEAST_ROW, _ROW_MARGIN + _ROW_RUN * len(tables))
  height = row * max(len(names), _LEAST_ROWS)
  drawn = figure.Figure(figsize=(8, height), layout='constrained')
  axes = drawn.add_subplot()
  classes = np.arange(len(names))
  counts = [
      dict.fromkeys(c)
      for c in zip(*(table['positives'] for table in tables.values()))
  ]
  for number, table in enumerate(tables.values()):
    places = classes + step * (number - (len(tables) - 1) / 2)
    color = run_style.line(number)['color']
    known = table['f1'].notna().to_numpy()
    axes.hlines(places[known],
                table['f1_low'][known],
                table['f1_high'][known],
                color=color,
                linewidth=1.6)
    axes.plot(table['f1'][known],
              places[known],
              run_style.marker(number),
              color=color,
              markersize=5)
    for place in places[~known]:
      axes.text(0.005,
                place,
                'no positives',
                va='center',
                color=color,
                fontsize=run_style.SMALL)
  axes.set_yticks(classes, [
      f'{number} {run_style.shorten(name, _MOST_LETTERS)} '
      f'({" / ".join(f"{n:,}" for n in numbers)})'
      for (number, name), numbers in zip(names.items(), counts)
  ],
                  parse_math=False)
  axes.set(xlabel='F1',
           ylabel='class (positives)',
           xlim=(-0.01, 1.01),
           ylim=(classes[-1] + 0.6, -0.6))
  for boundary in classes[1:] - 0.5:
    axes.axhline(boundary, color='0.9', linewidth=0.6, zorder=0)
  run_style.tidy(axes, 'x')
  axes.tick_params(axis='y', length=0)
  run_style.add_legend(drawn, tables, marked=True)
  return drawn
