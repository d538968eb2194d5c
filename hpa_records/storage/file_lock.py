"""Locks by which processes keep out of each other's folders.

flock's: the operating system gives them back when a process dies, so a killed
one locks nobody out; a process that is stopped keeps them.
"""

import contextlib
import errno
import fcntl
import os
import sys
from typing import Iterator

from hpa_records.runtime import errors

# What flock says on file systems that have no locks, such as some mounts of
# NFS and Lustre.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_TRIES = 100  # each lost to another process that has just removed the file


@contextlib.contextmanager
def hold(path: str,
         refusal: str,
         shared: bool = False,
         waits: bool = False) -> Iterator[None]:
  """Holds the lock of a local file, which is made if missing, during a block.

  Args:
    path: of the file, in a folder that is made too. Who holds the lock alone
      may remove the file.
    refusal: message where another process holds it; path is added.
    shared: with others that hold it shared.
    waits: prints the refusal and waits for the other process.

  Raises:
    errors.DataError: another process holds it, without waits.
    OSError: the file cannot be made, is a link, or is not empty.
  """
  for left in reversed(range(_TRIES)):
    try:
      os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
      # NFS locks only what is open for writing, and shares only what is open
      # for reading.
      file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except (FileNotFoundError, FileExistsError):  # folder made or removed
      if not left:
        raise
      continue
    try:
      if os.fstat(file).st_size:  # a user's: a lock is empty
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
      _lock(file, path, refusal, shared, waits)
      if _is_still(file, path):
        yield
        return
    finally:
      os.close(file)
  raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)


def _lock(file: int, path: str, refusal: str, shared: bool,
          waits: bool) -> None:
  mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
  try:
    fcntl.flock(file, mode | fcntl.LOCK_NB)
  except BlockingIOError as error:
    message = f'{refusal} (it holds {path}).'
    if not waits:
      raise errors.DataError(message) from error
    print(message, file=sys.stderr)
    fcntl.flock(file, mode)
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    print(
        f'The disk of {path} has no file locks; do not run the same command '
        'twice at a time.',
        file=sys.stderr)


def _is_still(file: int, path: str) -> bool:
  """Whether the open file is the one under its name, not a removed one."""
  try:
    return os.path.samestat(os.fstat(file), os.lstat(path))
  except FileNotFoundError:
    return False
