"""A run's folder: the names of its files, and what they say. No TensorFlow.

WORKDIR/fold<k> holds all of one fold; the loop and the evaluation write it,
the report reads it.
"""

import dataclasses
import os
import re
from typing import Any

import pandas as pd

from hpa_records import filesystem
from hpa_records import json_text
from hpa_records import schema
from trainer import archive
from trainer import config as config_lib

CONFIG_NAME = 'config.json'
HISTORY_NAME = 'history.csv'
SCORES_NAME = 'scores.json'
BEST_SCORES_NAME = 'best_scores.json'
PER_CLASS_NAME = 'per_class.csv'
ARRAYS_NAME = 'scores.npz'
SAMPLES_NAME = 'samples.npz'
CHECKPOINTS_NAME = 'checkpoints'
ABOUT_NAME = 'about.json'
NETWORK_NAME = 'network.json'
GALLERY_NAME = 'gallery.npz'

_FOLD = re.compile(r'fold(\d+)')

# What has to be in each JSON file, as json_text.check_form takes it.
_FORMS: dict[str, Any] = {
    SCORES_NAME: {
        'epoch': int,
        'threshold': (int, float)
    },
    BEST_SCORES_NAME: {
        'epoch': int
    },
    ABOUT_NAME: {
        'device': str,
        'versions': {},
        'records': {},
        'records_versions': {}
    },
    NETWORK_NAME: {
        'parameters':
            int,
        'layers': [{
            'name': str,
            'kind': str,
            'shape': [(int, type(None))],
            'parameters': int,
            'inputs': [str]
        }]
    },
}


@dataclasses.dataclass(frozen=True)
class Fold:
  """One fold of a run.

  Attributes:
    number: of the fold that was held out.
    scores: what scores.json says.
    samples: what it was trained on.
    about: device, versions, the records' settings (records), mean and std of
      their pixels (pixels) and names of their classes (classes); empty in a run
      of an earlier version.
  """
  number: int
  scores: dict[str, Any]
  samples: archive.Samples
  about: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
  """A run with its finished folds, at least one.

  Attributes:
    directory: of the run.
    config: of its first finished fold.
    fingerprint: sha256 of the dataset.
    folds: by number.
  """
  directory: str
  config: config_lib.Config
  fingerprint: str
  folds: tuple[Fold, ...]


def fold_directory(workdir: str, fold: int) -> str:
  """Returns the folder of one fold."""
  return os.path.join(workdir, f'fold{fold}')


def list_fold_directories(workdir: str) -> list[str]:
  """Returns the folders of the folds that are in a run's folder."""
  try:
    names = sorted(os.listdir(workdir))
  except OSError:  # told when the run is read
    return []
  return [
      os.path.join(workdir, each) for each in names if _FOLD.fullmatch(each)
  ]


def load_config(path: str) -> tuple[config_lib.Config, str]:
  """Returns the configuration and the dataset's fingerprint of a config.json.

  Raises:
    schema.DataError: it is damaged, or no configuration.
  """
  try:
    return config_lib.Config.from_json(filesystem.read_bytes(path).decode())
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise archive.damaged(path, error) from error


def load_json(path: str) -> dict[str, Any]:
  """Returns what a JSON file of a fold says.

  Args:
    path: of the file, under one of the names above.

  Raises:
    schema.DataError: it is not there, damaged, or without what it has to have.
  """
  name = os.path.basename(path)
  try:
    content = json_text.parse(filesystem.read_bytes(path))
    json_text.check_form(content, _FORMS[name], name)
    return content
  except (OSError, ValueError) as error:
    raise archive.damaged(path, error) from error


def finished_scores(config: config_lib.Config) -> dict[str, Any] | None:
  """Returns what scores.json of a fold says; None if training is not over.

  Args:
    config: of the run that is in the folder, perhaps with more epochs.
  """
  directory = fold_directory(config.workdir, config.fold)
  try:
    scores, best = (load_json(os.path.join(directory, name))
                    for name in (SCORES_NAME, BEST_SCORES_NAME))
  except schema.DataError:
    return None  # they are written once more
  stalled = scores['epoch'] - best['epoch'] >= config.stop_patience > 0
  return scores if scores['epoch'] == config.epochs or stalled else None


def load(workdir: str) -> Run:
  """Returns a run with all folds that are finished.

  Raises:
    schema.DataError: none is finished, a file is damaged, the folds are of
      different data or settings, or scored with another threshold.
  """
  names = os.listdir(workdir) if os.path.isdir(workdir) else []
  numbers = sorted(int(m[1]) for m in map(_FOLD.fullmatch, names) if m)
  done = [
      number for number in numbers if os.path.exists(
          os.path.join(fold_directory(workdir, number), SCORES_NAME))
  ]
  if not done:
    raise schema.DataError(
        f'Expected a finished fold, a folder fold0, fold1, … with {SCORES_NAME}'
        f', received none at {workdir}; train one with python -m trainer.main '
        f'--workdir={workdir}.')
  config, fingerprint = _load_configs(workdir, done)
  folds = [_load_fold(workdir, number, config.threshold) for number in done]
  return Run(workdir, config, fingerprint, tuple(folds))


def _load_configs(workdir: str,
                  done: list[int]) -> tuple[config_lib.Config, str]:
  """The configuration that all folds share, but for the fold's number."""
  found = [
      load_config(os.path.join(fold_directory(workdir, number), CONFIG_NAME))
      for number in done
  ]
  config, fingerprint = found[0]
  for number, (other, data) in zip(done, found):
    other = dataclasses.replace(other, fold=config.fold)
    differ = config.differences(other)
    if data != fingerprint:
      differ.append(f'records {fingerprint[:12]}, not {data[:12]}')
    if differ:
      raise schema.DataError(
          f'Expected folds of one run at {workdir}, received fold {number} of '
          f'another: {"; ".join(differ)}.')
  return config, fingerprint


def _load_fold(workdir: str, number: int, threshold: float) -> Fold:
  directory = fold_directory(workdir, number)
  path = os.path.join(directory, SCORES_NAME)
  scores = load_json(path)
  if scores['threshold'] != threshold:
    raise schema.DataError(
        f'Expected scores with the threshold {threshold} of {CONFIG_NAME}, '
        f'received those with {scores["threshold"]} at {path}; train the fold '
        'again.')
  about = os.path.join(directory, ABOUT_NAME)
  return Fold(number, scores,
              archive.Samples.load(os.path.join(directory, SAMPLES_NAME)),
              load_json(about) if os.path.exists(about) else {})


def load_history(directory: str) -> pd.DataFrame:
  """Returns a row an epoch, as history.csv has them.

  Args:
    directory: of the fold.

  Raises:
    schema.DataError: history.csv is not there, or damaged.
  """
  path = os.path.join(directory, HISTORY_NAME)
  try:
    table = pd.read_csv(path)
    epochs = table['epoch']
    if not pd.api.types.is_integer_dtype(epochs) or not epochs.is_unique:
      raise ValueError('epoch: expected whole numbers, each once')
    return table
  except (OSError, ValueError, KeyError) as error:
    raise archive.damaged(path, error) from error


def load_gallery(directory: str) -> archive.Gallery | None:
  """Returns a fold's notable samples; None in a run of an earlier version.

  Args:
    directory: of the fold.

  Raises:
    schema.DataError: gallery.npz is damaged.
  """
  path = os.path.join(directory, GALLERY_NAME)
  return archive.Gallery.load(path) if os.path.exists(path) else None


def load_network(directory: str) -> dict[str, Any] | None:
  """Returns what network_summary.summarise said of a fold's network; None in a
  run of an earlier version.

  Args:
    directory: of the fold.

  Raises:
    schema.DataError: network.json is damaged.
  """
  path = os.path.join(directory, NETWORK_NAME)
  return load_json(path) if os.path.exists(path) else None
