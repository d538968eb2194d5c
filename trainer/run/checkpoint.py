"""Checkpoints: the whole state of a fold after a step, in one file.

One .npz holds every variable of model and optimizer by position, and the rest
of the state (epoch, plateau, history) as JSON text. One file appears whole
under its name or not at all; a tf.train.Checkpoint is several files, whose
moment of being finished would need a protocol. The newest is kept, the one
before it, should the disk have torn it, and the best epoch's.

A fold has one trainer at a time, by its lock. Where the disk has no locks, a
second one still loses nothing: only files that were there at the start, or that
this process wrote, are removed, and none that is newer than its own.
"""

import contextlib
import json
import os
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.storage import filesystem
from trainer.run import checkpoint_file

Position = checkpoint_file.Position


def load_weights(directory: str, position: Position, of: dict[str, Any],
                 model: keras.Model) -> list[np.ndarray]:
  """Returns the values of a model's variables at a position.

  Args:
    directory: of the checkpoints.
    position: where training stood.
    of: as of checkpoint_file.read.
    model: the network that was trained; stays as it is.

  Raises:
    errors.DataError: the file is missing, damaged or of another network or
      training.
  """
  values, _ = checkpoint_file.read_variables(
      directory, position, of, [variable.shape for variable in model.variables])
  return values


class Checkpoints:
  """The checkpoints of one fold, in one folder."""

  def __init__(self, directory: str, of: dict[str, Any], model: keras.Model,
               optimizer: keras.optimizers.Optimizer):
    """Args: folder, made if missing; as of checkpoint_file.read, of; model and
    built optimizer to save."""
    self._directory, self._of = directory, of
    self._variables = [*model.variables, *optimizer.variables]
    os.makedirs(directory, exist_ok=True)
    # What was found or written here: which file, so that another process's file
    # of the same name is not taken for it.
    self._known = {each: self._identify(each) for each in self.positions()}

  def positions(self) -> list[Position]:
    """Returns where there is a checkpoint, in order of training."""
    return checkpoint_file.list_positions(self._directory)

  def save(self, position: Position, best_epoch: int, state: dict[str,
                                                                  Any]) -> None:
    """Saves the state at a position; keeps it, the one before and the best's.

    Args:
      position: where training stands.
      best_epoch: the epoch whose end to keep besides.
      state: JSON types.

    Raises:
      errors.BrokenOff: a variable is not finite; what is there is kept.
      OSError: the file cannot be written; what is there is kept.
    """
    arrays = {str(i): np.asarray(v) for i, v in enumerate(self._variables)}
    for variable, array in zip(self._variables, arrays.values()):
      if not np.isfinite(array).all():
        raise errors.BrokenOff(
            f'Expected finite weights, received nan or inf in {variable.path} '
            f'after epoch {position[0]}, step {position[1]} of the next; what '
            'was saved before is kept. Lower --learning_rate, or set '
            '--clip_norm, and choose another --workdir.', 1)
    is_own = self._identify(position) == self._known.get(position)
    with filesystem.atomic_writer(self.locate(position)) as file:
      text = json.dumps({**state, checkpoint_file.OF: self._of})
      np.savez(file, **arrays, **{checkpoint_file.STATE: text})
    if is_own:  # else another process saves here, too, and needs it
      self._known[position] = self._identify(position)
    before = [each for each in self.positions() if each < position]
    for old in before[:-1]:
      if old != (best_epoch, 0):
        self._remove(old)

  def restore(self, position: Position) -> dict[str, Any]:
    """Sets model and optimizer to the state at a position.

    Returns:
      The state that was given to save.

    Raises:
      errors.DataError: the file is damaged or of another network or training.
    """
    values, state = checkpoint_file.read_variables(
        self._directory, position, self._of,
        [variable.shape for variable in self._variables])
    for variable, value in zip(self._variables, values):
      variable.assign(value)
    return state

  def check(self, position: Position) -> None:
    """Reads a checkpoint, and leaves model and optimizer as they are.

    Raises:
      errors.DataError: the file is missing, damaged or of another network or
        training.
    """
    checkpoint_file.read_variables(
        self._directory, position, self._of,
        [variable.shape for variable in self._variables])

  def locate(self, position: Position) -> str:
    """Returns the path of the checkpoint at a position."""
    return checkpoint_file.locate(self._directory, position)

  def _identify(self, position: Position) -> tuple[int, int] | None:
    """Which file a checkpoint is; None where there is none."""
    with contextlib.suppress(FileNotFoundError):
      found = os.lstat(self.locate(position))
      return found.st_ino, found.st_mtime_ns
    return None

  def _remove(self, position: Position) -> None:
    known = self._known.pop(position, None)
    if known and known == self._identify(position):
      filesystem.remove(self.locate(position))
