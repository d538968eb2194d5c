"""Checkpoints: the complete training state of a fold after a step, in one file.

One .npz file holds every variable of model, average and optimizer by name, and
the rest of the state (epoch, plateau, history) as JSON text. It is renamed into
place once it is complete; a tf.train.Checkpoint is several files, which cannot
be replaced atomically. Three are kept: the newest, the one before it in case
the newest is damaged, and that of the best epoch.

The fold's lock allows one trainer at a time. On a file system without locks a
second trainer still loses nothing: a process removes only files that were there
at its start or that it wrote, and none newer than its own.
"""

from collections.abc import Mapping, Sequence
import contextlib
import json
import os
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from trainer.run import checkpoint_file

Position = checkpoint_file.Position


def name_variables(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer | None = None,
    average: Sequence[tf.Variable] = ()
) -> dict[str, keras.Variable | tf.Variable]:
  """Returns variables by their names in a checkpoint.

  Args:
    model: whose names begin with checkpoint_file.MODEL.
    optimizer: built; its names begin with checkpoint_file.OPTIMIZER, in place
      of its own name, which Keras numbers in each process.
    average: of each variable of the model, or none; the names are those of the
      model with checkpoint_file.AVERAGE.

  Raises:
    ValueError: two variables have one name.
  """
  pairs = [(checkpoint_file.MODEL + each.path, each) for each in model.variables
          ]
  if average:
    pairs += [(checkpoint_file.AVERAGE + each.path, mean)
              for each, mean in zip(model.variables, average)]
  if optimizer is not None:
    pairs += [(checkpoint_file.OPTIMIZER +
               each.path.removeprefix(f'{optimizer.name}/'), each)
              for each in optimizer.variables]
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError(f'Expected a name for each of {len(pairs)} variables, '
                     f'received {len(found)}: {sorted(found)}.')
  return found


def load_weights(directory: str, position: Position, of: dict[str, Any],
                 model: keras.Model) -> list[np.ndarray]:
  """Returns the values of a model's variables at a position, each of its shape.

  Of a run with --ema they are the averages, which are its model.

  Args:
    directory: of the checkpoints.
    position: of the checkpoint.
    of: as in checkpoint_file.read.
    model: the network that was trained; it is not changed.

  Raises:
    errors.DataError: the file is missing, damaged or of another network or
      training.
  """
  shapes = _shapes(name_variables(model))
  if of['ema']:
    shapes = {
        checkpoint_file.AVERAGE + name.removeprefix(checkpoint_file.MODEL): each
        for name, each in shapes.items()
    }
  values, _ = checkpoint_file.read_variables(directory, position, of, shapes)
  return values


def _shapes(
    variables: Mapping[str, keras.Variable | tf.Variable]
) -> dict[str, tuple[int, ...]]:
  return {name: tuple(each.shape) for name, each in variables.items()}


class Checkpoints:
  """The checkpoints of one fold, in one folder."""

  def __init__(self,
               directory: str,
               of: dict[str, Any],
               model: keras.Model,
               optimizer: keras.optimizers.Optimizer,
               average: Sequence[tf.Variable] = ()):
    """Opens the folder, and creates it if it is missing.

    Args:
      directory: of the checkpoints.
      of: as in checkpoint_file.read.
      model: to save and restore.
      optimizer: to save and restore, built.
      average: to save and restore, as of name_variables.
    """
    self._directory, self._of = directory, of
    self._variables = name_variables(model, optimizer, average)
    os.makedirs(directory, exist_ok=True)
    # Identities of the files that were found or written here: another process
    # may have replaced one under the same name.
    self._known = {each: self._identify(each) for each in self.positions()}

  def positions(self) -> list[Position]:
    """Returns the positions that have a checkpoint, in order of training."""
    return checkpoint_file.list_positions(self._directory)

  def copy_values(self) -> list[np.ndarray]:
    """Returns copies of all variables, as of now."""
    return [np.array(variable) for variable in self._variables.values()]

  def save(self,
           position: Position,
           best_epoch: int,
           state: dict[str, Any],
           values: list[np.ndarray] | None = None) -> None:
    """Saves the state at a position, and removes older checkpoints.

    The one before it and that of the best epoch are kept.

    Args:
      position: of the training.
      best_epoch: the epoch whose last checkpoint is kept, too.
      state: JSON types.
      values: of copy_values at that position; None takes them now.

    Raises:
      errors.StoppedEarly: a variable is not finite; earlier checkpoints are
        kept.
      OSError: the file cannot be written; earlier checkpoints are kept.
    """
    values = values or self.copy_values()
    named = dict(zip(self._variables, values))
    for name, array in named.items():
      if not np.isfinite(array).all():
        raise errors.StoppedEarly(
            f'Weights are NaN or infinite: {name} after epoch '
            f'{position[0]}, step {position[1]} of the next; earlier '
            'checkpoints are kept. Lower --learning_rate, or set --clip_norm, '
            'and choose another --workdir.', 1)
    is_own = self._identify(position) == self._known.get(position)
    with filesystem.atomic_writer(self.locate(position)) as file:
      text = json.dumps({**state, checkpoint_file.OF: self._of})
      np.savez(file, **named, **{checkpoint_file.STATE: text})
    if is_own:  # else another process saves here, too
      self._known[position] = self._identify(position)
    before = [each for each in self.positions() if each < position]
    for old in before[:-1]:
      if old != (best_epoch, 0):
        self._remove(old)

  def restore(self, position: Position) -> dict[str, Any]:
    """Sets all variables to the state at a position.

    Returns:
      The state that was passed to save.

    Raises:
      errors.DataError: the file is damaged or of another network or training.
    """
    values, state = checkpoint_file.read_variables(self._directory, position,
                                                   self._of,
                                                   _shapes(self._variables))
    for variable, value in zip(self._variables.values(), values):
      variable.assign(value)
    return state

  def check(self, position: Position) -> None:
    """Reads a checkpoint without changing any variable.

    Raises:
      errors.DataError: the file is missing, damaged or of another network or
        training.
    """
    checkpoint_file.read_variables(self._directory, position, self._of,
                                   _shapes(self._variables))

  def locate(self, position: Position) -> str:
    """Returns the path of the checkpoint at a position."""
    return checkpoint_file.locate(self._directory, position)

  def _identify(self, position: Position) -> tuple[int, int] | None:
    """Returns inode and modification time of a checkpoint; None if missing."""
    with contextlib.suppress(FileNotFoundError):
      found = os.lstat(self.locate(position))
      return found.st_ino, found.st_mtime_ns
    return None

  def _remove(self, position: Position) -> None:
    known = self._known.pop(position, None)
    if known and known == self._identify(position):
      filesystem.remove(self.locate(position))
