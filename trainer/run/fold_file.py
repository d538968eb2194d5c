"""The text files of a fold, read with limits on their size, and checked."""

from collections.abc import Callable
import csv
import io
import os
from typing import Any

import pandas as pd

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import fold_form
from trainer.run import workdir

# Limits in bytes. The largest other JSON file is network.json of DenseNet-121,
# 78 kB.
_MOST_JSON_BYTES = 2**20
_MOST_BYTES = {
    workdir.ABOUT_NAME: 2**23,  # 2,000 names of classes, each letter escaped
    workdir.HISTORY_NAME: 2**26,  # 100,000 epochs
    workdir.PER_CLASS_NAME: 2**22  # 2,000 classes
}

_MOST_COLUMNS = 100  # of a CSV file; a history has 33
_MOST_LINE_BYTES = 2**12

_CHECKS: dict[str, Callable[[Any], None]] = {
    workdir.METRICS_NAME: fold_form.check_metrics,
    workdir.BEST_METRICS_NAME: fold_form.check_best_metrics,
    workdir.ABOUT_NAME: fold_form.check_about,
    workdir.NETWORK_NAME: fold_form.check_network,
}


def load_config(path: str) -> tuple[config_file.Settings, str]:
  """Returns the configuration and the dataset's fingerprint in config.json.

  Raises:
    errors.DataError: it is missing or damaged, or not a configuration.
  """
  try:
    return config_file.parse_json(_read_text(path))
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise arrays.damaged(path, error) from error


def load_json(path: str) -> dict[str, Any]:
  """Returns the content of a JSON file of a fold.

  Args:
    path: of the file, under one of the names in workdir.

  Raises:
    errors.DataError: it is missing, damaged, or lacks a value.
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
    raise ValueError('not a regular file')
  most = _MOST_BYTES.get(os.path.basename(path), _MOST_JSON_BYTES)
  if size > most:
    raise ValueError(f'expected up to {most:,} bytes, received {size:,}')
  return filesystem.read_bytes(path)


def load_history(directory: str) -> pd.DataFrame:
  """Returns history.csv, a row an epoch.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: history.csv is missing or damaged.
  """
  return _load_table(os.path.join(directory, workdir.HISTORY_NAME),
                     _check_history)


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


def load_per_class(directory: str, num_classes: int) -> pd.DataFrame:
  """Returns per_class.csv, the metrics of each class.

  Args:
    directory: of the fold.
    num_classes: K.

  Raises:
    errors.DataError: per_class.csv is missing or damaged.
  """

  def check(table: pd.DataFrame) -> None:
    if table['class'].tolist() != list(range(num_classes)):
      raise ValueError(f'class: expected 0..{num_classes - 1} in order')

  return _load_table(os.path.join(directory, workdir.PER_CLASS_NAME), check)


def _load_table(path: str, check: Callable[[pd.DataFrame],
                                           None]) -> pd.DataFrame:
  try:
    data = _read_text(path)
    _check_lines(data)
    table = pd.read_csv(io.BytesIO(data))
    check(table)
    return table
  except (OSError, ValueError, KeyError, csv.Error) as error:
    raise arrays.damaged(path, error) from error


def _check_lines(data: bytes) -> None:
  """Refuses a CSV with more lines or columns than the trainer writes."""
  # pandas needs far more time and memory for such a table than it has bytes.
  if data.count(b'\n') + data.count(b'\r') > 2 * (fold_form.MOST_EPOCHS + 1):
    raise ValueError(f'more than {fold_form.MOST_EPOCHS:,} rows')
  lines = [line for line in data.splitlines() if line]
  longest = max(map(len, lines), default=0)
  if longest > _MOST_LINE_BYTES:
    raise ValueError(f'expected lines of up to {_MOST_LINE_BYTES:,} bytes, '
                     f'received {longest:,}')
  # Names of classes may be quoted, but have no line breaks: a line is a row.
  columns = {
      len(next(csv.reader([line.decode()], strict=True))) for line in lines
  }
  if len(columns) > 1:
    raise ValueError('rows of different lengths')
  if max(columns, default=0) > _MOST_COLUMNS:
    raise ValueError(f'expected up to {_MOST_COLUMNS} columns, received '
                     f'{max(columns):,}')


def load_gallery(directory: str, spec: spec_lib.Spec) -> arrays.Gallery | None:
  """Returns a fold's gallery; None for a run of an earlier version.

  Args:
    directory: of the fold.
    spec: of the run.

  Raises:
    errors.DataError: gallery.npz is damaged.
  """
  path = os.path.join(directory, workdir.GALLERY_NAME)
  return arrays.Gallery.load(path, spec) if workdir.exists(path) else None


def load_network(directory: str) -> dict[str, Any] | None:
  """Returns network.json, as network.summary.summarise made it.

  None for a run of an earlier version.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: network.json is damaged.
  """
  path = os.path.join(directory, workdir.NETWORK_NAME)
  return load_json(path) if workdir.exists(path) else None
