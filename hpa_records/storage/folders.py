"""Listing, creating and removing of folders, local or remote."""

import contextlib
import functools
import os
from typing import Callable, Iterator

from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import litter
from hpa_records.storage import request
from hpa_records.storage import storage_error


def list_names(folder: str,
               recursive: bool = False,
               follow_links: bool = False) -> list[str]:
  """Returns the sorted names of the files in a folder, relative to it.

  Args:
    folder: local or an address.
    recursive: also files in subfolders, with '/' between the parts. Local
      system folders such as lost+found, often readable only by root, are
      skipped.
    follow_links: also files in local folders that a link leads to, unless they
      contain the link.

  Raises:
    OSError: a local folder, or one below it, cannot be read.
    errors.DataError: the address cannot be accessed, or cannot be listed.
  """
  if not driver.has_folders(folder):
    raise errors.DataError(f'{folder} cannot be listed; copy it to local disk '
                           'first.')
  if filesystem.is_remote(folder):
    return _list_remote(folder, recursive)
  found = []
  for top, names in _walk(folder, follow_links):
    below = os.path.relpath(top, folder).replace(os.sep, '/')
    at_top = below in ('', '.')
    found += names if at_top else [f'{below}/{name}' for name in names]
    if not recursive:
      break  # the folder itself comes first
  return sorted(found)


def _list_remote(folder: str, recursive: bool) -> list[str]:
  """Returns the names of list_names at an address; [] if there are none."""
  # With a slash, so that records2 is not listed as a part of records.
  top = driver.connect(folder)[1].rstrip('/') + '/'
  try:
    paths = request.run(folder, 'find')
  except storage_error.MissingError:
    return []
  names = [path[len(top):] for path in paths if path.startswith(top)]
  # A key such as a//b would be joined to the absolute path /b.
  return sorted(name for name in names
                if not {'', '.', '..'} & set(name.split('/')) and
                (recursive or '/' not in name))


def _walk(folder: str, follow_links: bool) -> Iterator[tuple[str, list[str]]]:
  """Yields each local folder and the names of its files; skips litter."""
  for top, below, names in os.walk(folder,
                                   onerror=functools.partial(
                                       _refuse_unlisted, folder),
                                   followlinks=follow_links):
    below[:] = [
        name for name in below if not litter.is_litter(name) and
        not (follow_links and _is_circle(folder, os.path.join(top, name)))
    ]
    yield top, names


def _is_circle(folder: str, path: str) -> bool:
  """Returns whether a path below a folder is a link to what contains it."""
  if not os.path.islink(path):
    return False
  target = os.path.join(os.path.realpath(path), '')
  while len(path) > len(folder):
    path = os.path.dirname(path)
    if os.path.join(os.path.realpath(path), '').startswith(target):
      return True
  return False


def _refuse_unlisted(folder: str, error: OSError) -> None:
  """Raises an error of os.walk, unless a subfolder was removed meanwhile."""
  if error.filename == folder or not isinstance(error, FileNotFoundError):
    raise error


def make(path: str) -> None:
  """Creates a folder and its parents if they do not exist."""
  if not filesystem.is_remote(path):
    os.makedirs(path, exist_ok=True)
    return
  driver.require_writable(path)
  if driver.needs_folders(path):
    request.run(path, 'makedirs', exist_ok=True)


def flush_all(folder: str) -> None:
  """Flushes a local folder, and all files and folders in it, to disk."""
  for top, _, names in os.walk(folder):
    for name in names:
      file = os.open(os.path.join(top, name), os.O_RDONLY | os.O_NOFOLLOW)
      try:
        os.fsync(file)
      finally:
        os.close(file)
    filesystem.flush_folder(top)


def remove_files(folder: str, is_wanted: Callable[[str], bool]) -> None:
  """Removes files of a folder, and links but not their targets.

  Args:
    folder: local or an address; a local one must not be a link.
    is_wanted: name → whether to remove the file.

  Raises:
    OSError: the folder does not exist or is a link, or a file cannot be
      removed.
  """
  if filesystem.is_remote(folder):
    for name in filter(is_wanted, list_names(folder)):
      filesystem.remove(os.path.join(folder, name))
    return
  # Names are resolved in the open folder, so replacing it by a link meanwhile
  # has no effect.
  opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
  try:
    for name in filter(is_wanted, os.listdir(opened)):
      with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=opened)
  finally:
    os.close(opened)


def remove_empty(path: str) -> None:
  """Removes a folder if it exists and is empty."""
  if not filesystem.is_remote(path):
    with contextlib.suppress(OSError):
      os.rmdir(path)
    return
  if driver.needs_folders(path) and not list_names(path, recursive=True):
    with contextlib.suppress(storage_error.MissingError):
      request.run(path, 'rmdir')
