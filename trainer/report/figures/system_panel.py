"""The figure of several systems: a metric by parameters and by training time.
"""

from collections.abc import Callable

from matplotlib import figure
import numpy as np
import pandas as pd

from hpa_records.inspection import figure as figure_lib
from trainer.report.figures import run_style

_AXES = {
    'parameters': 'parameters',
    'minutes': 'minutes of training a fold',
}


@figure_lib.own_style()
def draw(table: pd.DataFrame, metric: str,
         spell: Callable[[str], str]) -> figure.Figure:
  """Returns a panel for each of _AXES, a marker for each system.

  Args:
    table: a row for each system. Columns: parameters, minutes, metric, and
      optionally <metric>_low and <metric>_high; NaN leaves a marker out.
    metric: name of the column that is drawn.
    spell: returns the title of a column.
  """
  drawn = figure.Figure(figsize=(9, 4.2), layout='constrained')
  panels = drawn.subplots(1, 2, sharey=True)
  for axes, (column, title) in zip(panels, _AXES.items()):
    for number, (_, row) in enumerate(table.iterrows()):
      if not np.isfinite([row[column], row[metric]]).all() or row[column] <= 0:
        continue
      style = {
          'color': run_style.line(number)['color'],
          'marker': run_style.marker(number)
      }
      bounds = None
      if f'{metric}_low' in row:
        bounds = [[row[metric] - row[f'{metric}_low']],
                  [row[f'{metric}_high'] - row[metric]]]
      axes.errorbar(row[column], row[metric], bounds, **style, linewidth=1)
    axes.set_xscale('log')
    axes.set_xlabel(title)
    run_style.tidy(axes)
  panels[0].set_ylabel(spell(metric))
  run_style.add_legend(drawn, table.index, marked=True)
  return drawn
