"""A run's folder: the names of its files, and what they say. No TensorFlow.

WORKDIR/fold<k> holds all of one fold; the loop and the evaluation write it,
the report reads it.
"""

from collections.abc import Callable
import csv
import dataclasses
import io
import os
import re
from typing import Any

import pandas as pd

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem
from trainer import config as config_lib
from trainer.run import arrays
from trainer.run import checkpoint_file
from trainer.run import fold_form

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
FILE_NAMES = frozenset({
    CONFIG_NAME, HISTORY_NAME, SCORES_NAME, BEST_SCORES_NAME, PER_CLASS_NAME,
    ARRAYS_NAME, SAMPLES_NAME, ABOUT_NAME, NETWORK_NAME, GALLERY_NAME
})

# The one spelling of a fold's folder: fold1, not fold01, fold1.bak or fold١.
_FOLD = re.compile(r'fold(0|[1-9][0-9]*)')
# Bytes of a text file. The largest JSON is the network.json of DenseNet-121,
# 78 kB.
_MOST_JSON_BYTES = 2**20
_MOST_CSV_BYTES = {
    HISTORY_NAME: 2**26,  # 100,000 epochs
    PER_CLASS_NAME: 2**16
}

_MOST_COLUMNS = 100  # of a CSV file; a history has 33
_MOST_LINE_BYTES = 2**12

_CHECKS: dict[str, Callable[[Any], None]] = {
    SCORES_NAME: fold_form.check_scores,
    BEST_SCORES_NAME: fold_form.check_best_scores,
    ABOUT_NAME: fold_form.check_about,
    NETWORK_NAME: fold_form.check_network,
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
  samples: arrays.Samples
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


def list_folds(workdir: str) -> list[int]:
  """Returns the numbers of the folds that have a folder, in order.

  Raises:
    errors.DataError: the run's folder cannot be read.
  """
  try:
    names = os.listdir(workdir) if os.path.isdir(workdir) else []
  except OSError as error:
    raise errors.describe_read(workdir, error) from error
  return sorted(int(m[1]) for m in map(_FOLD.fullmatch, names) if m)


def list_fold_directories(workdir: str) -> list[str]:
  """Returns the folders of the folds that are in a run's folder."""
  return [fold_directory(workdir, each) for each in list_folds(workdir)]


def list_files(directory: str) -> list[str]:
  """Returns the paths of what a training wrote into a fold's folder."""
  checkpoints = os.path.join(directory, CHECKPOINTS_NAME)
  found = [os.path.join(directory, name) for name in sorted(FILE_NAMES)]
  if os.path.isdir(checkpoints):
    found += [
        checkpoint_file.locate(checkpoints, each)
        for each in checkpoint_file.list_positions(checkpoints)
    ]
  return [path for path in found if os.path.lexists(path)]


def load_config(path: str) -> tuple[config_lib.Config, str]:
  """Returns the configuration and the dataset's fingerprint of a config.json.

  Raises:
    errors.DataError: it is damaged, or no configuration.
  """
  try:
    return config_lib.Config.from_json(_read_text(path))
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise arrays.damaged(path, error) from error


def load_json(path: str) -> dict[str, Any]:
  """Returns what a JSON file of a fold says.

  Args:
    path: of the file, under one of the names above.

  Raises:
    errors.DataError: it is not there, damaged, or without what it has to have.
  """
  try:
    content = json_text.parse(_read_text(path))
    _CHECKS[os.path.basename(path)](content)
    return content
  except (OSError, ValueError) as error:
    raise arrays.damaged(path, error) from error


def _read_text(path: str) -> bytes:
  size = filesystem.size(path)  # None for a pipe or a device, without an end
  if size is None:
    raise ValueError('no file')
  most = _MOST_CSV_BYTES.get(os.path.basename(path), _MOST_JSON_BYTES)
  if size > most:
    raise ValueError(f'expected up to {most:,} bytes, received {size:,}')
  return filesystem.read_bytes(path)


def load(workdir: str) -> Run:
  """Returns a run with all folds that have scores.

  Raises:
    errors.DataError: none has; a folder or file cannot be read, or is damaged;
      the folds are of different data or settings, of another number than their
      folder's, or scored with another threshold.
  """
  done = [
      number for number in list_folds(workdir)
      if _is_there(os.path.join(fold_directory(workdir, number), SCORES_NAME))
  ]
  if not done:
    raise errors.DataError(
        f'No finished fold in {workdir}: none of its folders fold0, fold1, … '
        f'holds {SCORES_NAME}; train one with python -m trainer.main '
        f'--workdir={workdir}.')
  config, fingerprint = _load_configs(workdir, done)
  folds = [load_fold(workdir, number, config.threshold) for number in done]
  return Run(workdir, config, fingerprint, tuple(folds))


def _is_there(path: str) -> bool:
  """Whether a path exists; raises errors.DataError where that cannot be told.

  What is behind a link to nothing is not known either: its disk may be away.
  """
  try:
    os.stat(path)
    return True
  except (FileNotFoundError, NotADirectoryError) as error:
    if errors.find_dangling_link(path):
      raise errors.describe_read(path, error) from error
    return False
  except OSError as error:
    raise errors.describe_read(path, error) from error


def _load_configs(workdir: str,
                  done: list[int]) -> tuple[config_lib.Config, str]:
  """The configuration that all folds share, but for the fold's number."""
  found = [
      load_config(os.path.join(fold_directory(workdir, number), CONFIG_NAME))
      for number in done
  ]
  config, fingerprint = found[0]
  for number, (other, data) in zip(done, found):
    if other.fold != number:
      raise errors.DataError(
          f'{fold_directory(workdir, number)} holds fold {other.fold}, by its '
          f'{CONFIG_NAME}; name the folder fold{other.fold}, or remove it if '
          'it is a copy.')
    other = dataclasses.replace(other, fold=config.fold)
    differ = config_lib.find_differences(config.identity(fingerprint),
                                         other.identity(data))
    if differ:
      raise errors.DataError(
          f'Expected folds of one run at {workdir}, received fold {number} of '
          f'another: {"; ".join(differ)}.')
  return config, fingerprint


def load_fold(workdir: str, number: int, threshold: float) -> Fold:
  """Returns what is kept of one fold.

  Args:
    workdir: of the run.
    number: of the fold.
    threshold: of the run, that it must have been scored with.

  Raises:
    errors.DataError: a file is missing or damaged, or of another threshold; or
      no sample was held out.
  """
  directory = fold_directory(workdir, number)
  path = os.path.join(directory, SCORES_NAME)
  scores = load_json(path)
  if scores['threshold'] != threshold:
    raise errors.DataError(
        f'Expected scores with the threshold {threshold} of {CONFIG_NAME}, '
        f'received those with {scores["threshold"]} at {path}; train the fold '
        'again.')
  samples = arrays.Samples.load(os.path.join(directory, SAMPLES_NAME))
  if not (samples.folds == number).any():
    raise errors.DataError(
        f'{directory} has no samples of fold {number}: its {SAMPLES_NAME} has '
        f'folds 0 to {samples.folds.max(initial=0)}; remove it.')
  about = os.path.join(directory, ABOUT_NAME)
  return Fold(number, scores, samples,
              load_json(about) if _is_there(about) else {})


def load_history(directory: str) -> pd.DataFrame:
  """Returns a row an epoch, as history.csv has them.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: history.csv is not there, or damaged.
  """
  return _load_table(os.path.join(directory, HISTORY_NAME), _check_history)


def _check_history(table: pd.DataFrame) -> None:
  epochs = table['epoch']
  if (not pd.api.types.is_integer_dtype(epochs) or not epochs.is_unique or
      not epochs.between(1, fold_form.MOST_EPOCHS).all()):
    raise ValueError('epoch: expected whole numbers from 1, each once')
  others = list(table.select_dtypes(exclude='number'))
  if others:
    raise ValueError(f'{others[0]}: expected numbers')
  if (table.abs() > fold_form.LARGEST).any(axis=None):
    raise ValueError(f'expected numbers up to {fold_form.LARGEST:g}')


def load_per_class(directory: str) -> pd.DataFrame:
  """Returns the scores of each class, as per_class.csv has them.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: per_class.csv is not there, or damaged.
  """
  return _load_table(os.path.join(directory, PER_CLASS_NAME), _check_per_class)


def _check_per_class(table: pd.DataFrame) -> None:
  if table['class'].tolist() != list(range(spec.NUM_CLASSES)):
    raise ValueError(f'class: expected 0..{spec.NUM_CLASSES - 1} in order')


def _load_table(path: str, check: Callable[[pd.DataFrame],
                                           None]) -> pd.DataFrame:
  try:
    data = _read_text(path)
    _check_lines(data)
    # Without quotes, which the trainer never writes, a line is a row.
    table = pd.read_csv(io.BytesIO(data), quoting=csv.QUOTE_NONE)
    check(table)
    return table
  except (OSError, ValueError, KeyError) as error:
    raise arrays.damaged(path, error) from error


def _check_lines(data: bytes) -> None:
  """Refuses a CSV of more lines or columns than a fold's have.

  Such tables cost pandas far more time and memory than the file has bytes.
  """
  if data.count(b'\n') + data.count(b'\r') > 2 * (fold_form.MOST_EPOCHS + 1):
    raise ValueError(f'more than {fold_form.MOST_EPOCHS:,} rows')
  lines = [line for line in data.splitlines() if line]
  columns = {line.count(b',') + 1 for line in lines}
  if len(columns) > 1:
    raise ValueError('rows of different lengths')
  if max(columns, default=0) > _MOST_COLUMNS:
    raise ValueError(f'expected up to {_MOST_COLUMNS} columns, received '
                     f'{max(columns):,}')
  longest = max(map(len, lines), default=0)
  if longest > _MOST_LINE_BYTES:
    raise ValueError(f'expected lines of up to {_MOST_LINE_BYTES:,} bytes, '
                     f'received {longest:,}')


def load_gallery(directory: str) -> arrays.Gallery | None:
  """Returns a fold's notable samples; None in a run of an earlier version.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: gallery.npz is damaged.
  """
  path = os.path.join(directory, GALLERY_NAME)
  return arrays.Gallery.load(path) if _is_there(path) else None


def load_network(directory: str) -> dict[str, Any] | None:
  """Returns what summary.summarise said of a fold's network; None in a
  run of an earlier version.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: network.json is damaged.
  """
  path = os.path.join(directory, NETWORK_NAME)
  return load_json(path) if _is_there(path) else None
