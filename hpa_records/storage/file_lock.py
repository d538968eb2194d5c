"""Lock files against two processes working in one folder.

flock: the operating system releases a lock when its process ends, also when it
is killed. A stopped process (SIGSTOP) keeps its locks.
"""

import contextlib
import errno
import fcntl
import os
import sys
from typing import Iterator

from hpa_records.runtime import errors

# flock's errors on file systems without locks, such as some mounts of NFS and
# Lustre.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_TRIES = 100  # each fails if another process has just removed the file


@contextlib.contextmanager
def hold(path: str,
         refusal: str,
         shared: bool = False,
         waits: bool = False) -> Iterator[None]:
  """Holds the lock of a local file during a block.

  Args:
    path: of the file, created with its folder if missing. Only the holder of
      an exclusive lock may remove it.
    refusal: message where another process holds the lock; path is appended.
    shared: take a shared lock.
    waits: print the refusal and wait, in place of raising it.

  Raises:
    errors.DataError: another process holds the lock, and waits is False.
    OSError: the file cannot be created, is a link, or is not empty.
  """
  for left in reversed(range(_TRIES)):
    try:
      os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
      # On NFS an exclusive lock needs a file open for writing, a shared one a
      # file open for reading.
      file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except (FileNotFoundError, FileExistsError):  # folder made or removed
      if not left:
        raise
      continue
    try:
      if os.fstat(file).st_size:  # a user's file: lock files are empty
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
        f'The disk of {path} does not support file locks; do not run the same '
        'command twice at the same time.',
        file=sys.stderr)


def _is_still(file: int, path: str) -> bool:
  """Returns whether path still names the open file."""
  try:
    return os.path.samestat(os.fstat(file), os.lstat(path))
  except FileNotFoundError:
    return False
