"""Systems of the literature side by side, on the same folds: Table 5, run.

A system is a choice of --model and --activation. What was published of it has
other data or another average, so it stands beside our metrics as text.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import types
from typing import Any

import numpy as np
import pandas as pd

from trainer.recipe import baseline
from trainer.report.figures import system_panel
from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report import tables
from trainer.run import finished_run
from trainer.scoring import metrics

_COLUMNS = ('parameters', 'images_per_s', 'minutes')
_METRICS = ('f1_macro', 'f1_micro', 'auc_macro', 'average_precision_macro')
_TESTED = 'f1_macro'  # whose adjusted p-value is a column


@dataclasses.dataclass(frozen=True)
class System:
  """A system that the paper builds on or compares itself with.

  Attributes:
    model: as of --model; or a classifier of descriptors, one of
      baseline.CLASSIFIERS.
    activation: as of --activation; '' for the model's own.
    published: metric, value, data and who; '' if no value was found.
  """
  model: str
  activation: str = ''
  published: str = ''

  @property
  def has_network(self) -> bool:
    """Whether it is a network, not a classifier of descriptors."""
    return self.model not in baseline.CLASSIFIERS

  def list_flags(self) -> list[str]:
    """Returns the flags of hpa-train that choose a network."""
    return [f'--model={self.model}', f'--activation={self.activation}']


# By name; the first is what the others are tested against. Source: docs/
# networks.md, "Published metrics".
SYSTEMS: Mapping[str, System] = types.MappingProxyType({
    'gapnet_prelu':
        System('gapnet_pl', 'prelu', 'F1 of batches .541, Kaggle 2018 '
               '(Al-joudi and Arif)'),
    'gapnet_selu':
        System(
            'gapnet_pl', 'selu', 'F1 of batches .492, Kaggle 2018 '
            '(Al-joudi and Arif); F1 macro .78, 13 other classes '
            '(Rumetshofer)'),
    'gapnet_probact':
        System('gapnet_pl', 'probact'),
    'deeploc':
        System('deeploc', '', 'accuracy .72, yeast (Kraus)'),
    'deeploc_gapnet':
        System('deeploc_gapnet'),
    'deepyeast':
        System('deepyeast', '', 'accuracy .91, yeast (Pärnamaa)'),
    'mcnn':
        System('mcnn'),
    'mil':
        System('mil'),
    'fcn':
        System('fcn'),
    'resnet18':
        System('resnet18', '', 'F1 .403, other data (Tu)'),
    'resnet50':
        System('resnet50', '', 'F1 .3459, Kaggle 2018 (Chang); F1 .41, other '
               'data (Shwetha)'),
    'se_resnext50':
        System('se_resnext50', '', 'F1 .5292 with two other networks, other '
               'data (Wang)'),
    'densenet121':
        System('densenet121'),
    'densenet121_bestfitting':
        System('densenet121_bestfitting', '', 'F1 macro .565, Kaggle 2018, '
               'private test set (bestfitting)'),
    'xception':
        System('xception', '', 'F1 .69 in a hybrid, other data (Shwetha)'),
    'alexnet_prelu':
        System('alexnet', 'prelu', '84.02 %, data unknown (Jiang)'),
    'alexnet_leaky_relu':
        System('alexnet', 'leaky_relu'),
    'random_forest':
        System('random_forest', '', 'F1 .61, other descriptors and data '
               '(Shwetha)'),
    'gradient_boosting':
        System('gradient_boosting'),
    'logistic_regression':
        System('logistic_regression'),
})


def tabulate(results: Sequence[result_lib.Result],
             p_values: Mapping[str, float]) -> pd.DataFrame:
  """Returns a row for each run.

  Args:
    results: of the runs.
    p_values: adjusted p-values of the difference to the first run, by name.

  Returns:
    Index: names of the runs. Columns: model, activation, parameters,
    images_per_s in training, minutes of training a fold, of each metric its
    mean over folds and its 95 % interval as <metric>_low and <metric>_high;
    p_value, published. NaN for an unknown number.
  """
  rows = {each.name: _describe_run(each) for each in results}
  table = pd.DataFrame(rows.values(), index=pd.Index(rows, name='system'))
  table['p_value'] = pd.Series(p_values, dtype=float).reindex(table.index)
  table['published'] = [_find_published(each.run) for each in results]
  return table


def _describe_run(result: result_lib.Result) -> dict[str, Any]:
  model, activation = _name_system(result.run)
  times = pd.DataFrame(map(_time, result.histories),
                       columns=['images_per_s', 'minutes'])
  row = {
      'model': model,
      'activation': activation,
      'parameters': (result.network or {}).get('parameters', np.nan),
      **times.mean(),
  }
  mean = result.metrics.loc['mean' if 'mean' in
                            result.metrics.index else result.metrics.index[0]]
  for name in _METRICS:
    if name not in result.metrics:
      continue
    row[name] = mean[name]
    if result.intervals is not None:
      row[f'{name}_low'] = result.intervals.loc[name, 'low']
      row[f'{name}_high'] = result.intervals.loc[name, 'high']
  return row


def _time(history: pd.DataFrame) -> tuple[float, float]:
  """Returns a fold's (images/s, minutes) of training, without evaluation.

  The rate is the median over epochs: the first one traces.
  """
  if not {'images', 'images_per_s'} <= set(history):
    return np.nan, np.nan
  rates = history['images_per_s'].where(history['images_per_s'] > 0)
  return rates.median(), (history['images'] / rates).sum() / 60


def _find_published(run: finished_run.Run) -> str:
  model, activation = _name_system(run)
  for each in SYSTEMS.values():
    if each.model == model and each.activation in ('', activation):
      return each.published
  return ''


def _name_system(run: finished_run.Run) -> tuple[str, str]:
  """Returns (model, activation), as of System."""
  if run.has_network:
    return run.config.model, run.config.activation
  return run.config.classifier, ''


def describe(results: Sequence[result_lib.Result],
             comparisons: Sequence[Mapping[str, Any]],
             files: files_lib.Files) -> dict[str, Any]:
  """Returns the section of a report for the template.

  {} if all runs are of one system.

  Args:
    results: of the runs.
    comparisons: of comparison.compare.
    files: takes the table and the figure.
  """
  if len({_name_system(each.run) for each in results}) == 1:
    return {}
  p_values = {
      each['name']: each['p_holm'][_TESTED]
      for each in comparisons
      if _TESTED in each.get('p_holm', {})
  }
  table = files.save('systems', tabulate(results, p_values))
  shown = _list_shown(table)
  return {
      'first':
          results[0].name,
      'heads': [metrics.spell(each) for each in shown],
      'rows': [_format(name, row, shown) for name, row in table.iterrows()],
      'figure':
          files.embed('systems',
                      system_panel.draw(table, shown[0], metrics.spell)),
  }


def _list_shown(table: pd.DataFrame) -> list[str]:
  """Returns the metrics that the runs have."""
  return [each for each in _METRICS if each in table]


def _format(name: str, row: pd.Series, shown: Sequence[str]) -> dict[str, Any]:
  """Returns the cells of a row, as text; '' for an unknown number."""

  def spell(value, form):
    return '' if np.isnan(value) else format(value, form)

  return {
      'name': name,
      'parameters': spell(row['parameters'], ',.0f'),
      'images_per_s': spell(row['images_per_s'], ',.0f'),
      'minutes': spell(row['minutes'], '.1f'),
      'metrics': [{
          'text':
              spell(row[each], '.3f'),
          'interval':
              tables.format_interval(row[f'{each}_low'], row[f'{each}_high'])
              if f'{each}_low' in row else ''
      } for each in shown],
      'p_value': spell(row['p_value'], '.3f'),
      'published': row['published'],
  }


def load(output: str) -> pd.DataFrame:
  """Returns the table of a report in this folder, as of tabulate."""
  path = os.path.join(output, files_lib.FOLDER_NAME, 'runs_systems.csv')
  return pd.read_csv(path, index_col='system')


def format_text(table: pd.DataFrame) -> str:
  """Returns the table as lines of text."""
  shown = _list_shown(table)
  lines = {}
  for name, row in table.iterrows():
    cells = _format(name, row, shown)
    lines[name] = [
        *(cells[each] for each in _COLUMNS),
        *(each['text'] for each in cells['metrics']), cells['p_value']
    ]
  heads = [*_COLUMNS, *map(metrics.spell, shown), 'p']
  return pd.DataFrame.from_dict(lines, 'index', columns=heads).to_string()
