"""One run's sections of the report, as values for the page's template.

Each table is also saved as CSV, each figure as PNG and SVG.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hpa_records.inspection import figure
from hpa_records.inspection import gallery
from hpa_records.inspection import summary
from hpa_records.sampling import label_set
from trainer import config
from trainer.recipe import schedule
from trainer.report import confusion
from trainer.report import features
from trainer.report.figures import network as network_lib
from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report import tables
from trainer.run import finished_run
from trainer.start import description
from trainer.scoring import metrics

_POLICY_FORMATS = {
    'images_drawn': '{:,.0f}',
    'largest_over_smallest': '{:,.2f}',
    'variation': '{:.3f}',
    'never_seen': '{:.1%}',
    'largest_repeat': '{:,.1f}',
    'effective_sample_size': '{:,.0f}',
}


def describe(result: result_lib.Result, content: dict[str,
                                                      bytes]) -> dict[str, Any]:
  """Returns one run's part of the page, as values for the template.

  Args:
    result: of the run.
    content: of each file by its name; tables and figures are added.
  """
  run, found = result.run, result.found
  files = files_lib.Files(result.name, content)
  files.add('out_of_fold.csv', found.to_csv(result.spec.classes))
  files.add('out_of_fold.npz', found.to_npz())
  files.save('metrics', result.metrics)
  if result.intervals is not None:
    files.save('intervals', result.intervals)
  counts = tables.tabulate_counts(found, result.spec.classes, result.threshold)
  files.save('counts', counts)
  network = result.network
  titles = metrics.choose_titles(result.threshold)
  return {
      'name':
          result.name,
      'title':
          result.title,
      'seed':
          run.config.seed,
      'of_seeds':
          _describe_seeds(result, files),
      'samples':
          len(found.ids),
      'folds':
          len(run.folds),
      'has_network':
          run.has_network,
      'model':
          run.config.model if run.has_network else '',
      **_describe_training(run),
      'inner_images': [
          fold.about['inner_images']
          for fold in run.folds
          if fold.about and 'inner_images' in fold.about
      ],
      'starts': [
          f'Fold {fold.number}: {line}' for fold in run.folds
          for line in description.describe(
              fold.about.get('starting_weights', {}))
      ],
      'is_grouped':
          bool(found.groups.size),
      'metrics':
          tables.to_rows(result.metrics, '{:.3f}'),
      'metric_heads':
          list(titles.values()),
      'metric_intervals':
          _format_intervals(result.intervals, titles),
      'is_single':
          result.threshold is None,
      'paper':
          list(tables.find_published(run).items()),
      'left_out':
          _list_left_out(result),
      'counts': [[str(number), *row] for number, row in zip(
          counts.index, counts.itertuples(index=False, name=None))],
      'thresholds':
          _describe_thresholds(result, files),
      **confusion.describe(result, files),
      'features':
          features.describe(result, files),
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


def _describe_training(run: finished_run.Run) -> dict[str, Any]:
  """Returns the epochs and what chose among them; {} without a network."""
  if not run.has_network:
    return {}
  return {
      'epochs': [fold.metrics['epoch'] for fold in run.folds],
      'chosen': schedule.describe_chosen(run.config),
      'monitor': metrics.spell(run.config.plateau_monitor),
  }


def _describe_seeds(result: result_lib.Result,
                    files: files_lib.Files) -> list[list[str]]:
  """Returns the rows of the table of seeds; none of a single seed."""
  if result.of_seeds is None:
    return []
  return tables.to_rows(files.save('seeds', result.of_seeds), '{:.3f}')


def _format_intervals(intervals: pd.DataFrame | None,
                      names: Iterable[str]) -> list[str]:
  if intervals is None:
    return []
  return [
      tables.format_interval(
          *intervals.loc[name,
                         ['low', 'high']]) if name in intervals.index else ''
      for name in names
  ]


def _list_left_out(result: result_lib.Result) -> list[dict[str, Any]]:
  """Returns the classes that macro means leave out, with their folds."""
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
  """Returns the settings of a run, and its devices and versions."""
  return {
      'settings': {
          key: value
          for key, value in vars(run.config).items()
          if key not in config.PLACES
      },
      'about': run.folds[0].about,
      'trained_with': _list_trained_with(run),
      'fingerprint': run.fingerprint,
  }


def _list_trained_with(run: finished_run.Run) -> list[str]:
  """Returns distinct devices and versions of the folds.

  Folds may come from several machines.
  """
  texts = []
  for fold in run.folds:
    if fold.about:
      versions = ', '.join(map(' '.join, fold.about['versions'].items()))
      texts.append(f'{fold.about["device"]} with {versions}')
  return list(dict.fromkeys(texts))


def _describe_thresholds(result: result_lib.Result,
                         files: files_lib.Files) -> dict[str, Any] | None:
  if len(result.run.folds) < 2 or result.threshold is None:
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


def _describe_balance(fold: finished_run.Fold,
                      files: files_lib.Files) -> dict[str, Any]:
  """Returns class counts before and after balancing, for every policy."""
  samples, classes = fold.samples, fold.spec.classes
  policies, totals = summary.compare(samples.ids.tolist(), samples.labels,
                                     samples.folds, fold.number,
                                     samples.balance, samples.seed, classes)
  drawn = label_set.totals(samples.labels, samples.repeats)
  totals.insert(1, 'this run', drawn)
  files.save('policies', policies)
  files.save('class_counts', totals)
  own = gallery.draw_counts(totals['images'].to_numpy(), drawn,
                            samples.balance.policy, fold.number, classes)
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
          gallery.draw_policies(totals, fold.number, classes).items()
      },
  }
