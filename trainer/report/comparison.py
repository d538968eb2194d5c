"""Several runs side by side: classes, paired tests, curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trainer.report.figures import evaluation
from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report import tables
from trainer.scoring import bootstrap
from trainer.scoring import metrics
from trainer.scoring import seed_test

_SIGNIFICANT = 0.05
_OWN_SCALES = (
    'All held-out folds are pooled. The probabilities of their models are not '
    'calibrated alike, so areas can be below the means over folds under '
    'Classes, which are the metrics to quote.')
# Title, caption, and the function that draws it from labels, predictions and
# the names of the shown classes.
_CURVES = (
    ('roc', f'ROC of each class. {_OWN_SCALES}', evaluation.draw_roc),
    ('precision_recall', f'Precision and recall of each class. {_OWN_SCALES}',
     evaluation.draw_precision_recall),
)
_CALIBRATION = ('Calibration: how often a class occurs, by its probability. '
                'All held-out folds and all classes that occur are pooled.')


def describe_classes(results: Sequence[result_lib.Result],
                     files: files_lib.Files) -> dict[str, Any]:
  """Returns Table 3 of several runs, a row a class, for the template."""
  for result in results:
    files.save(f'classes_{result.name}', result.classes)
  heads = [{
      'ratio': metrics.spell(ratio),
      'run': result.name
  } for ratio in metrics.RATIOS for result in results]
  rows = []
  for number, name in enumerate(results[0].spec.classes):
    cells = [
        _describe_ratio(result.classes.loc[number], ratio)
        for ratio in metrics.RATIOS
        for result in results
    ]
    positives, folds = ([int(each.classes[column][number])
                         for each in results]
                        for column in ('positives', 'folds'))
    rows.append({
        'name': name,
        'positives': positives,
        'folds': folds,
        'cells': cells
    })
  with_intervals = {
      each.name: each.classes.loc[list(results[0].shown)]
      for each in results
      if each.intervals is not None
  }
  drawn = with_intervals and files.embed(
      'class_metrics', evaluation.draw_class_metrics(with_intervals))
  return {'heads': heads, 'rows': rows, 'figure': drawn}


def _describe_ratio(row: pd.Series, ratio: str) -> dict[str, Any]:
  """Returns a class's mean, deviation and interval of one ratio, as text.

  A single fold has no deviation.
  """
  value = row[ratio]
  if np.isnan(value):
    return {'value': -1, 'text': '', 'interval': ''}
  deviation = f' ± {row[f"{ratio}_std"]:.3f}' if row['folds'] > 1 else ''
  interval = ''
  if f'{ratio}_low' in row:
    interval = tables.format_interval(row[f'{ratio}_low'], row[f'{ratio}_high'])
  return {
      'value': float(value),
      'text': f'{value:.3f}{deviation}',
      'interval': interval
  }


def compare(results: Sequence[result_lib.Result], files: files_lib.Files,
            repetitions: int) -> list[dict[str, Any]]:
  """Returns paired tests of each run against the first, for the template.

  Each has the name of the run and, if it was tested, p_holm by metric. The
  p-values of all pairs are adjusted together.

  Args:
    results: of the runs.
    files: takes the tables.
    repetitions: of the bootstrap; 0 for no tests.
  """
  first, *rest = results
  reasons = {each.name: _find_difference(first, each) for each in rest}
  compared = {
      other.name: _test(first, other, repetitions)
      for other in rest
      if repetitions and not reasons[other.name]
  }
  p_values = np.array([table['p_value'] for table in compared.values()])
  adjusted = _adjust(p_values.ravel()).reshape(p_values.shape)
  comparisons = []
  for table, row in zip(compared.values(), adjusted):
    table['p_holm'] = row
  for other in rest:
    name, reason = other.name, reasons[other.name]
    titles = {
        'name': name,
        'a': first.title,
        'b': other.title,
        'has_seeds': len(other.seeds) > 1,
        'num_tests': np.isfinite(p_values).sum()
    }
    if reason:
      comparisons.append({**titles, 'reason': reason})
    if name not in compared:
      continue
    files.save(f'comparison_{first.name}_{name}', compared[name])
    rows = [{
        'name': metrics.spell(metric),
        'difference': f'{row.difference:+.4f}',
        'interval': f'{row.low:+.4f} to {row.high:+.4f}',
        'p': f'{row.p_value:.3f}',
        'p_holm': f'{row.p_holm:.3f}',
        'verdict': _judge(row, first.name, name),
    } for metric, row in compared[name].iterrows()]
    comparisons.append({
        **titles, 'reason': '',
        'rows': rows,
        'p_holm': compared[name]['p_holm'].to_dict()
    })
  return comparisons


def _find_difference(first: result_lib.Result, other: result_lib.Result) -> str:
  """Returns why two runs cannot be compared; '' if they can."""
  if not first.found.is_of_same_samples(other.found):
    return 'did not predict the same images in the same folds'
  if (first.threshold is None) != (other.threshold is None):
    return 'predict in different ways, one by a threshold'
  if first.threshold != other.threshold:
    return (f'use different thresholds ({first.threshold} and '
            f'{other.threshold})')
  if (len(first.seeds) > 1) != (len(other.seeds) > 1):
    return 'have several seeds and one'
  return ''


def _test(first: result_lib.Result, other: result_lib.Result,
          repetitions: int) -> pd.DataFrame:
  """Returns the differences of the metrics of two runs, with p-values."""
  found = first.found
  how = {
      'folds': found.folds,
      'threshold': first.threshold,
      'groups': found.groups if found.groups.size else None,
      'repetitions': repetitions
  }
  if len(first.seeds) > 1:
    return seed_test.compare(found.labels, first.predictions, other.predictions,
                             **how)
  return bootstrap.compare(found.labels, found.predictions,
                           other.found.predictions, **how)


def _adjust(p_values: np.ndarray) -> np.ndarray:
  """Returns p-values [N] adjusted for N tests; NaN where there is none.

  Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
  """
  order = np.argsort(p_values)[:np.isfinite(p_values).sum()]
  factors = np.arange(len(order), 0, -1)
  adjusted = np.full(len(p_values), np.nan)
  adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]),
                               1)
  return adjusted


def _judge(row: pd.Series, first: str, other: str) -> str:
  if not row.p_holm < _SIGNIFICANT:
    return 'not significant'
  return f'{first if row.difference > 0 else other} is higher'


def describe_others(results: Sequence[result_lib.Result],
                    files: files_lib.Files) -> dict[str, Any]:
  """Returns published metrics beside the runs' of the same kind: Table 5.

  {} if no run is of the paper's dataset.
  """
  results = [each for each in results if tables.is_of_paper(each.run)]
  if not results:
    return {}
  table = tables.tabulate_others({
      each.name: each.metrics if each.of_seeds is None else each.of_seeds
      for each in results
  })
  files.save('other_works', table)
  return {
      'names': [each.name for each in results],
      'rows': [[
          work, row['data'], f'{row["published"]:.3f}',
          metrics.spell(row['kind']), *[
              '' if np.isnan(row[each.name]) else f'{row[each.name]:.3f}'
              for each in results
          ]
      ]
               for work, row in table.iterrows()],
  }


def draw_figures(results: Sequence[result_lib.Result],
                 content: dict[str, bytes]) -> list[tuple[str, str, str]]:
  """Returns (title, caption, data URL) of each figure of the predictions.

  Args:
    results: of the runs; those on the same samples share figures.
    content: of each file by its name; the figures are added.
  """
  first = results[0]
  shared = all(first.found.is_of_same_samples(each.found) for each in results)
  parts = [results] if shared else [[each] for each in results]
  drawn = []
  for part in parts:
    name = 'runs' if len(part) == len(results) else part[0].name
    files = files_lib.Files(name, content)
    who = ' and '.join(each.name for each in part)
    labels = part[0].found.labels
    predictions = {each.name: each.found.predictions for each in part}
    shown = part[0].shown
    for title, caption, draw in _CURVES:
      if len(shown) < part[0].spec.num_classes:
        caption = caption.replace(
            'each class', f'the {len(shown)} largest and worst classes')
      drawn.append((title, f'{who}: {caption}',
                    files.embed(title, draw(labels, predictions, shown))))
    drawn.append(('calibration', f'{who}: {_CALIBRATION}',
                  files.embed('calibration',
                              evaluation.draw_calibration(labels,
                                                          predictions))))
  histories = {
      each.name: each.histories for each in results if each.run.has_network
  }
  if not histories:
    return drawn
  files = files_lib.Files('runs', content)
  drawn.append(('learning_curves', 'Learning curves: thin lines are folds, '
                'thick lines their means.',
                files.embed('learning_curves',
                            evaluation.draw_learning_curves(histories))))
  return drawn
