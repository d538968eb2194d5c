"""One fold of a run without a network: fitted, scored, and its files written.

The folder has the files of a network's fold that such a run can have:
config.json, samples.npz, about.json, predictions.npz, per_class.csv, and
metrics.json last. It has no history, network, checkpoints or gallery.
"""

import importlib.metadata
import os
import platform
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from trainer.descriptors import classifier
from trainer.recipe import baseline
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import fold_lock
from trainer.run import out_of_fold
from trainer.run import workdir
from trainer.run.writing import fold_writer
from trainer.scoring import decision
from trainer.scoring import metrics

_PACKAGES = ('numpy', 'scikit-learn', 'mahotas', 'scikit-image')


def train(settings: baseline.Baseline, records: dataset.Records,
          values: np.ndarray, workers: int) -> bool:
  """Makes the files of a fold, and returns whether it was not finished before.

  The held-out images are in no fit and no scaling.

  Args:
    settings: of the run, with its fold.
    records: the dataset.
    values: [N, D] float32, descriptors of all records.
    workers: as of classifier.predict.

  Raises:
    errors.DataError: the folder is of another run or cannot be written, there
      is nothing to train on, or a record has not the one label that it should.
  """
  _check(settings, records)
  directory = workdir.fold_directory(settings.workdir, settings.fold)
  with fold_lock.hold(directory):
    if _is_finished(settings, records, directory):
      return False
    rows = records.rows(settings.fold)
    repeats = records.repeats(settings.fold)
    _begin(settings, records, directory, repeats)
    others = np.flatnonzero(records.index['fold'] != settings.fold)
    found = arrays.Predictions(
        records.index['id'].iloc[rows].to_numpy(dtype=str),
        records.labels[rows],
        classifier.predict(settings.classifier,
                           values[others],
                           records.labels[others],
                           repeats[others],
                           values[rows],
                           seed=settings.seed,
                           is_single_label=settings.single_label,
                           workers=workers))
    threshold = decision.find_threshold(settings)
    summary = {
        baseline.CLASSIFIER: settings.classifier,
        **metrics.compute(found.labels, found.predictions, threshold)
    }
    with fold_lock.translate_write_errors(directory):
      fold_writer.write_scores(directory, found, records.spec.classes,
                               threshold, summary)
  return True


def _check(settings: baseline.Baseline, records: dataset.Records) -> None:
  """Checks that the records can be trained on with the fold held out."""
  if not records.repeats(settings.fold).any():
    raise errors.DataError(
        f'No records to train on with fold {settings.fold} held out: all '
        f'repeats are 0 at {settings.records}; convert the images again with '
        'another --balance.')
  counts = records.labels.sum(axis=1, dtype=np.int64)
  others = np.flatnonzero(counts != 1)
  if settings.single_label and others.size:
    raise errors.DataError(
        'Expected exactly one label in each record with --single_label, '
        f'received {others.size:,} of {len(counts):,} with another number, '
        f'such as {records.index["id"].iloc[others[0]]} with '
        f'{counts[others[0]]}; leave --single_label out.')


def _is_finished(settings: baseline.Baseline, records: dataset.Records,
                 directory: str) -> bool:
  """Returns whether a fold is complete, with all files valid.

  Raises:
    errors.DataError: the folder is of another run, or its files cannot be read.
  """
  path = os.path.join(directory, workdir.CONFIG_NAME)
  if not os.path.lexists(path):
    left = workdir.list_files(directory)
    if left:  # config.json is written before all of them
      raise errors.DataError(
          f'{path} is missing, so the settings of the run with {left[0]} are '
          'not known; move the folder elsewhere, or choose another --workdir.')
    return False
  found, fingerprint = fold_file.load_config(path)
  differ = ['a network, not a classifier of descriptors']
  if isinstance(found, baseline.Baseline):
    differ = config_file.find_differences(
        found.identity(fingerprint),
        settings.identity(records.manifest.fingerprint))
  if differ:
    raise errors.DataError(f'The run at {directory} has other settings: '
                           f'{"; ".join(differ)}. Choose another --workdir.')
  if not os.path.lexists(os.path.join(directory, workdir.METRICS_NAME)):
    return False
  try:
    fold = finished_run.load_fold(settings.workdir, settings.fold,
                                  decision.find_threshold(settings))
    fold_file.load_per_class(directory, fold.spec.num_classes)
    out_of_fold.load(settings.workdir, fold)
  except errors.UnreadError:
    raise
  except errors.DataError:
    return False  # damaged: written again
  return True


def _begin(settings: baseline.Baseline, records: dataset.Records,
           directory: str, repeats: np.ndarray) -> None:
  """Writes what is known before the fit."""
  with fold_lock.translate_write_errors(directory):
    filesystem.remove(os.path.join(directory, workdir.METRICS_NAME))
    filesystem.write_atomically(
        os.path.join(directory, workdir.CONFIG_NAME),
        config_file.format_json(settings,
                                records.manifest.fingerprint).encode())
    fold_writer.write_samples(directory, records, repeats,
                              records.stored_balance())
    fold_writer.write_json(os.path.join(directory, workdir.ABOUT_NAME),
                           _describe(records))


def _describe(records: dataset.Records) -> dict[str, Any]:
  """Returns the content of about.json."""
  return {
      'device': 'the CPU',
      'versions': {
          'python': platform.python_version(),
          **{
              each: importlib.metadata.version(each) for each in _PACKAGES
          }
      },
      **fold_writer.describe_records(records),
  }
