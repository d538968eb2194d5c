"""Checkpoints: the whole state of a fold after a step, in one file.

One .npz holds every variable of model and optimizer by position, and the rest
of the state (epoch, plateau, history) as JSON text. One file appears whole
under its name or not at all; a tf.train.Checkpoint is several files, whose
moment of being finished would need a protocol. The newest is kept, the one
before it, should the disk have torn it, and the best epoch's.
"""

import json
import os
import re
from typing import Any, Sequence

import numpy as np

from hpa_records import filesystem
from hpa_records import schema
from hpa_records.backend import keras

_NAME = re.compile(r'epoch-(\d{5})(?:-step-(\d{7}))?\.npz')
_STATE = 'state'

# Finished epochs, and steps of the next one: (3, 0) is the end of the third.
Position = tuple[int, int]


def load_weights(directory: str, position: Position,
                 model: keras.Model) -> list[np.ndarray]:
  """Returns the values of a model's variables at a position.

  Args:
    directory: of the checkpoints.
    position: where training stood.
    model: the network that was trained; stays as it is.

  Raises:
    schema.DataError: the file is missing, damaged or of another network.
  """
  values, _ = _read(_path(directory, position), model.variables)
  return values


def _path(directory: str, position: Position) -> str:
  epoch, step = position
  inside = f'-step-{step:07d}' if step else ''
  return os.path.join(directory, f'epoch-{epoch:05d}{inside}.npz')


def _read(path: str,
          variables: Sequence[Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
  """Returns the variables' values, which come first in a file, and the state.
  """
  try:
    # np.load leaves a path of its own opening open when the file is damaged.
    with open(path, 'rb') as raw, np.load(raw) as file:
      values = [file[str(i)] for i in range(len(variables))]
      state = json.loads(str(file[_STATE]))
    for variable, value in zip(variables, values):
      if variable.shape != value.shape:
        raise ValueError(f'{variable.path}: {value.shape}')
  except Exception as error:  # zipfile and NumPy each raise their own
    raise schema.DataError(
        'Expected a checkpoint of this network, received none, or a damaged '
        f'or other one at {path} ({error}).') from error
  return values, state


class Checkpoints:
  """The checkpoints of one fold, in one folder."""

  def __init__(self, directory: str, model: keras.Model,
               optimizer: keras.optimizers.Optimizer):
    """Args: folder, made if missing; model and built optimizer to save."""
    self._directory = directory
    self._variables = [*model.variables, *optimizer.variables]
    os.makedirs(directory, exist_ok=True)

  def positions(self) -> list[Position]:
    """Returns where there is a checkpoint, in order of training."""
    found = map(_NAME.fullmatch, os.listdir(self._directory))
    return sorted(
        (int(match[1]), int(match[2] or 0)) for match in found if match)

  def save(self, position: Position, best_epoch: int, state: dict[str,
                                                                  Any]) -> None:
    """Saves the state at a position; keeps it, the one before and the best's.

    Args:
      position: where training stands.
      best_epoch: the epoch whose end to keep besides.
      state: JSON types.

    Raises:
      schema.BrokenOff: a variable is not finite; what is there is kept.
    """
    arrays = {str(i): np.asarray(v) for i, v in enumerate(self._variables)}
    for variable, array in zip(self._variables, arrays.values()):
      if not np.isfinite(array).all():
        raise schema.BrokenOff(
            f'Expected finite weights, received nan or inf in {variable.path} '
            f'after epoch {position[0]}, step {position[1]} of the next; what '
            'was saved before is kept. Lower --learning_rate, or set '
            '--clip_norm, and choose another --workdir.', 1)
    with filesystem.atomic_writer(_path(self._directory, position)) as file:
      np.savez(file, **arrays, **{_STATE: json.dumps(state)})
    before = [each for each in self.positions() if each < position]
    for old in self.positions():
      if old not in (position, (best_epoch, 0), *before[-1:]):
        os.remove(_path(self._directory, old))

  def restore(self, position: Position) -> dict[str, Any]:
    """Sets model and optimizer to the state at a position.

    Returns:
      The state that was given to save.

    Raises:
      schema.DataError: the file is damaged or of another network.
    """
    values, state = _read(_path(self._directory, position), self._variables)
    for variable, value in zip(self._variables, values):
      variable.assign(value)
    return state
