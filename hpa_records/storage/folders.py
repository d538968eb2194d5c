"""Folders, local or at an address: what is in them, made, emptied, removed."""

import contextlib
import functools
import os
from typing import Callable, Iterator

from hpa_records.runtime import errors
from hpa_records.storage import address
from hpa_records.storage import filesystem
from hpa_records.storage import litter


def list_names(folder: str, recursive: bool = False) -> list[str]:
  """Returns the names of the files under a folder, sorted, relative to it.

  Args:
    folder: local or an address.
    recursive: also those in folders below, with '/' between the parts. Local
      folders that are litter, such as lost+found, are not looked into: often
      nobody but root may.

  Raises:
    OSError: a local folder, or one below it, cannot be read.
    errors.DataError: the address does not answer, or has no lists of files.
  """
  if not filesystem.has_folders(folder):
    raise errors.DataError(f'{folder} cannot be listed; copy it to local disk '
                           'first.')
  if filesystem.is_remote(folder):
    with address.told_errors(folder):
      walked = [(top[len(folder):].strip('/'), names)
                for top, _, names in address.gfile(folder).walk(folder)]
  else:
    walked = ((os.path.relpath(top, folder).replace(os.sep, '/'), names)
              for top, names in _walk(folder))
  found = []
  for below, names in walked:
    at_top = below in ('', '.')
    found += names if at_top else [f'{below}/{name}' for name in names]
    if not recursive:
      break  # the folder itself comes first; those below are not looked into
  return sorted(found)


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
  """Yields each local folder with the names of its files, but litter."""
  for top, below, names in os.walk(folder,
                                   onerror=functools.partial(
                                       _refuse_unlisted, folder)):
    below[:] = [name for name in below if not litter.is_litter(name)]
    yield top, names


def _refuse_unlisted(folder: str, error: OSError) -> None:
  """Raises what os.walk would pass over, but of a folder that was removed."""
  if error.filename == folder or not isinstance(error, FileNotFoundError):
    raise error


def make(path: str) -> None:
  """Makes a folder, and those above it, where they are missing."""
  if filesystem.is_remote(path):
    with address.told_errors(path):
      address.gfile(path, write=True).makedirs(path)
  else:
    os.makedirs(path, exist_ok=True)


def remove_files(folder: str, is_wanted: Callable[[str], bool]) -> None:
  """Removes the files of a folder that are wanted so; of links the link alone.

  Args:
    folder: local or an address; a local one may not be a link itself.
    is_wanted: whether to remove the file of a name.

  Raises:
    OSError: the folder is not there or is a link, or a file cannot be removed.
  """
  if filesystem.is_remote(folder):
    for name in filter(is_wanted, list_names(folder)):
      filesystem.remove(os.path.join(folder, name))
    return
  # Names are resolved in the open folder: a link that takes its place leads
  # nowhere.
  opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
  try:
    for name in filter(is_wanted, os.listdir(opened)):
      with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=opened)
  finally:
    os.close(opened)


def remove_empty(path: str) -> None:
  """Removes a folder, if it is there and nothing is in it."""
  if not filesystem.is_remote(path):
    with contextlib.suppress(OSError):
      os.rmdir(path)
    return
  with address.told_errors(path):
    if address.gfile(
        path, write=True).exists(path) and not list_names(path, recursive=True):
      address.gfile(path).rmtree(path)
