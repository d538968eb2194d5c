"""The parts of a report: what each shows, ready for the page's template.

Each table goes to a CSV and each figure to a PNG and an SVG besides.
"""

import base64
from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np
import pandas as pd

from hpa_records import figure
from hpa_records import filesystem
from hpa_records import gallery
from hpa_records import schema
from hpa_records import summary
from trainer import metrics
from trainer import network_figure
from trainer import result as result_lib
from trainer import score_figure
from trainer import score_table
from trainer import uncertainty
from trainer import workdir

_POLICY_FORMATS = {
    'images_drawn': '{:,.0f}',
    'largest_over_smallest': '{:,.2f}',
    'variation': '{:.3f}',
    'never_seen': '{:.1%}',
    'largest_repeat': '{:,.1f}',
    'effective_sample_size': '{:,.0f}',
}
_SIGNIFICANT = 0.05
_HIDDEN_SETTINGS = ('fold', 'records', 'workdir', 'stage_dir')


@dataclasses.dataclass(frozen=True)
class Files:
  """Where tables and figures go, besides the page.

  Attributes:
    prefix: of their paths.
  """
  prefix: str

  def save(self, title: str, table: pd.DataFrame) -> pd.DataFrame:
    """Writes a table as CSV, and returns it."""
    label = table.index.name or 'name'
    data = table.to_csv(index_label=label).encode()
    filesystem.write_atomically(f'{self.prefix}_{title}.csv', data)
    return table

  def embed(self, title: str, drawn) -> str:
    """Writes a figure as PNG and SVG; returns it as the address of an image."""
    filesystem.write_atomically(f'{self.prefix}_{title}.png',
                                figure.to_png(drawn))
    data = figure.to_svg(drawn)
    filesystem.write_atomically(f'{self.prefix}_{title}.svg', data)
    return to_address('svg+xml', data)


def describe(result: result_lib.Result, folder: str) -> dict[str, Any]:
  """Returns one run's part of the page; writes its tables and figures."""
  run, found = result.run, result.found
  files = Files(os.path.join(folder, result.name))
  found.save(f'{files.prefix}_out_of_fold')
  files.save('scores', result.scores)
  counts = score_table.tabulate_counts(found, result.threshold)
  files.save('counts', counts)
  about = run.folds[0].about
  matrix = metrics.confusion_matrix(found.labels, found.scores
                                    > result.threshold)
  network = workdir.load_network(result.directories()[0])
  return {
      'name':
          result.name,
      'directory':
          os.path.basename(os.path.abspath(run.directory)),
      'epochs': [fold.scores['epoch'] for fold in run.folds],
      'samples':
          len(found.ids),
      'folds':
          len(run.folds),
      'is_grouped':
          bool(found.groups.size),
      'threshold':
          result.threshold,
      'scores':
          score_table.to_rows(result.scores, '{:.3f}'),
      'score_heads': [title for title, _ in score_table.SCORES.values()],
      'score_intervals':
          _format_intervals(result.intervals),
      'paper':
          list(
              zip(score_table.PAPER,
                  zip(*(values for _, values in score_table.SCORES.values())))),
      'left_out':
          _list_left_out(result),
      'counts': [[str(number), *row] for number, row in zip(
          counts.index, counts.itertuples(index=False, name=None))],
      'thresholds':
          _describe_thresholds(result, files),
      'matrix':
          _describe_matrix(matrix, files, result.name),
      'network':
          network and {
              'figure':
                  files.embed('network', network_figure.draw_network(network)),
              **network
          },
      'balance':
          _describe_balance(run.folds[0], files),
      'labels_per_image':
          files.embed('labels_per_image',
                      figure.draw_labels_per_image(
                          run.folds[0].samples.labels)),
      'settings': {
          key: value
          for key, value in vars(run.config).items()
          if key not in _HIDDEN_SETTINGS
      },
      'about':
          about,
      'fingerprint':
          run.fingerprint,
  }


def _format_intervals(intervals: pd.DataFrame | None) -> list[str]:
  if intervals is None:
    return []
  return [
      _format_interval(
          *intervals.loc[name,
                         ['low', 'high']]) if name in intervals.index else ''
      for name in score_table.SCORES
  ]


def _format_interval(low: float, high: float) -> str:
  return '' if np.isnan(low) else f'{low:.3f}–{high:.3f}'


def _list_left_out(result: result_lib.Result) -> list[dict[str, Any]]:
  """Which classes macro means leave out, and in which folds they do."""
  left_out: dict[tuple[int, ...], list[int]] = {}
  for fold in result.run.folds:
    held_out = result.found.labels[result.found.folds == fold.number]
    classes = tuple(np.flatnonzero(~held_out.any(axis=0)).tolist())
    left_out.setdefault(classes, []).append(fold.number)
  return [{
      'folds': folds,
      'classes': classes
  } for classes, folds in left_out.items() if classes]


def _describe_thresholds(result: result_lib.Result,
                         files: Files) -> dict[str, Any] | None:
  if len(result.run.folds) < 2:
    return None
  table, thresholds = score_table.tabulate_thresholds(result.found,
                                                      result.threshold)
  files.save('threshold_gain', table)
  for rule, chosen in thresholds.items():
    files.save(f'thresholds_{rule}', chosen)
  return {
      'heads': [_spell(name) for name in table],
      'rows': score_table.to_rows(table, '{:.3f}'),
      'gains': score_table.to_rows(table - table.iloc[0], '{:+.3f}'),
  }


def _describe_matrix(matrix: np.ndarray, files: Files,
                     name: str) -> dict[str, Any]:
  """Returns the confusion matrix cell by cell: figure 9 of the paper."""
  truths = [*schema.CLASS_NAMES, 'no true label']
  answers = [*schema.CLASS_NAMES, 'no predicted label']
  files.save('confusion_matrix', pd.DataFrame(matrix, truths, answers))
  files.embed('confusion_matrix',
              score_figure.draw_confusion_matrix(matrix, name))
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  return {
      'heads':
          answers,
      'rows': [(truth, list(zip(counts, parts)))
               for truth, counts, parts in zip(truths, matrix.tolist(),
                                               shares.tolist())],
  }


def _describe_balance(fold: workdir.Fold, files: Files) -> dict[str, Any]:
  """Returns class counts before and after, of the run and of every policy."""
  samples = fold.samples
  policies, totals = summary.compare(samples.ids.tolist(), samples.labels,
                                     samples.folds, fold.number,
                                     samples.balance, samples.seed)
  drawn = samples.repeats.astype(float) @ samples.labels
  totals.insert(1, 'this run', drawn)
  files.save('policies', policies)
  files.save('class_counts', totals)
  own = gallery.draw_counts(totals['images'].to_numpy(), drawn,
                            samples.balance.policy, fold.number)
  return {
      'fold':
          fold.number,
      'chosen':
          samples.balance,
      'policies':
          score_table.to_rows(policies[list(_POLICY_FORMATS)],
                              *_POLICY_FORMATS.values()),
      'policy_heads': [_spell(name) for name in _POLICY_FORMATS],
      'totals':
          score_table.to_rows(totals, '{:,.0f}'),
      'total_heads':
          list(totals),
      'figure':
          files.embed('class_counts', own),
      'figures': {
          title: files.embed(title, drawn) for title, drawn in
          gallery.draw_policies(totals, fold.number).items()
      },
  }


def describe_classes(results: Sequence[result_lib.Result],
                     files: Files) -> dict[str, Any]:
  """Returns Table 3 with the runs side by side, one row a class."""
  for result in results:
    files.save(f'classes_{result.name}', result.classes)
  heads = [{
      'ratio': _spell(ratio),
      'run': result.name
  } for ratio in score_table.RATIOS for result in results]
  rows = []
  for number, name in enumerate(schema.CLASS_NAMES):
    cells = [
        _describe_ratio(result.classes.loc[number], ratio)
        for ratio in score_table.RATIOS
        for result in results
    ]
    positives = [int(each.classes['positives'][number]) for each in results]
    rows.append({'name': name, 'positives': positives, 'cells': cells})
  with_intervals = {
      each.name: each.classes for each in results if each.intervals is not None
  }
  drawn = with_intervals and files.embed(
      'class_scores', score_figure.draw_class_scores(with_intervals))
  return {'heads': heads, 'rows': rows, 'figure': drawn}


def _describe_ratio(row: pd.Series, ratio: str) -> dict[str, Any]:
  """One class's mean, deviation and interval of one ratio, as text."""
  value = row[ratio]
  if np.isnan(value):
    return {'value': -1, 'text': '', 'interval': ''}
  interval = ''
  if f'{ratio}_low' in row:
    interval = _format_interval(row[f'{ratio}_low'], row[f'{ratio}_high'])
  return {
      'value': float(value),
      'text': f'{value:.3f} ± {row[f"{ratio}_std"]:.3f}',
      'interval': interval
  }


def compare(results: Sequence[result_lib.Result], files: Files,
            repetitions: int) -> list[dict[str, Any]]:
  """Returns a paired test of each run with the first."""
  first, *rest = results
  comparisons = []
  for other in rest:
    titles = {'a': first.name, 'b': other.name}
    reason = _find_difference(first, other)
    if reason:
      comparisons.append({**titles, 'reason': reason})
      continue
    if not repetitions:
      continue
    groups = first.found.groups if first.found.groups.size else None
    table = uncertainty.compare(first.found.labels,
                                first.found.scores,
                                other.found.scores,
                                first.found.folds,
                                threshold=first.threshold,
                                groups=groups,
                                repetitions=repetitions)
    files.save(f'comparison_{first.name}_{other.name}', table)
    rows = [{
        'name': _spell(name),
        'difference': f'{row.difference:+.4f}',
        'interval': f'{row.low:+.4f} – {row.high:+.4f}',
        'p': f'{row.p_value:.3g}',
        'verdict': _judge(row, first.name, other.name),
    } for name, row in table.iterrows()]
    comparisons.append({**titles, 'reason': '', 'rows': rows})
  return comparisons


def _find_difference(first: result_lib.Result, other: result_lib.Result) -> str:
  """Why two runs cannot be tested against each other; '' if they can."""
  if not first.found.is_of_same_samples(other.found):
    return 'did not score the same images in the same folds'
  if first.threshold != other.threshold:
    return (f'do not predict by the same threshold ({first.threshold} and '
            f'{other.threshold})')
  return ''


def _judge(row: pd.Series, first: str, other: str) -> str:
  if not row.p_value < _SIGNIFICANT:
    return 'no difference shown'
  return f'{first if row.difference > 0 else other} is higher'


def describe_others(results: Sequence[result_lib.Result],
                    files: Files) -> dict[str, Any]:
  table = score_table.tabulate_others(
      {each.name: each.scores for each in results})
  files.save('other_works', table)
  return {
      'names': [each.name for each in results],
      'rows': [[
          work, row['data'], f'{row["published"]:.3f}',
          _spell(row['kind']), *[
              '' if np.isnan(row[each.name]) else f'{row[each.name]:.3f}'
              for each in results
          ]
      ]
               for work, row in table.iterrows()],
  }


def draw_scores(results: Sequence[result_lib.Result],
                folder: str) -> list[tuple[str, str, str]]:
  """Returns (title, caption, address) of each figure of the scores."""
  first = results[0]
  shared = all(first.found.is_of_same_samples(each.found) for each in results)
  parts = [results] if shared else [[each] for each in results]
  drawn = []
  for part in parts:
    name = 'runs' if len(part) == len(results) else part[0].name
    files = Files(os.path.join(folder, name))
    who = ' and '.join(each.name for each in part)
    labels = part[0].found.labels
    scores = {each.name: each.found.scores for each in part}
    for title, caption, draw in (('roc', 'ROC of each class',
                                  score_figure.draw_roc),
                                 ('precision_recall',
                                  'Precision and recall of each class',
                                  score_figure.draw_precision_recall),
                                 ('calibration',
                                  'Calibration: how often a score is right',
                                  score_figure.draw_calibration)):
      drawn.append((title, f'{caption}, all held-out folds pooled: {who}.',
                    files.embed(title, draw(labels, scores))))
  histories = {
      each.name: [workdir.load_history(path) for path in each.directories()]
      for each in results
  }
  files = Files(os.path.join(folder, 'runs'))
  drawn.append(('learning_curves', 'Learning curves; a thin line is a fold, a '
                'thick one the mean.',
                files.embed('learning_curves',
                            score_figure.draw_learning_curves(histories))))
  return drawn


def to_address(kind: str, data: bytes) -> str:
  """Returns an image's bytes as an address that holds them."""
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def _spell(name: str) -> str:
  """A column's name as a reader writes it: F1 macro."""
  spelled = name.replace('_', ' ')
  return {
      'f1': 'F1',
      'auc': 'AUC'
  }.get(spelled.split()[0],
        spelled.split()[0]) + spelled[len(spelled.split()[0]):]
