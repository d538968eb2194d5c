"""Names and contents of a fold's checkpoint files. No TensorFlow.

One .npz file holds every variable by name, and the rest of the state as JSON
text. The names begin with MODEL, AVERAGE or OPTIMIZER.
"""

from collections.abc import Mapping, Sequence
import os
import re
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from trainer.run import config_file
from trainer.run import npz_file

MODEL, AVERAGE, OPTIMIZER = 'model/', 'average/', 'optimizer/'
STATE = 'state'
OF = 'of'  # key in the state: the run that saved it
_NAME = re.compile(r'epoch-([0-9]{5})(?:-step-([0-9]{7,}))?\.npz')

# Limits of the JSON text: letters of a row of the history and of the starting
# weights, and brackets opened outside the history.
_MOST_OF_A_ROW = 2**14
_MOST_OF_A_START = 2**17
_MOST_OPENED = 100

# Finished epochs, and steps of the next one: (3, 0) is the end of the third.
Position = tuple[int, int]


def locate(directory: str, position: Position) -> str:
  """Returns the path of the checkpoint at a position."""
  epoch, step = position
  inside = f'-step-{step:07d}' if step else ''
  return os.path.join(directory, f'epoch-{epoch:05d}{inside}.npz')


def list_positions(directory: str) -> list[Position]:
  """Returns the positions that have a checkpoint, in order of training."""
  names = os.listdir(directory)
  found = sorted({(int(match[1]), int(match[2] or 0))
                  for match in map(_NAME.fullmatch, names)
                  if match})
  # Only names spelled as by locate().
  return [each for each in found if os.path.basename(locate('', each)) in names]


def is_name(name: str) -> bool:
  """Returns whether a file's name is that of a checkpoint."""
  return bool(_NAME.fullmatch(name))


def read(directory: str, position: Position,
         of: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Returns the arrays of the variables, and the state.

  Args:
    directory: of the checkpoints.
    position: of the checkpoint.
    of: Config.identity of the run that saved it.

  Returns:
    (variables, state): variables by name; state as JSON types.

  Raises:
    errors.UnreadError: the file cannot be read, or is of an earlier version,
      which stored variables without names.
    errors.DataError: it is missing, damaged, not a checkpoint, or of another
      position or run.
  """
  path = locate(directory, position)
  try:
    arrays = npz_file.read(path)
    if '0' in arrays:  # named by position
      # Not a DataError, after which a training would replace the file.
      raise errors.UnreadError(
          f'{path} was written by an earlier version, without the names of the '
          'variables; train again in another --workdir, or use that version.',
          path)
    text = str(arrays.pop(STATE))
    _check_length(text, position)
    state = json_text.parse(text)
    json_text.check_form(state, {}, STATE)
    saved = (state.get('epoch'), state.get('step'))
    if saved != position:
      raise ValueError(
          f'it is of epoch {saved[0]!r:.40}, step {saved[1]!r:.40}')
    found = state.pop(OF, None)
    json_text.check_form(found, {}, OF)
    differ = config_file.find_differences(found, of)
    if differ:
      raise ValueError('; '.join(differ))
  except errors.UnreadError:
    raise
  except Exception as error:  # zipfile and NumPy each raise their own
    raise _refuse(path, error) from error
  return arrays, state


def _check_length(text: str, position: Position) -> None:
  """Checks the size of a state's text: one row an epoch, and little else."""
  rows = 1 + position[0]
  opened = text.count('{') + text.count('[')
  most = rows * _MOST_OF_A_ROW + _MOST_OF_A_START
  if len(text) > most or opened > rows + _MOST_OPENED:
    raise ValueError(f'a state of {len(text):,} letters')


def read_variables(
    directory: str, position: Position, of: dict[str, Any],
    shapes: Mapping[str,
                    Sequence[int]]) -> tuple[list[np.ndarray], dict[str, Any]]:
  """Returns the values of variables, in the order of shapes, and the state.

  Args:
    directory: as in read.
    position: as in read.
    of: as in read.
    shapes: of all variables by name, or of those whose names begin with MODEL,
      or with AVERAGE.

  Raises:
    errors.DataError: as in read; or the checkpoint has other variables.
  """
  arrays, state = read(directory, position, of)
  others = tuple(kind for kind in (MODEL, AVERAGE, OPTIMIZER)
                 if not any(name.startswith(kind) for name in shapes))
  if OPTIMIZER in others:  # those of the model alone, or of its average
    arrays = {
        name: each
        for name, each in arrays.items()
        if not name.startswith(others)
    }
  try:
    npz_file.check_variables(arrays, shapes)
  except ValueError as error:
    raise _refuse(locate(directory, position), error) from error
  return [arrays[name] for name in shapes], state


def _refuse(path: str, error: Exception) -> errors.DataError:
  return errors.find_unread(path, error) or errors.DataError(
      f'{path} is missing or damaged, or a checkpoint of another network, '
      f'run or epoch ({printable.join_lines(str(error))}).')
