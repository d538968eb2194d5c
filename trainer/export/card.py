"""README.md of an exported model: its model card, from the run itself.

Metrics and intervals are those of the report, from the out-of-fold predictions
of the exported folds.
"""

from collections.abc import Mapping
import os
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.runtime import printable
from trainer import config
from trainer.export import onnx_file
from trainer.recipe import schedule
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.run import stored_spec
from trainer.scoring import bootstrap
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.start import description as start_description

_TEMPLATE_NAME = 'card.md'
_REPETITIONS = 1000
# Those of paths and machines say nothing of the model.
_HIDDEN_SETTINGS = (*config.PLACES, 'data_service', 'tpu')
_HPA_LICENCE = ('The images of the Human Protein Atlas are CC BY-SA; see '
                'https://www.proteinatlas.org/about/licence.')
_FEW = 30  # images of a class


def render(run: finished_run.Run, *, tta: str, weights: str,
           threshold: decision.Threshold, reads_files: bool,
           has_page: bool) -> str:
  """Returns the text of the card.

  Args:
    run: with the exported folds.
    tta: one of views.TTA, of the exported graphs.
    weights: 'last' or 'best'.
    threshold: above which a class is predicted.
    reads_files: as of saved_model.reads_files.
    has_page: whether the folder has a page.

  Raises:
    errors.DataError: the out-of-fold predictions are damaged.
  """
  found = out_of_fold.collect(run)
  about = run.folds[0].about
  positives = found.labels.sum(axis=0, dtype=int)
  described = description.of_settings(about['records'], run.spec.classes)
  cuts = [None] * run.spec.num_classes
  if threshold is not None:
    cuts = np.broadcast_to(threshold, [run.spec.num_classes]).tolist()
  environment = jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                                   undefined=jinja2.StrictUndefined,
                                   trim_blocks=True,
                                   lstrip_blocks=True)
  environment.filters['cell'] = _escape
  return environment.get_template(_TEMPLATE_NAME).render(
      run=run,
      spec=run.spec,
      dataset=stored_spec.find_name(about),
      title=described.title,
      licence=_find_licence(described),
      samples=len(found.ids),
      is_grouped=bool(found.groups.size),
      positives=positives.tolist(),
      metrics=_tabulate_metrics(run, found),
      classes=_tabulate_classes(run, found),
      cuts=cuts,
      repetitions=_REPETITIONS,
      tta=tta,
      weights=weights,
      reads_files=reads_files,
      has_page=has_page,
      chosen=schedule.describe_chosen(run.config),
      monitor=metrics.spell(run.config.plateau_monitor),
      inner_images=[
          each.about['inner_images']
          for each in run.folds
          if 'inner_images' in each.about
      ],
      starts=[
          f'Fold {fold.number}: {line}' for fold in run.folds
          for line in start_description.describe(
              fold.about.get('starting_weights', {}))
      ],
      rare=[
          name for name, count in zip(run.spec.classes, positives)
          if count < _FEW
      ],
      few=_FEW,
      settings=_list_settings(run),
      opset=onnx_file.OPSET)


def _find_licence(described: layout.Description) -> str:
  name = described.name
  if name.startswith('hpa') and name in description.names():
    # Another's description may have that name, but no other classes.
    known = description.load(name).classes
    if [each.name for each in described.classes
       ] == [each.name for each in known]:
      return _HPA_LICENCE
  return ('The run does not state the licence of its images; ask who made '
          'them before you pass the model on.')


def _tabulate_metrics(run: finished_run.Run,
                      found: out_of_fold.OutOfFold) -> list[list[str]]:
  """Returns rows of metric, mean over folds, and interval."""
  table = bootstrap.bootstrap(found.labels, found.predictions, found.folds,
                              **_options(run, found))
  titles = metrics.choose_titles(run.threshold)
  return [[
      title,
      _format(table.loc[name, 'value']),
      _format_interval(table.loc[name, 'low'], table.loc[name, 'high'])
  ] for name, title in titles.items()]


def _tabulate_classes(run: finished_run.Run,
                      found: out_of_fold.OutOfFold) -> list[list[str]]:
  """Returns rows of class, images, F1, its interval, precision, recall, AUC."""
  table = metrics.average_classes(found.labels, found.predictions, found.folds,
                                  run.spec.classes, run.threshold)
  table = table.join(
      bootstrap.bootstrap_classes(found.labels, found.predictions, found.folds,
                                  **_options(run, found)))
  return [[
      row['name'], f'{row["positives"]:,}',
      _format(row['f1']),
      _format_interval(row['f1_low'], row['f1_high']),
      *(_format(row[name]) for name in ('precision', 'recall', 'auc'))
  ] for _, row in table.iterrows()]


def _options(run: finished_run.Run,
             found: out_of_fold.OutOfFold) -> dict[str, Any]:
  return {
      'threshold': run.threshold,
      'groups': found.groups if found.groups.size else None,
      'repetitions': _REPETITIONS
  }


def _list_settings(run: finished_run.Run) -> Mapping[str, Any]:
  return {
      key: value
      for key, value in vars(run.config).items()
      if key not in _HIDDEN_SETTINGS and value != ''
  }


def _format(value: float) -> str:
  return '' if pd.isna(value) else f'{value:.3f}'


def _format_interval(low: float, high: float) -> str:
  return '' if pd.isna(low) else f'{low:.3f}–{high:.3f}'


def _escape(value: Any) -> str:
  """Returns a value as the text of a cell of a Markdown table."""
  text = printable.escape_line(str(value)).replace('\\', '\\\\')
  for letter in '|`*_[]<>#':
    text = text.replace(letter, f'\\{letter}')
  return text
