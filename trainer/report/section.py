"""The parts of a report: what each shows, ready for the page's template.

Each table goes to a CSV and each figure to a PNG and an SVG besides.
"""

from typing import Any

import numpy as np
import pandas as pd

from hpa_records.format import spec
from hpa_records.inspection import figure
from hpa_records.inspection import gallery
from hpa_records.inspection import summary
from trainer.report.figures import network as network_lib
from trainer.report.figures import scores
from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report import tables
from trainer.run import finished_run
from trainer.scoring import metrics

_POLICY_FORMATS = {
    'images_drawn': '{:,.0f}',
    'largest_over_smallest': '{:,.2f}',
    'variation': '{:.3f}',
    'never_seen': '{:.1%}',
    'largest_repeat': '{:,.1f}',
    'effective_sample_size': '{:,.0f}',
}
_HIDDEN_SETTINGS = ('fold', 'records', 'workdir', 'stage_dir')


def describe(result: result_lib.Result, content: dict[str,
                                                      bytes]) -> dict[str, Any]:
  """Returns one run's part of the page; adds its tables and figures to content.
  """
  run, found = result.run, result.found
  files = files_lib.Files(result.name, content)
  files.add('out_of_fold.csv', found.to_csv())
  files.add('out_of_fold.npz', found.to_npz())
  files.save('scores', result.scores)
  if result.intervals is not None:
    files.save('intervals', result.intervals)
  counts = tables.tabulate_counts(found, result.threshold)
  files.save('counts', counts)
  matrix = metrics.confusion_matrix(found.labels, found.scores
                                    > result.threshold)
  network = result.network
  return {
      'name':
          result.name,
      'epochs': [fold.scores['epoch'] for fold in run.folds],
      'samples':
          len(found.ids),
      'folds':
          len(run.folds),
      'monitor':
          metrics.spell(run.config.plateau_monitor),
      'is_grouped':
          bool(found.groups.size),
      'scores':
          tables.to_rows(result.scores, '{:.3f}'),
      'score_heads':
          list(metrics.TITLES.values()),
      'score_intervals':
          _format_intervals(result.intervals),
      'paper':
          list(tables.find_published().items()),
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
                  files.embed('network', network_lib.draw_network(network)),
              **network
          },
      'balance':
          _describe_balance(run.folds[0], files),
      'labels_per_image':
          files.embed('labels_per_image',
                      figure.draw_labels_per_image(
                          run.folds[0].samples.labels)),
      **_describe_settings(run),
  }


def _format_intervals(intervals: pd.DataFrame | None) -> list[str]:
  if intervals is None:
    return []
  return [
      tables.format_interval(
          *intervals.loc[name,
                         ['low', 'high']]) if name in intervals.index else ''
      for name in metrics.TITLES
  ]


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


def _describe_settings(run: finished_run.Run) -> dict[str, Any]:
  """What a run was made of, and with."""
  return {
      'settings': {
          key: value
          for key, value in vars(run.config).items()
          if key not in _HIDDEN_SETTINGS
      },
      'about': run.folds[0].about,
      'trained_with': _list_trained_with(run),
      'fingerprint': run.fingerprint,
  }


def _list_trained_with(run: finished_run.Run) -> list[str]:
  """Devices and versions of the folds, each once; folds may come from several
  machines."""
  texts = []
  for fold in run.folds:
    if fold.about:
      versions = ', '.join(map(' '.join, fold.about['versions'].items()))
      texts.append(f'{fold.about["device"]} with {versions}')
  return list(dict.fromkeys(texts))


def _describe_thresholds(result: result_lib.Result,
                         files: files_lib.Files) -> dict[str, Any] | None:
  if len(result.run.folds) < 2:
    return None
  table, thresholds = tables.tabulate_thresholds(result.found, result.threshold)
  files.save('threshold_gain', table)
  for rule, chosen in thresholds.items():
    files.save(f'thresholds_{rule}', chosen)
  return {
      'heads': [metrics.spell(name) for name in table],
      'rows': tables.to_rows(table, '{:.3f}'),
      'gains': tables.to_rows(table - table.iloc[0], '{:+.3f}'),
  }


def _describe_matrix(matrix: np.ndarray, files: files_lib.Files,
                     name: str) -> dict[str, Any]:
  """Returns the confusion matrix cell by cell: figure 9 of the paper."""
  truths = [*spec.CLASS_NAMES, 'no true label']
  answers = [*spec.CLASS_NAMES, 'no predicted label']
  files.save('confusion_matrix', pd.DataFrame(matrix, truths, answers))
  files.embed('confusion_matrix', scores.draw_confusion_matrix(matrix, name))
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  return {
      'heads':
          answers,
      'rows': [(truth, list(zip(counts, parts)))
               for truth, counts, parts in zip(truths, matrix.tolist(),
                                               shares.tolist())],
  }


def _describe_balance(fold: finished_run.Fold,
                      files: files_lib.Files) -> dict[str, Any]:
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
          tables.to_rows(policies[list(_POLICY_FORMATS)],
                         *_POLICY_FORMATS.values()),
      'policy_heads': [metrics.spell(name) for name in _POLICY_FORMATS],
      'totals':
          tables.to_rows(totals, '{:,.0f}'),
      'total_heads':
          list(totals),
      'figure':
          files.embed('class_counts', own),
      'figures': {
          title: files.embed(title, drawn) for title, drawn in
          gallery.draw_policies(totals, fold.number).items()
      },
  }
