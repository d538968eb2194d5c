"""One trainer at a time in a fold's folder, and what it cannot write there.

A trainer that sleeps keeps its lock: if the same command could run meanwhile,
the first would wake among newer checkpoints.
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
  """Keeps other trainers out of a fold's folder while the block runs.

  The folder is made if missing, and removed if it is empty at the end. What
  killed trainers had begun to write is removed.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: another trainer holds the folder, or it cannot be written
      to.
  """
  path = os.path.join(directory, _NAME)
  with contextlib.ExitStack() as held:
    with told_writes(directory):
      held.enter_context(
          file_lock.hold(
              path, f'Another training is running in {directory}; wait for its '
              'end, stop it, or choose another --workdir'))
      _held[path] = os.lstat(path)
      held.callback(_held.pop, path)
      _remove_temporaries(directory)
    try:
      yield
    finally:
      if not _is_lost(path):  # else what is there is another trainer's
        with contextlib.suppress(OSError):
          os.remove(path)
          os.rmdir(directory)


@contextlib.contextmanager
def told_writes(directory: str) -> Iterator[None]:
  """Tells in one line what a block cannot write to a fold's folder.

  Args:
    directory: of the fold.

  Raises:
    errors.DataError: in place of OSError; or the folder is not the one any more
      that this process holds.
  """
  if _is_lost(os.path.join(directory, _NAME)):
    raise errors.DataError(
        f'{directory} was moved or removed while this training ran, or its '
        f'{_NAME} was; another training may be running there. What was saved '
        'before is kept, and the same command goes on.')
  try:
    yield
  except OSError as error:
    raise errors.describe_write(
        directory, error,
        'What was saved before is kept, and the same command goes on.'
    ) from error


def _is_lost(path: str) -> bool:
  """Whether another file, or none, is where this process has locked one."""
  if path not in _held:
    return False
  try:
    return not os.path.samestat(_held[path], os.lstat(path))
  except OSError:
    return True


def _remove_temporaries(directory: str) -> None:
  """Removes what killed trainers had begun to write; follows no links."""
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  for folder, is_own in ((directory, workdir.FILE_NAMES.__contains__),
                         (checkpoints, checkpoint_file.is_name)):
    if not os.path.isdir(folder) or os.path.islink(folder):
      continue
    for entry in os.scandir(folder):
      name, ending = entry.name[:-13], entry.name[-13:]
      if (_ENDING.fullmatch(ending) and is_own(name) and
          entry.is_file(follow_symlinks=False)):
        filesystem.remove(entry.path)
