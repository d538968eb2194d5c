"""Files that a process may not read, also where the tests run as root."""

import contextlib
import os
import pathlib
from typing import Iterator

_NOBODY = 65534


@contextlib.contextmanager
def refused(path: pathlib.Path) -> Iterator[None]:
  """Runs a block while a file or folder cannot be read.

  A superuser reads all, so the block runs as nobody. What it imports has to be
  imported before, and the folders above are opened to all.

  Args:
    path: of it, in a temporary folder of a test.
  """
  mode = path.stat().st_mode & 0o777
  is_root = os.geteuid() == 0
  for each in path.parents if is_root else ():
    if each.owner() == 'root' and len(each.parts) > 2:
      each.chmod(0o755)
  path.chmod(0)
  if is_root:
    os.seteuid(_NOBODY)
  try:
    yield
  finally:
    if is_root:
      os.seteuid(0)
    path.chmod(mode)
