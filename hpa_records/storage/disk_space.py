"""Free disk space at a folder."""

import os
import shutil

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem


def require_room(output: str, needed_bytes: int) -> None:
  """Checks that the disk has enough free space; passes for an address.

  Args:
    output: folder to write to, which may not exist yet.
    needed_bytes: free space needed.

  Raises:
    errors.DataError: the disk has less free space.
  """
  free_bytes = free(output)
  if free_bytes is not None and free_bytes < needed_bytes:
    raise errors.DataError(
        f'Not enough free disk space for {output}: '
        f'{printable.show_bytes(needed_bytes)} are needed, '
        f'{printable.show_bytes(free_bytes)} are free. Free some space, or '
        'choose another --output.')


def free(output: str) -> int | None:
  """Returns the free disk space at a folder in bytes; None for an address.

  Args:
    output: the folder, which may not exist yet.
  """
  if filesystem.is_remote(output):
    return None
  path = os.path.abspath(output)
  while not os.path.isdir(path):
    path = os.path.dirname(path)
  return shutil.disk_usage(path).free
