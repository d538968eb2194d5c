"""Where files come from and go to; the one seam to other storage.

A path is local, or an address such as gs://bucket/folder. Local files take the
operating system's own way; addresses take TensorFlow's filesystems, which are
imported when the first address is met, so that local work starts without
TensorFlow; address.py says which there are.

Everything is written under a temporary name and renamed when it is whole, so
that no reader ever sees half a file: rename is atomic within one local folder
(POSIX), and the data is flushed to the disk before it, so that a power cut
cannot leave a whole name on an empty file. An object store shows an object
when it is closed, and not before.
"""

import contextlib
import errno
import hashlib
import io
import os
import stat
import uuid
from typing import BinaryIO, Iterator

from hpa_records.runtime import errors
from hpa_records.storage import address

TEMPORARY_SUFFIX = '.tmp'
_READ_BYTES = 2**20
_SMALL_BYTES = 2**28
# What the system says of a path under which there is none.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
# The kernel keeps what is written in pieces as large as the writes; copying
# from small ones takes a fifth longer.
_WRITE_BYTES = 2**22


def is_remote(path: str) -> bool:
  """Returns whether the path is an address such as gs://bucket/folder."""
  return address.is_address(path)


def has_folders(path: str) -> bool:
  """Returns whether folders can be listed where the path is."""
  return address.has_folders(path)


def open_read(path: str, buffered: bool = True) -> BinaryIO:
  """Returns a binary file to read and seek in, a context manager.

  Args:
    path: local or an address.
    buffered: False reads of a local file just the bytes that are asked for.

  Raises:
    OSError: a local file cannot be opened, or is a pipe or a device, which
      would be waited for and can be read once; at an address the first read or
      seek raises it, as StorageError.
    errors.DataError: nothing here reads the address.
  """
  if is_remote(path):
    return io.BufferedReader(address.ReadFile(path), _READ_BYTES)
  mode = os.stat(path).st_mode
  if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # open tells of folders
    raise OSError(errno.ESPIPE, 'a pipe or a device', path)
  return open(path, 'rb', buffering=-1 if buffered else 0)


def read_bytes(path: str) -> bytes:
  """Returns a file's content.

  Raises:
    OSError: the file cannot be read.
    errors.DataError: nothing here reads the address.
  """
  with open_read(path, buffered=False) as file:
    return file.read()


def read_small(path: str) -> bytes | None:
  """Returns a small file's content.

  None where there is no file, or one larger than any that a command notes
  something in; a pipe or a device would be waited for, or never end.

  Raises:
    OSError: the file cannot be read.
    errors.DataError: nothing here reads the address.
  """
  num_bytes = size(path)
  if num_bytes is None or num_bytes > _SMALL_BYTES:
    return None
  return read_bytes(path)


def sha256(path: str) -> str:
  """Returns the hex digest of a file's content.

  Raises:
    OSError: a local file cannot be read.
  """
  digest, block = hashlib.sha256(), memoryview(bytearray(_READ_BYTES))
  with open_read(path, buffered=False) as file:
    while count := file.readinto(block):
      digest.update(block[:count])
  return digest.hexdigest()


def size(path: str) -> int | None:
  """Returns a file's size in bytes; None where there is no such file.

  Raises:
    errors.DataError: it cannot be told, as in a folder that may not be
      entered; the address does not answer, or nothing here reads it.
  """
  if is_remote(path):
    return address.size(path)
  try:
    found = os.stat(path)
  except OSError as error:
    if error.errno in _NO_FILE:
      return None
    raise errors.describe_read(path, error) from error
  return found.st_size if stat.S_ISREG(found.st_mode) else None


def stamp(path: str) -> list[int] | None:
  """Returns a file's size and, in ns, its times; None where they cannot be had.

  The times are those of the last change of the content and, of a local file,
  of anything: the second shows a file that was put in place of another one
  with the time of that.
  """
  try:
    if is_remote(path):
      return address.stamp(path)
    found = os.stat(path)
  except OSError:  # told with its reason when the file is read
    return None
  if not stat.S_ISREG(found.st_mode):
    return None
  return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def remove(path: str) -> None:
  """Removes a file, if it is there."""
  if is_remote(path):
    with address.told_errors(path):
      if address.gfile(path, write=True).exists(path):
        address.gfile(path).remove(path)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)


def rename(source: str, target: str) -> None:
  """Gives a file another name, in place of a file that has it.

  When this returns, a power cut does not take the new name back.
  """
  if is_remote(source):
    with address.told_errors(source):
      address.gfile(source, write=True).rename(source, target, overwrite=True)
  else:
    os.replace(source, target)
    _flush_folder(os.path.dirname(target) or os.curdir)


def _flush_folder(path: str) -> None:
  """Has the disk keep what names a local folder has."""
  folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
  try:
    os.fsync(folder)
  except OSError as error:
    # Some network file systems have no such call, and need none.
    if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
      raise
  finally:
    os.close(folder)


def temporary_name(path: str, folder: str = '') -> str:
  """Returns a new name for what becomes a file, in its folder or another."""
  name = f'{os.path.basename(path)}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}'
  return os.path.join(folder or os.path.dirname(path), name)


class _BufferWriter:
  """Takes whatever has bytes, as local files do; GFile wants the type."""

  def __init__(self, file):
    self._file = file

  def write(self, data) -> None:
    """Writes an object with the buffer protocol."""
    self._file.write(bytes(data))


@contextlib.contextmanager
def atomic_writer(path: str, temporary_folder: str = '') -> Iterator[BinaryIO]:
  """Yields a binary file that takes the name path when the block succeeds.

  When the block raises, the temporary file is removed and path is as before.
  Of a killed process it stays; it has a name of its own, so that two processes
  that write the same path do not write into one file.

  Args:
    path: of the file to write.
    temporary_folder: where the unfinished file lies, on the same disk; by
      default beside the finished file.
  """
  temporary = temporary_name(path, temporary_folder)
  gfile = address.gfile(path, write=True) if is_remote(path) else None
  try:
    if gfile:
      with address.told_errors(path), gfile.GFile(temporary, 'wb') as file:
        yield _BufferWriter(file)
    else:
      # 'x' makes the file: a link under its name is not followed.
      with open(temporary, 'xb', _WRITE_BYTES) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    rename(temporary, path)
  except BaseException:
    remove(temporary)
    raise


def write_atomically(path: str,
                     data: bytes,
                     temporary_folder: str = '') -> None:
  """Writes data to path, whole or not at all; see atomic_writer."""
  with atomic_writer(path, temporary_folder) as file:
    file.write(data)
