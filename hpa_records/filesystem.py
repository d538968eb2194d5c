"""Where files come from and go to; the one seam to other storage.

Only local folders for now. Everything is written under a temporary name and
renamed when it is whole, so that no reader ever sees half a file: rename is
atomic within one local folder (POSIX), and the data is flushed to the disk
before it, so that a power cut cannot leave a whole name on an empty file.
"""

import contextlib
import os
from typing import BinaryIO, Iterator

from hpa_records import schema

TEMPORARY_SUFFIX = '.tmp'


def require_local(path: str, flag: str) -> str:
  """Returns path, a local one, without a trailing slash.

  Args:
    path: what the user gave.
    flag: the flag's name, for the message.

  Raises:
    schema.DataError: path is empty or an address such as gs://bucket/folder.
  """
  if not path:
    raise schema.DataError(
        f'Expected a path, received none; pass --{flag}=PATH.')
  if '://' in path:
    raise schema.DataError(f'Expected a local path, received --{flag}={path}; '
                           'copy the files to local disk first.')
  return os.path.normpath(path)


@contextlib.contextmanager
def atomic_writer(path: str) -> Iterator[BinaryIO]:
  """Yields a binary file that takes the name path when the block succeeds.

  When the block raises, the temporary file is removed and path is as before.
  """
  temporary = path + TEMPORARY_SUFFIX
  try:
    with open(temporary, 'wb') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise


def write_atomically(path: str, data: bytes) -> None:
  """Writes data to path, whole or not at all."""
  with atomic_writer(path) as file:
    file.write(data)
