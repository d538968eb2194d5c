"""Reading and writing of files, local or remote; the only access to storage.

A path is local, or an address such as s3://bucket/folder. Local files are read
and written by the operating system, addresses by fsspec (see driver, request).

Local files are written under a temporary name and renamed when they are
complete, so no reader sees a partial file. rename is atomic within one folder
(POSIX); the data are flushed to disk before it, so a power failure cannot leave
the final name on an empty file. For an address the temporary file is on the
local disk and is uploaded when it is complete; an object store shows it only
after its last byte.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import io
import os
import stat
import tempfile
import uuid
from typing import BinaryIO, Callable, Iterator

from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import remote_file
from hpa_records.storage import request
from hpa_records.storage import storage_error

TEMPORARY_SUFFIX = '.tmp'
_READ_BYTES = 2**20
_SMALL_BYTES = 256 * 2**20
_MOST_BYTES = 2**30  # that are read into memory at once
# Errors of a path where no file can exist.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
# The page cache keeps data in units as large as the writes; copying from small
# ones takes a fifth longer.
_WRITE_BYTES = 2**22
_START_WRITE = 2  # Linux's SYNC_FILE_RANGE_WRITE


def is_remote(path: str) -> bool:
  """Returns whether the path is an address such as gs://bucket/folder."""
  return driver.is_address(path)


def open_read(path: str, buffered: bool = True) -> BinaryIO:
  """Returns a seekable binary file, a context manager.

  Args:
    path: local or an address.
    buffered: False reads only the requested bytes of a local file.

  Raises:
    OSError: a local file cannot be opened, or is a pipe or a device; for an
      address the first read or seek raises it, as StorageError.
    errors.DataError: the address's scheme is not supported.
  """
  if is_remote(path):
    return remote_file.RemoteFile(path)
  mode = os.stat(path).st_mode
  # A pipe may block, and can be read only once. open() raises for folders.
  if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
    raise OSError(errno.ESPIPE, 'a pipe or a device', path)
  return open(path, 'rb', buffering=-1 if buffered else 0)


def read_bytes(path: str, most_bytes: int = _MOST_BYTES) -> bytes:
  """Returns a file's content.

  Args:
    path: path or address.
    most_bytes: largest size. A web server may send more than it says, without
      end.

  Raises:
    OSError: the file cannot be read, or is larger (EFBIG).
    errors.DataError: the address's scheme is not supported.
  """
  content = []
  if driver.is_web(path):
    with contextlib.closing(chunks(path)) as parts:
      for part in parts:
        content.append(bytes(part))
        most_bytes -= len(part)
        if most_bytes < 0:
          break
  else:
    with open_read(path, buffered=False) as file:
      most_bytes -= file.seek(0, os.SEEK_END)
      file.seek(0)
      if most_bytes >= 0:
        content.append(file.read())
  if most_bytes < 0:
    raise OSError(errno.EFBIG, 'the file is too large', path)
  return b''.join(content)


def read_at_most(path: str, most_bytes: int, kind: str) -> bytes:
  """Returns the content of a user's file.

  Args:
    path: path or address.
    most_bytes: largest size.
    kind: what the file should be, for the message.

  Raises:
    errors.DataError: the file cannot be read, or is larger.
  """
  try:
    return read_bytes(path, most_bytes)
  except OSError as error:
    if error.errno == errno.EFBIG:
      raise errors.DataError(
          f'{path} is too large for {kind}: over '
          f'{most_bytes:,} bytes; pass another file.') from error
    raise errors.describe_read(path, error) from error


def read_small(path: str) -> bytes | None:
  """Returns a small file's content; None if it does not exist.

  None also for a file over 256 MiB, a pipe and a device.

  Raises:
    OSError: the file cannot be read.
    errors.DataError: the address's scheme is not supported.
  """
  num_bytes = size(path)
  if num_bytes is None or num_bytes > _SMALL_BYTES:
    return None
  return read_bytes(path, _SMALL_BYTES)


def sha256(path: str) -> str:
  """Returns the sha256 of a file's content as hex digits.

  Raises:
    OSError: the file cannot be read.
  """
  digest = hashlib.sha256()
  for chunk in chunks(path):
    digest.update(chunk)
  return digest.hexdigest()


def chunks(path: str) -> Iterator[memoryview]:
  """Yields a file's content in pieces, each valid until the next one.

  A web server needs not support byte ranges.

  Raises:
    OSError: the file cannot be read.
    errors.DataError: the address's scheme is not supported.
  """
  if driver.is_web(path):
    yield from request.stream(path)
    return
  block = memoryview(bytearray(_READ_BYTES))
  with open_read(path, buffered=False) as file:
    while count := file.readinto(block):
      yield block[:count]


def size(path: str) -> int | None:
  """Returns a file's size in bytes; None if the file does not exist.

  Raises:
    errors.DataError: the path cannot be accessed, or its scheme is not
      supported.
  """
  if is_remote(path):
    return remote_file.size(path)
  try:
    found = os.stat(path)
  except OSError as error:
    if error.errno in _NO_FILE:
      return None
    raise errors.describe_read(path, error) from error
  return found.st_size if stat.S_ISREG(found.st_mode) else None


def exists(path: str) -> bool:
  """Returns whether there is a file at a path, also a link without target."""
  if is_remote(path):
    return remote_file.size(path) is not None
  return os.path.lexists(path)


def stamp(path: str) -> list[int | str] | None:
  """Returns a file's size in bytes and what its content changes with.

  None if unknown. Of a local file it is mtime and ctime in ns: ctime reveals a
  file that replaced another and was given its mtime. Of an address it is what
  the store has of a version, an ETag, a generation number and a time.
  """
  try:
    if is_remote(path):
      return remote_file.stamp(path)
    found = os.stat(path)
  except OSError:  # reported with its reason when the file is read
    return None
  if not stat.S_ISREG(found.st_mode):
    return None
  return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def remove(path: str) -> None:
  """Removes a file if it exists."""
  if is_remote(path):
    with contextlib.suppress(storage_error.MissingError):
      request.run(path, 'rm_file')
  else:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)


def flush_folder(path: str) -> None:
  """Flushes the names in a local folder to disk."""
  folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
  try:
    os.fsync(folder)
  except OSError as error:
    # Some network file systems do not support this, nor need it.
    if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
      raise
  finally:
    os.close(folder)


def temporary_name(path: str, folder: str = '') -> str:
  """Returns a unique temporary name for the file path.

  Args:
    path: of the final file.
    folder: of the temporary file; '' is the folder of path.
  """
  name = f'{os.path.basename(path)}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}'
  return os.path.join(folder or os.path.dirname(path), name)


class _EarlyWriter(io.FileIO):
  """Starts to copy each piece to the disk when it is written.

  The disk works while the next piece is made, and fsync waits for the last one:
  after 16 MiB 0.3 ms in place of 7.
  """

  def write(self, data) -> int:
    """Writes bytes, as io.FileIO does; returns their number."""
    count = super().write(data)
    start_write = _find_start_write()
    if start_write:  # fsync reports the errors
      start_write(self.fileno(), self.tell() - count, count, _START_WRITE)
    return count


@functools.cache
def _find_start_write() -> Callable[[int, int, int, int], int] | None:
  """Returns Linux's sync_file_range; None elsewhere."""
  with contextlib.suppress(OSError, AttributeError, TypeError):
    found = ctypes.CDLL(None).sync_file_range
    found.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64,
                      ctypes.c_uint)
    return found
  return None


@contextlib.contextmanager
def atomic_writer(path: str,
                  temporary_folder: str = '',
                  flushed: bool = True) -> Iterator[BinaryIO]:
  """Yields a binary file that gets the name path when the block succeeds.

  If the block raises, the temporary file is removed and path is unchanged. A
  killed process leaves its temporary file, whose name is unique.

  Args:
    path: of the file to write.
    temporary_folder: of the temporary file, on the same disk; '' is the folder
      of path.
    flushed: False does not wait for the disk. After a power failure the file
      may then be missing or have zeros, so its reader must verify it.
  """
  if is_remote(path):
    driver.require_writable(path)
    with tempfile.NamedTemporaryFile(prefix='hpa-upload-') as file:
      yield file
      file.flush()
      request.run(path, 'put_file', file.name)
    return
  temporary = temporary_name(path, temporary_folder)
  try:
    # 'x' does not follow a link of that name.
    with io.BufferedWriter(_EarlyWriter(temporary, 'xb'), _WRITE_BYTES) as file:
      yield file
      if flushed:
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if flushed:
      flush_folder(os.path.dirname(path) or os.curdir)
  except BaseException:
    remove(temporary)
    raise


def write_atomically(path: str,
                     data: bytes,
                     temporary_folder: str = '',
                     flushed: bool = True) -> None:
  """Writes data to path, all or nothing; see atomic_writer."""
  with atomic_writer(path, temporary_folder, flushed) as file:
    file.write(data)
