"""A dataset at an address to local disk, checked and resumable.

The copy goes through fsspec, whose drivers (s3fs, gcsfs, adlfs, aiohttp) come
with the extra [stage], and works with any TensorFlow, where TensorFlow's own
way to s3:// and az:// works with one version alone (address.py). It lies in
STAGE_DIR/<fingerprint>, so a folder is never two datasets, and another run
finds it whatever the address.

A file's hash is taken while it streams, and the file gets its name only if the
hash is the manifest's. Which files are whole is read from the files: a process
that is killed leaves nothing that the next one believes. Processes that stage
one dataset into one folder take turns, by a lock that ends with its process.
"""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import logging
import math
import os
import shutil
import threading
from typing import Any, Iterator, Sequence

import fsspec

from hpa_records import filesystem
from hpa_records import manifest as manifest_lib
from hpa_records import process
from hpa_records import progress
from hpa_records import schema

CHUNK_BYTES = 8 * 2**20  # in memory once a thread
_THREADS = 8
_LOCK_SUFFIX = '.lock'
_SPARE_BYTES = 64 * 2**20  # left free on the disk
_PACKAGES = {
    's3': 's3fs',
    'gs': 'gcsfs',
    'az': 'adlfs',
    'abfs': 'adlfs',
    'http': 'aiohttp',
    'https': 'aiohttp',
}
# They log each look for credentials, each request, and what they raise anyway.
_TALKATIVE = ('aiobotocore', 'azure', 'botocore', 'gcsfs', 's3fs')
_AZURE_HOST = '.blob.core.windows.net'


def stage(records: str,
          stage_dir: str,
          shards: Sequence[str] | None = None) -> str:
  """Returns a local folder with a copy of the dataset at an address.

  What is there and whole stays; the manifest comes last.

  Args:
    records: address of the dataset, s3://, gs://, az:// or abfs://, http(s)://
      or any other that fsspec has a driver for, or a local path.
    stage_dir: local folder of the copies, made if missing.
    shards: names of those to copy; None copies all.

  Returns:
    The folder of the copy, in stage_dir.

  Raises:
    schema.DataError: the address does not answer or is no dataset, a driver is
      missing, a file is missing or not the manifest's, or the disk is too full.
  """
  source = _Source(records)
  data = source.read(manifest_lib.MANIFEST_NAME)
  made = manifest_lib.parse(data, f'{records}/{manifest_lib.MANIFEST_NAME}')
  directory = os.path.join(stage_dir, made.fingerprint)
  try:
    os.makedirs(directory, exist_ok=True)
  except OSError as error:
    raise schema.DataError(f'Expected a folder to write to, received '
                           f'--stage_dir={stage_dir} ({error}); choose '
                           'another.') from error
  with _locked(directory):
    _Copy(source, directory, _wanted(made, shards)).run()
    filesystem.write_atomically(
        os.path.join(directory, manifest_lib.MANIFEST_NAME), data)
  return directory


def _wanted(made: manifest_lib.Manifest,
            shards: Sequence[str] | None) -> dict[str, tuple[str, int | None]]:
  """Returns {name: (sha256, bytes or None if not known)} of files to copy."""
  known = {shard.name: (shard.sha256, shard.bytes) for shard in made.shards}
  names = known if shards is None else shards
  unknown = [name for name in names if name not in known]
  if unknown:
    raise schema.DataError(f'Expected shards of the manifest, received '
                           f'{unknown[0]!r}.')
  others = {name: (sha256, None) for name, sha256 in made.files.items()}
  return {**{name: known[name] for name in names}, **others}


class _Source:
  """The files of an address, through fsspec; its errors are told."""

  def __init__(self, records: str):
    self._address = records
    if process.is_ours():
      for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scheme = records.partition('://')[0] if '://' in records else 'file'
    url, options = _azure(records) if scheme == 'az' else (records, {})
    try:
      self._files, self._root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
      package = _PACKAGES.get(scheme)
      missing = f'pip install {package}' if package else error
      raise schema.DataError(f'Expected the driver of {scheme}://, found none; '
                             f'{missing}.') from error
    except ValueError as error:
      raise schema.DataError(
          f'Expected an address of {"://, ".join(_PACKAGES)}:// or another '
          f'scheme of fsspec, received {records} ({error}).') from error
    except Exception as error:  # pylint: disable=broad-exception-caught
      raise self._told('', error) from error  # drivers log in when made

  def read(self, name: str) -> bytes:
    """Returns a small file's content."""
    with self._telling(name):
      return self._files.cat_file(self._path(name))

  def size(self, name: str) -> int:
    """Returns a file's size in bytes, 0 where the server does not say it."""
    with self._telling(name):
      return self._files.info(self._path(name)).get('size') or 0

  def chunks(self, name: str) -> Iterator[bytes]:
    """Yields a file's content, CHUNK_BYTES at a time."""
    with self._telling(name), self._files.open(self._path(name),
                                               'rb',
                                               block_size=CHUNK_BYTES,
                                               cache_type='none') as file:
      while chunk := file.read(CHUNK_BYTES):
        yield chunk

  def _path(self, name: str) -> str:
    return f'{self._root}/{name}'

  @contextlib.contextmanager
  def _telling(self, name: str) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # pylint: disable=broad-exception-caught
      raise self._told(name, error) from error  # each driver has its own kinds

  def _told(self, name: str, error: Exception) -> schema.DataError:
    path = f'{self._address}/{name}'
    if isinstance(error, FileNotFoundError):
      return schema.DataError(
          f'Expected {path}, received none; check the address, and that the '
          'whole folder was copied there.')
    reason = (str(error).splitlines() or [''])[0].rstrip('.')
    return schema.DataError(
        f'Expected {path} to answer, received {type(error).__name__}: {reason};'
        ' check the rights and the network; the same command goes on where '
        'this one stopped.')


def _azure(records: str) -> tuple[str, dict[str, Any]]:
  """Returns adlfs's address and options of one that tensorflow-io reads too.

  az://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER means one place to both;
  of az://CONTAINER/FOLDER adlfs takes the account from the environment.
  """
  host, _, path = records.removeprefix('az://').partition('/')
  if not host.endswith(_AZURE_HOST):
    return records, {}
  return f'az://{path}', {'account_name': host.removesuffix(_AZURE_HOST)}


class _Stopped(Exception):
  """Another thread has failed."""


class _Copy:
  """One run of copying: threads, progress, the first error."""

  def __init__(self, source: _Source, directory: str,
               wanted: dict[str, tuple[str, int | None]]):
    self._source, self._directory = source, directory
    self._wanted = {
        name: (sha256, source.size(name) if size is None else size)
        for name, (sha256, size) in wanted.items()
    }
    self._stop, self._lock = threading.Event(), threading.Lock()
    self._bar, self._done = None, 0

  def run(self) -> None:
    """Copies what is not there; returns when all of it is."""
    self._check_disk()
    total = sum(size for _, size in self._wanted.values())
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
    """Copies one file, unless it is there and whole."""
    path = os.path.join(self._directory, name)
    sha256, size = self._wanted[name]
    there = filesystem.size(path)
    if there is not None and size in (there, 0):
      if self._read(self._local(path)) == sha256:
        return
      self._count(-there)
    with filesystem.atomic_writer(path) as file:
      found = self._read(self._source.chunks(name), file)
      if found != sha256:
        raise schema.DataError(
            f'Expected {name} with sha256 {sha256}, received another one, '
            f'{found}; copy the file to the address again.')

  def _read(self, chunks: Iterator[bytes], file=None) -> str:
    """Returns the sha256 of what the chunks hold; writes them to a file."""
    digest = hashlib.sha256()
    with contextlib.closing(chunks):
      for chunk in chunks:
        if self._stop.is_set():
          raise _Stopped
        digest.update(chunk)
        if file:
          file.write(chunk)
        self._count(len(chunk))
    return digest.hexdigest()

  def _local(self, path: str) -> Iterator[bytes]:
    with open(path, 'rb') as file:
      while chunk := file.read(CHUNK_BYTES):
        yield chunk

  def _count(self, count: int, last: bool = False) -> None:
    """Moves the bar by whole megabytes; a part of one counts at the end."""
    with self._lock:
      before = self._done // 10**6
      self._done += count
      now = math.ceil(self._done / 1e6) if last else self._done // 10**6
      if now != before:
        self._bar.advance(now - before)

  def _check_disk(self) -> None:
    """Checks that what is missing fits on the disk, before anything is read."""
    missing = sum(
        size for name, (_, size) in self._wanted.items()
        if filesystem.size(os.path.join(self._directory, name)) != size)
    free = shutil.disk_usage(self._directory).free
    if missing + _SPARE_BYTES > free:
      raise schema.DataError(
          f'Expected {(missing + _SPARE_BYTES) / 1e9:.2f} GB free at '
          f'{self._directory}, received {free / 1e9:.2f}; make room, or choose '
          'another --stage_dir.')


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
  """Holds the folder's lock; waits for the process that has it."""
  with open(directory + _LOCK_SUFFIX, 'wb') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(f'Waiting for another process that copies to {directory}.',
            flush=True)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield
