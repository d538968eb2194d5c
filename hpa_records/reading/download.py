"""Downloads a dataset from an address to local disk; verified and resumable.

The copy is in STAGE_DIR/<fingerprint>, so each dataset has its own folder,
whatever its address.

A file is hashed while it streams and gets its name only if the hash is the
manifest's. Existing files are hashed again. Processes that download a dataset
to the same folder take turns, by a file lock.

Neither server nor folder is trusted: names must fit manifest_form, reading
stops at a file's maximum size, and links and folders with a file's name are
refused.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import math
import os
import re
import shutil
import stat
import threading
from typing import BinaryIO, Callable, Iterable, Iterator, Sequence

from hpa_records.format import manifest as manifest_lib
from hpa_records.format import manifest_form
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import progress
from hpa_records.storage import driver
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import remote_file

_THREADS = 8
LOCK_SUFFIX = '.lock'
_THEN = 'Or choose another --stage_dir; complete files are kept.'
_SPARE_BYTES = 64 * 2**20  # left free on the disk


def stage(records: str,
          stage_dir: str,
          shards: Sequence[str] | None = None) -> str:
  """Downloads a dataset to a local folder and returns the folder.

  Valid files that exist are kept. The manifest is written last.

  Args:
    records: address of the dataset: s3://, gs://, az://, abfs://, http(s):// or
      any other that fsspec has a driver for; or a local path.
    stage_dir: local folder of the downloads; created if missing.
    shards: names of the shards to download; None downloads all.

  Returns:
    STAGE_DIR/<fingerprint>.

  Raises:
    errors.DataError: the address cannot be read or has no dataset, a driver is
      missing, a file is missing or has another hash, the disk is full, or a
      link has the name of a file.
  """
  records = driver.strip_file(records)
  path = f'{records}/{manifest_lib.MANIFEST_NAME}'
  data = filesystem.read_at_most(path, manifest_form.MAX_BYTES, 'a manifest')
  made = manifest_lib.parse(data, path)
  directory = os.path.join(stage_dir, made.fingerprint)
  wanted = _wanted(made, shards)
  try:
    os.makedirs(directory, exist_ok=True)
    _check_place(directory, stat.S_ISDIR)
    with file_lock.hold(directory + LOCK_SUFFIX,
                        f'Waiting for another process that downloads to '
                        f'{directory}',
                        waits=True):
      for name in (*wanted, manifest_lib.MANIFEST_NAME):
        _check_place(os.path.join(directory, name), stat.S_ISREG)
      _tidy(directory, wanted)
      _Download(records, directory, wanted).run()
      filesystem.write_atomically(
          os.path.join(directory, manifest_lib.MANIFEST_NAME), data)
  except OSError as error:
    raise errors.describe_write(stage_dir, error, _THEN) from error
  return directory


def _check_place(path: str, is_right: Callable[[int], bool]) -> None:
  """Refuses a path that exists and is a link or of another kind."""
  try:
    is_valid = is_right(os.lstat(path).st_mode)
  except FileNotFoundError:
    return
  if not is_valid:
    raise errors.DataError(
        f'{path} is a link, or not a regular file or folder as expected; '
        'remove it, or choose another --stage_dir.')


def _tidy(directory: str, wanted: Iterable[str]) -> None:
  """Removes the temporary files of killed downloads."""
  names = '|'.join(map(re.escape, (*wanted, manifest_lib.MANIFEST_NAME)))
  temporary = re.compile(rf'({names})\.[0-9a-f]{{8}}'
                         rf'{re.escape(filesystem.TEMPORARY_SUFFIX)}')
  for entry in os.scandir(directory):
    if temporary.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
      os.remove(entry.path)


def _wanted(made: manifest_lib.Manifest,
            shards: Sequence[str] | None) -> dict[str, '_File']:
  """Returns the files to download, by name."""
  known = {
      each.name: _File(each.sha256, each.bytes, each.bytes)
      for each in made.shards
  }
  names = known if shards is None else shards
  unknown = [name for name in names if name not in known]
  if unknown:
    raise errors.DataError(f'The manifest has no shard {unknown[0]!r}.')
  others = {
      name: _File(sha256, None, made.most_bytes(name))
      for name, sha256 in made.files.items()
  }
  return {**{name: known[name] for name in names}, **others}


@dataclasses.dataclass(frozen=True)
class _File:
  """A file to download.

  Attributes:
    sha256: hex digest.
    bytes: size; None if unknown, 0 if the server does not know it either.
    most_bytes: maximum size.
  """
  sha256: str
  bytes: int | None
  most_bytes: int


class _Stopped(Exception):
  """Another thread has failed."""


class _Download:
  """One download: threads, progress bar, first error."""

  def __init__(self, records: str, directory: str, wanted: dict[str, _File]):
    self._records, self._directory = records, directory
    self._wanted = {
        name:
            dataclasses.replace(file, bytes=self._size(name))
            if file.bytes is None else file for name, file in wanted.items()
    }
    self._stop, self._lock = threading.Event(), threading.Lock()
    self._bar, self._done = None, 0

  def run(self) -> None:
    """Downloads all missing files; returns when they are complete."""
    self._check_disk()
    total = sum(file.bytes for file in self._wanted.values())
    pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
    size_mb = math.ceil(total / 1e6)
    with pool, progress.Bar('stage', size_mb, 'MB') as self._bar:
      waiting = [pool.submit(self._file, name) for name in self._wanted]
      try:
        for done in concurrent.futures.as_completed(waiting):
          done.result()
      except BaseException:
        self._stop.set()
        pool.shutdown(cancel_futures=True)
        raise
      self._count(0, last=True)

  def _file(self, name: str) -> None:
    """Downloads one file, unless it exists and is valid."""
    path = os.path.join(self._directory, name)
    wanted = self._wanted[name]
    size = filesystem.size(path)
    if size is not None and wanted.bytes in (size, 0):
      if self._read(path, wanted.most_bytes) == wanted.sha256:
        return
      self._count(-size)
    try:
      with filesystem.atomic_writer(path) as file:
        found = self._read(f'{self._records}/{name}', wanted.most_bytes, file)
        if found != wanted.sha256:
          raise errors.DataError(
              f'Expected {name} with sha256 {wanted.sha256}, received {found}; '
              'copy the file to the address again.')
    except OSError as error:
      raise errors.describe_write(path, error, _THEN) from error

  def _read(self,
            path: str,
            most_bytes: int,
            file: BinaryIO | None = None) -> str:
    """Returns the hex digest of a file's content; writes it to the other file.

    Stops above most_bytes and returns a text that is not a digest.
    """
    digest = hashlib.sha256()
    with contextlib.closing(self._chunks(path)) as chunks:
      for chunk in chunks:
        if self._stop.is_set():
          raise _Stopped
        most_bytes -= len(chunk)
        if most_bytes < 0:
          return 'a file that is too large'
        digest.update(chunk)
        if file:
          file.write(chunk)
        self._count(len(chunk))
    return digest.hexdigest()

  def _chunks(self, path: str) -> Iterator[memoryview]:
    try:
      yield from filesystem.chunks(path)
    except OSError as error:
      raise errors.describe_read(path, error) from error

  def _size(self, name: str) -> int:
    try:
      return filesystem.size(f'{self._records}/{name}') or 0
    except remote_file.UnknownSizeError:
      return 0

  def _count(self, count: int, last: bool = False) -> None:
    """Advances the bar by full megabytes; the last one may be partial."""
    with self._lock:
      before = self._done // 10**6
      self._done += count
      now = math.ceil(self._done / 1e6) if last else self._done // 10**6
      if now != before:
        self._bar.advance(now - before)

  def _check_disk(self) -> None:
    """Checks that the missing files fit on the disk."""
    missing = _SPARE_BYTES + sum(
        file.bytes
        for name, file in self._wanted.items()
        if filesystem.size(os.path.join(self._directory, name)) != file.bytes)
    free = shutil.disk_usage(self._directory).free
    if missing > free:
      raise errors.DataError(
          f'Not enough free disk space for {self._directory}: '
          f'{printable.show_bytes(missing)} are needed, '
          f'{printable.show_bytes(free)} are free. Make room, or choose '
          'another --stage_dir.')
