"""Shards on local disk that are filled with the records that came.

The cache of a dataset is CACHE_DIR/<fingerprint>. Each record is written to its
place in <shard>.part; when all records of a shard have come, and its sha256 is
that of the manifest, the file gets the shard's name. So a complete folder is
the same as one of --stage_dir.

A file is believed only if its sha256 is the manifest's, which is checked once
in each process, and a part only where this process has written it, by a hash in
memory. So damaged and hostile files, killed processes and several processes in
one folder need no care: they cost a request. A shard that came whole and has
another sha256 is an error: the address has other records than the manifest.

An epoch reads each record once, in random order, so exchanging the records of
the dataset would keep those that are needed last. When the cache is full, the
least recently used other dataset is removed; without one, no more is kept.
"""

import errno
import hashlib
import os
import stat
import sys
import threading
import weakref

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading.payload import cache_folder
from hpa_records.reading.payload import record_places
from hpa_records.runtime import errors
from hpa_records.runtime import printable

_DIGEST_BYTES = 16
_BLOCK_BYTES = 2**20
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not block
_THEN = 'Or choose another --cache_dir.'


class ShardCache:
  """The records of a dataset on local disk, as far as they came."""

  def __init__(self, records: dataset.Records,
               places: record_places.RecordPlaces, cache_dir: str,
               most_bytes: int):
    """Makes the folder; removes what is too much.

    Args:
      records: a dataset at an address.
      places: of its records.
      cache_dir: local folder of all caches.
      most_bytes: largest size of all caches in it.

    Raises:
      errors.DataError: the folder cannot be written to, or is a link.
    """
    self._places = places
    self._sha256 = {each.name: each.sha256 for each in records.manifest.shards}
    self._most_bytes = most_bytes
    self._folder = os.path.join(cache_dir, records.manifest.fingerprint)
    self._is_full = False
    self._lock = threading.Lock()
    self._files: dict[int, int] = {}  # descriptors by shard number
    shards = len(self._places.names)
    self._is_complete = np.zeros(shards, bool)
    self._missing = np.bincount(self._places.shard, minlength=shards)
    self._is_kept = np.zeros(len(self._places.ids), bool)
    self._digests = np.zeros((len(self._places.ids), _DIGEST_BYTES), np.uint8)
    try:
      os.makedirs(self._folder, exist_ok=True)
      if os.path.islink(self._folder):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._folder)
      os.utime(self._folder)  # the last one to be removed
      self._caches = cache_folder.CacheFolder(cache_dir, self._folder,
                                              most_bytes)
    except OSError as error:
      raise errors.describe_write(cache_dir, error, _THEN) from error

  def holds(self, rows: np.ndarray) -> np.ndarray:
    """Returns whether read can give rows [n], [n] bool.

    The first call for a shard hashes its file.

    Raises:
      errors.DataError: a file cannot be opened.
    """
    shards = self._places.shard[rows]
    for number in np.unique(shards).tolist():
      with self._lock:
        if number not in self._files:
          self._open(number)
    return self._is_complete[shards] | self._is_kept[rows]

  def read(self, row: int) -> np.ndarray | None:
    """Returns the frame of a row that holds gave, [n] uint8; None if damaged.

    The frame of a complete shard is as it was when the file was hashed, unless
    its checksums are wrong.
    """
    number = int(self._places.shard[row])
    frame = np.empty(self._places.frame_bytes[row], np.uint8)
    try:
      count = os.preadv(self._files[number], [frame],
                        int(self._places.frame[row]))
    except OSError:  # the record is requested again
      count = 0
    if count == len(frame) and (self._is_complete[number] or
                                (_digest(frame) == self._digests[row]).all()):
      return frame
    with self._lock:
      if self._is_kept[row] and not self._is_complete[number]:
        self._is_kept[row] = False
        self._missing[number] += 1
    return None

  def keep(self, row: int, frame: np.ndarray) -> None:
    """Writes the frame of a row, [n] uint8, which has been checked.

    Raises:
      errors.DataError: the row's shard is whole now, and is not the manifest's.
    """
    number = int(self._places.shard[row])
    with self._lock:
      if self._is_kept[row] or self._is_complete[number]:
        return
    try:
      with self._lock:
        if not self._make_room(len(frame)):
          return
      written = os.pwrite(self._files[number], frame,
                          int(self._places.frame[row]))
    except OSError as error:
      self._stop(errors.explain(error))
      return
    if written < len(frame):
      self._stop(os.strerror(errno.ENOSPC))
      return
    digest = _digest(frame)
    with self._lock:
      if self._is_kept[row]:  # by another thread meanwhile
        self._caches.give_back(len(frame))
        return
      self._digests[row] = digest
      self._is_kept[row] = True
      self._missing[number] -= 1
      if not self._missing[number]:
        self._complete(number)

  def _open(self, number: int) -> None:
    """Opens a shard's file, complete or in part."""
    path = os.path.join(self._folder, self._places.names[number])
    try:
      found = _open_file(path, os.O_RDONLY)
      if found is not None:
        if self._is_right(number, found):
          self._is_complete[number] = True
        else:
          os.close(found)
          os.remove(path)
          found = None
      if found is None:
        # Another process may have removed the folder.
        os.makedirs(self._folder, exist_ok=True)
        found = _open_file(path + cache_folder.PART, os.O_RDWR | os.O_CREAT)
    except OSError as error:
      raise errors.describe_write(path, error, _THEN) from error
    self._files[number] = found
    # Not at the exit of the process: other threads may be reading then.
    weakref.finalize(self, os.close, found).atexit = False

  def _is_right(self, number: int, file: int) -> bool:
    """Returns whether a file is the shard, by its size and sha256."""
    if os.fstat(file).st_size != self._places.shard_bytes[number]:
      return False
    digest, place = hashlib.sha256(), 0
    while block := os.pread(file, _BLOCK_BYTES, place):
      digest.update(block)
      place += len(block)
    return digest.hexdigest() == self._sha256[self._places.names[number]]

  def _complete(self, number: int) -> None:
    """Gives a shard's file its name, if its hash is right."""
    path = os.path.join(self._folder, self._places.names[number])
    try:
      if not self._is_right(number, self._files[number]):
        self._refuse_other(number)
        return  # another process wrote to it; what is read is checked
      os.replace(path + cache_folder.PART, path)
    except FileNotFoundError:
      pass  # another process has renamed the same file
    except OSError as error:
      self._stop(errors.explain(error))
      return
    self._is_complete[number] = True

  def _refuse_other(self, number: int) -> None:
    """Raises DataError if a shard's file has the frames that came."""
    rows = np.flatnonzero(self._places.shard == number)
    for row in rows.tolist():
      frame = np.empty(self._places.frame_bytes[row], np.uint8)
      os.preadv(self._files[number], [frame], int(self._places.frame[row]))
      if not (_digest(frame) == self._digests[row]).all():
        return
    raise self._places.describe(
        int(rows[0]), 'the shard at the address has another sha256 than in the '
        'manifest')

  def _make_room(self, num_bytes: int) -> bool:
    """Returns whether so many bytes may be written; they count as written."""
    if self._is_full:
      return False
    fits = self._caches.make_room(num_bytes)
    if not fits:
      size = printable.show_bytes(self._most_bytes)
      self._stop(f'it has reached {size}, of --cache_gb')
    return fits

  def _stop(self, reason: str) -> None:
    """Keeps nothing more, and says so once."""
    if not self._is_full:
      self._is_full = True
      print(
          f'The cache {self._folder} keeps no more records: {reason}. The '
          'others are read from the address in each epoch.',
          file=sys.stderr)


def _digest(frame: np.ndarray) -> np.ndarray:
  found = hashlib.sha256(frame).digest()[:_DIGEST_BYTES]
  return np.frombuffer(found, np.uint8)


def _open_file(path: str, flags: int) -> int | None:
  """Returns the descriptor of a regular file; None if there is none.

  Raises:
    OSError: the path is a link, another kind of file, or cannot be opened.
  """
  try:
    file = os.open(path, flags | _FLAGS, 0o666)
  except FileNotFoundError:
    return None
  if stat.S_ISREG(os.fstat(file).st_mode):
    return file
  os.close(file)
  raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
