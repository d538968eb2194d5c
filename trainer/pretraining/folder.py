"""The folder of a pre-training: WORKDIR/fold<k>, as of a training.

pretraining.json has the settings, history.csv a row for each epoch, checkpoints
the state. encoder.npz is written last: with it the pre-training is finished.
"""

import contextlib
import json
import os
from typing import Any, Mapping, Sequence

import pandas as pd

from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import progress
from hpa_records.storage import filesystem
from trainer.pretraining import pool as pool_lib
from trainer.pretraining import settings as settings_lib
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import fold_lock
from trainer.run import workdir
from trainer.start import encoder_file

_MOST_BYTES = 2**20  # of pretraining.json


class Folder:
  """Writes the files of a pre-training, and prints its messages.

  All methods that write or print do nothing in a worker that is not the chief.

  Attributes:
    directory: the folder.
    checkpoints: the folder of the checkpoints.
    is_silent: whether nothing is printed.
  """

  def __init__(self, settings: settings_lib.Settings, is_chief: bool):
    """Writes nothing yet.

    Args:
      settings: of the run.
      is_chief: whether this process writes and prints.
    """
    self.directory = workdir.fold_directory(settings.workdir, settings.fold)
    self.checkpoints = self._path(workdir.CHECKPOINTS_NAME)
    self.is_silent = not is_chief

  def begin(self, identity: dict[str, Any]) -> None:
    """Checks that the folder is empty or has this run, and writes its settings.

    Args:
      identity: of Settings.list_decisive.

    Raises:
      errors.DataError: it has a training, or a pre-training of other settings.
    """
    path = self._path(workdir.PRETRAINING_NAME)
    if os.path.lexists(path):
      found = self._load_settings(path)
      differ = config_file.find_differences(found, identity)
      if differ:
        raise errors.DataError(
            f'The pre-training at {self.directory} has other settings: '
            f'{"; ".join(differ)}. Choose another --workdir.')
      return
    left = workdir.list_files(self.directory)
    if left:
      raise errors.DataError(
          f'{self.directory} has {os.path.basename(left[0])} of a training, '
          f'or of a pre-training whose {workdir.PRETRAINING_NAME} is missing; '
          'choose another --workdir.')
    if not self.is_silent:
      text = json.dumps(identity, indent=1) + '\n'
      self._write(workdir.PRETRAINING_NAME, text.encode())

  def _load_settings(self, path: str) -> dict[str, Any]:
    try:
      found = json_text.parse(filesystem.read_bytes(path, _MOST_BYTES))
      json_text.check_form(found, {}, 'settings')
      return found
    except (OSError, ValueError) as error:
      raise arrays.damaged(path, error) from error

  def find_encoder(self) -> encoder_file.Encoder | None:
    """Returns what a finished pre-training ended with; None without it.

    Raises:
      errors.DataError: it is damaged.
    """
    path = self._path(workdir.ENCODER_NAME)
    return encoder_file.read(path) if workdir.exists(path) else None

  def write_history(self, rows: Sequence[dict[str, Any]]) -> None:
    """Writes history.csv.

    Args:
      rows: one for each epoch; scores of an epoch without them are None.
    """
    if not self.is_silent:
      table = pd.DataFrame(list(rows))
      self._write(workdir.HISTORY_NAME, table.to_csv(index=False).encode())

  def finish(self, encoder: encoder_file.Encoder) -> None:
    """Writes encoder.npz."""
    if not self.is_silent:
      with fold_lock.translate_write_errors(self.directory):
        encoder_file.write(self._path(workdir.ENCODER_NAME), encoder)

  def say(self, line: str) -> None:
    """Prints a line."""
    if not self.is_silent:
      progress.say(line)

  def profile(self, wanted: bool) -> contextlib.AbstractContextManager:
    """Returns a context that does nothing; as of Recorder.profile."""
    del wanted
    return contextlib.nullcontext()

  def _write(self, name: str, content: bytes) -> None:
    with fold_lock.translate_write_errors(self.directory):
      filesystem.write_atomically(self._path(name), content)

  def _path(self, name: str) -> str:
    return os.path.join(self.directory, name)


def describe(pool: pool_lib.Pool, device: str) -> str:
  """Returns the line that a pre-training begins with.

  Args:
    pool: the images.
    device: description of the devices.
  """
  count = int(pool.is_trained.sum())
  line = f'{count:,} images to pre-train on, on {device}'
  held_out = len(pool.ids) - count
  if not held_out:
    return f'{line}; none with labels, so nothing scores the features.'
  return f'{line}; fold {pool.fold} held out, {held_out:,} images.'


def show(numbers: Mapping[str, float | None]) -> str:
  """Returns the numbers that are not None, by name, for messages."""
  return ', '.join(f'{name} {value:.4g}' for name, value in numbers.items()
                   if value is not None)
