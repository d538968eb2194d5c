"""A lock on a fold's folder, and its write errors in words.

A suspended trainer keeps its lock. If another could run meanwhile, the first
one would resume among newer checkpoints.
"""

import contextlib
import os
import re
from typing import Iterator

from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from trainer.run import checkpoint_file
from trainer.run import workdir

_NAME = 'lock'
_ENDING = re.compile(r'\.[0-9a-f]{8}\.tmp')

# The lock files that this process holds, by path.
_held: dict[str, os.stat_result] = {}


@contextlib.contextmanager
def hold(directory: str) -> Iterator[None]:
  """Locks a fold's folder while the block runs.

  The folder is created if it is missing, and removed if it is empty at the end.
  Temporary files of killed trainers are removed.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: another trainer holds the lock, or the folder is not
      writable.
  """
  path = os.path.join(directory, _NAME)
  with contextlib.ExitStack() as held:
    with translate_write_errors(directory):
      held.enter_context(
          file_lock.hold(
              path,
              f'Another training is running in {directory}; wait until it '
              'ends, stop it, or choose another --workdir'))
      _held[path] = os.lstat(path)
      held.callback(_held.pop, path)
      _remove_temporaries(directory)
    try:
      yield
    finally:
      if not _is_lost(path):  # else the lock file is another trainer's
        with contextlib.suppress(OSError):
          os.remove(path)
          os.rmdir(directory)


@contextlib.contextmanager
def translate_write_errors(directory: str) -> Iterator[None]:
  """Turns OSError from writes to a fold's folder into errors.DataError.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: a write in the block failed; or the folder or its lock was
      moved or removed since this process locked it.
  """
  if _is_lost(os.path.join(directory, _NAME)):
    raise errors.DataError(
        f'{directory} or its {_NAME} was moved or removed while this training '
        'ran; another training may be running there. Earlier checkpoints are '
        'kept; run the same command to continue.')
  try:
    yield
  except OSError as error:
    raise errors.describe_write(
        directory, error,
        'Earlier checkpoints are kept; run the same command to continue.'
    ) from error


def _is_lost(path: str) -> bool:
  """Whether the lock file of this process was replaced or removed."""
  if path not in _held:
    return False
  try:
    return not os.path.samestat(_held[path], os.lstat(path))
  except OSError:
    return True


def _remove_temporaries(directory: str) -> None:
  """Removes temporary files of killed trainers; follows no links."""
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  for folder, is_own in ((directory, workdir.ALL_NAMES.__contains__),
                         (checkpoints, checkpoint_file.is_name)):
    if not os.path.isdir(folder) or os.path.islink(folder):
      continue
    for entry in os.scandir(folder):
      name, ending = entry.name[:-13], entry.name[-13:]
      if (_ENDING.fullmatch(ending) and is_own(name) and
          entry.is_file(follow_symlinks=False)):
        filesystem.remove(entry.path)
