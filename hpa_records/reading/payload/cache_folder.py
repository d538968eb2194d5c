"""The folder of all caches: how much is in it, and what is removed first.

Each dataset has a folder below it, named by its fingerprint. Several processes
may use them at the same time.
"""

import contextlib
import os
import re

from hpa_records.format import manifest
from hpa_records.reading import download

PART = '.part'  # of a shard that is not complete

_FOLDER = re.compile('[0-9a-f]{64}')
_SHARD = re.compile(rf'.*\.tfrecord(\{PART})?')


class CacheFolder:
  """The caches of all datasets, up to a size."""

  def __init__(self, root: str, own: str, most_bytes: int):
    """Removes what is too much, files of the own dataset last.

    Args:
      root: the folder.
      own: the folder below it of the dataset that is read.
      most_bytes: largest size of all caches.

    Raises:
      OSError: the folder cannot be read or written to.
    """
    self._root, self._own, self._most_bytes = root, own, most_bytes
    self._used_bytes = sum(size for _, size in _list(root))
    self.make_room(0, with_own=True)

  def make_room(self, num_bytes: int, with_own: bool = False) -> bool:
    """Returns whether so many bytes fit, after removing other caches.

    Args:
      num_bytes: to be written; they count as written then.
      with_own: whether to remove files of the own dataset, too.

    Raises:
      OSError: a file cannot be removed.
    """
    if self._used_bytes + num_bytes > self._most_bytes:
      # Other processes have written, too.
      files = _list(self._root)
      self._used_bytes = sum(size for _, size in files)
      for path, size in files:
        is_own = os.path.dirname(path) == self._own
        if self._used_bytes + num_bytes <= self._most_bytes:
          break
        if (is_own and not with_own) or _is_staged(path):
          continue
        _remove(path)
        self._used_bytes -= size
    fits = self._used_bytes + num_bytes <= self._most_bytes
    if fits:
      self._used_bytes += num_bytes
    return fits

  def give_back(self, num_bytes: int) -> None:
    """Takes back bytes of make_room that were not written."""
    self._used_bytes -= num_bytes


def _list(root: str) -> list[tuple[str, int]]:
  """Returns path and size on disk of the shards of all caches.

  The folder that was opened last comes last.
  """
  folders = [
      each for each in os.scandir(root)
      if _FOLDER.fullmatch(each.name) and each.is_dir(follow_symlinks=False)
  ]
  found = []
  for folder in sorted(folders, key=_last_use):
    entries: list[os.DirEntry] = []
    with contextlib.suppress(FileNotFoundError):  # another one removed it
      entries = sorted(os.scandir(folder.path), key=lambda each: each.name)
    for each in entries:
      with contextlib.suppress(FileNotFoundError):  # or renamed it
        if _SHARD.fullmatch(each.name) and each.is_file(follow_symlinks=False):
          found.append((each.path, each.stat().st_blocks * 512))
  return found


def _last_use(folder: os.DirEntry) -> int:
  """Returns when a cache was opened last, ns; 0 if another one removed it."""
  try:
    return folder.stat().st_mtime_ns
  except FileNotFoundError:
    return 0


def _is_staged(path: str) -> bool:
  """Returns whether a file is of a dataset that --stage_dir copied or copies.

  A copy has a lock beside its folder from the start.
  """
  folder = os.path.dirname(path)
  return (os.path.lexists(folder + download.LOCK_SUFFIX) or
          os.path.lexists(os.path.join(folder, manifest.MANIFEST_NAME)))


def _remove(path: str) -> None:
  """Removes a file, and its folder if it is empty then."""
  with contextlib.suppress(FileNotFoundError):  # another one removed it
    os.remove(path)
  with contextlib.suppress(OSError):
    os.rmdir(os.path.dirname(path))
