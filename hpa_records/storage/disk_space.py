"""Free space of the disk that a folder is on."""

import os
import shutil

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem


def require_room(output: str, needed_bytes: int) -> None:
  """Raises errors.DataError unless the disk has so many bytes free."""
  free_bytes = free(output)
  if free_bytes is not None and free_bytes < needed_bytes:
    raise errors.DataError(
        f'Too little free disk space for {output}: '
        f'{printable.show_bytes(needed_bytes)} are needed, '
        f'{printable.show_bytes(free_bytes)} are free. Free some, or choose '
        'another --output.')


def free(output: str) -> int | None:
  """Returns the free bytes of the disk a folder is on, or will be on.

  None for an address.
  """
  if filesystem.is_remote(output):
    return None
  path = os.path.abspath(output)
  while not os.path.isdir(path):
    path = os.path.dirname(path)
  return shutil.disk_usage(path).free
