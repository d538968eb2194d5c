"""Computes descriptors of images, and classifiers of them.

  hpa-run-features --records=records --workdir=baselines
  hpa-run-features --records=new --features=new.parquet --classifiers=

Writes a table of descriptors of each channel and pair of channels, a row a
record. Then fits each classifier with each fold held out, into a run of its
own, such as WORKDIR/random_forest, which hpa-report reads as other runs. The
same command continues an interrupted one.
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

import dataclasses
import os
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer import setting
from trainer.recipe import baseline
from trainer.run import workdir

_SETTINGS = {each.name: each for each in dataclasses.fields(baseline.Baseline)}
for _name in ('records', 'workdir', 'seed', 'single_label', 'threshold'):
  setting.define_flag(_SETTINGS[_name])
_FEATURES = flags.DEFINE_string(
    'features', '', 'Table of descriptors to write, or to read if it is '
    'complete, NAME.parquet; by default WORKDIR/descriptors.parquet.')
_CLASSIFIERS = flags.DEFINE_string(
    'classifiers', ','.join(baseline.CLASSIFIERS),
    'Classifiers to fit; an empty list makes only the table.')
_FOLDS = flags.DEFINE_list('folds', [],
                           'Folds to hold out, such as 0,1; by default all.')
_WORKERS = flags.DEFINE_integer(
    'workers',
    0,
    'Processes, and threads of a fit; 0 is one a core.',
    lower_bound=0)
_FLAGS_BY_GROUP = {
    'Input and output': ('records', 'workdir', 'features'),
    'Classifiers':
        ('classifiers', 'folds', 'single_label', 'seed', 'threshold'),
    'Running': ('workers',),
}


def main() -> None:
  """Makes the table of --features and the runs of --classifiers."""
  from trainer.descriptors import requirement
  records_path = path_check.require_path(flags.FLAGS.records, 'records')
  chosen = _read_classifiers()
  directory = features = ''
  if chosen or not _FEATURES.value:
    directory = path_check.require_local(flags.FLAGS.workdir, 'workdir')
    features = os.path.join(directory, 'descriptors.parquet')
  if _FEATURES.value:
    features = path_check.require_local(_FEATURES.value, 'features')
  if os.path.splitext(features)[1] != '.parquet':
    raise errors.DataError('Expected --features=NAME.parquet, received '
                           f'{features}.')
  written = [directory] if directory else []
  for each in chosen:  # which may be links
    folder = os.path.join(directory, each)
    written += [folder, *workdir.list_fold_directories(folder)]
  filled = [('workdir', each) for each in written]
  path_check.refuse_shared([('features', features), *filled],
                           [('records', records_path)],
                           closed=[('records', records_path)],
                           filled=filled)
  made = [
      baseline.Baseline(records=records_path,
                        workdir=os.path.join(directory, each),
                        classifier=each,
                        **{
                            name: flags.FLAGS[name].value
                            for name in ('seed', 'single_label', 'threshold')
                        })
      for each in chosen
  ]
  requirement.check()
  with process.ended_by_interrupt():
    from hpa_records.reading import dataset
    from trainer.descriptors import part
    from trainer.descriptors import table
  records = dataset.load(records_path, allow_unlabelled=not chosen)
  folds = _read_folds(records.manifest.num_folds) if chosen else []
  table.prepare(features, records)
  values = table.make(features, records, _WORKERS.value)
  print(f'{len(values)} images, {values.shape[1]} descriptors: {features}')
  for each in made:
    _train(dataclasses.replace(each, descriptors=part.describe()), records,
           values, folds)


def _read_classifiers() -> list[str]:
  """Returns the names of --classifiers."""
  chosen = [each for each in _CLASSIFIERS.value.split(',') if each]
  for each in chosen:
    if each not in baseline.CLASSIFIERS or chosen.count(each) > 1:
      raise errors.DataError(
          f'Expected --classifiers of {", ".join(baseline.CLASSIFIERS)}, each '
          f'once, received {printable.quote(",".join(chosen))}.')
  return chosen


def _read_folds(count: int) -> list[int]:
  """Returns the numbers of --folds; all without it."""
  words = _FOLDS.value or [str(fold) for fold in range(count)]
  if (not all(each.isdecimal() and len(each) < 6 and int(each) < count
              for each in words) or len(set(words)) < len(words)):
    raise errors.DataError(
        f'Expected --folds of 0 to {count - 1}, each once, received '
        f'{printable.quote(",".join(words))}.')
  return [int(each) for each in words]


def _train(settings: baseline.Baseline, records: Any, values: Any,
           folds: list[int]) -> None:
  """Fits a classifier with each fold held out, and prints its metrics."""
  from trainer.descriptors import baseline_run
  from trainer.report import tables
  from trainer.run import finished_run
  for fold in folds:
    is_new = baseline_run.train(dataclasses.replace(settings, fold=fold),
                                records, values, _WORKERS.value)
    print(
        f'{settings.classifier}, fold {fold} held out: '
        f'{"fitted" if is_new else "finished before"}.',
        flush=True)
  print(tables.format_metrics([finished_run.load(settings.workdir)]))
  print(f'{settings.classifier}: {os.path.join(settings.workdir, "")}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
