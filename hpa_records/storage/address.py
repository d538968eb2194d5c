"""Addresses such as gs://bucket/folder: which this TensorFlow reads and writes.

gs:// is built into TensorFlow. s3://, az:// and http(s):// come with
tensorflow-io, to read only (its writes to S3 hung), where the two fit together;
where they do not, download.py copies through other drivers. What TensorFlow
raises becomes one line.
"""

import contextlib
import io
import os
import re
from typing import Iterator

from hpa_records.runtime import errors

_BUILT_IN = ('gs', 'ram', 'file')  # ram: memory of the process, for tests
_WITH_IO = ('s3', 'az', 'http', 'https')
_WITHOUT_FOLDERS = ('http', 'https')
_BLOCK_BYTES = 8 * 2**20

# What TensorFlow wraps an error's text in: places in its graph; a page of HTML.
_WRAPPING = re.compile(r'\{\{.*?\}\}[ :]*|^: |\[Op:.*|\[\[.*| with body .*')
_STACK = '<stack traces unavailable>'


class StorageError(errors.DataError, OSError):
  """An address cannot be read or written; the message says which and why."""


def is_address(path: str) -> bool:
  """Returns whether the path is an address, with a scheme such as gs://."""
  return '://' in path


def has_folders(path: str) -> bool:
  """Returns whether folders can be listed where the path, or address, is."""
  return _scheme(path) not in _WITHOUT_FOLDERS


def size(path: str) -> int | None:
  """Returns a file's size in bytes; None where there is no such file.

  Raises:
    errors.DataError: the address does not answer, or nothing here reads it.
  """
  files = gfile(path)
  with told_errors(path):
    # One request; gfile.exists and isdir would be two more.
    with contextlib.suppress(_errors().NotFoundError):
      found = files.stat(path)
      return None if found.is_directory else found.length
  return None


def stamp(path: str) -> list[int]:
  """Returns a file's size and its time in ns.

  Raises:
    StorageError: it is not there, or the address does not answer.
  """
  with told_errors(path):
    found = gfile(path).stat(path)
  return [found.length, found.mtime_nsec]


def _errors():
  from hpa_records.runtime import tensorflow  # pylint: disable=import-outside-toplevel
  return tensorflow.tf.errors


def _scheme(path: str) -> str:
  return path.partition('://')[0]


def gfile(path: str, write: bool = False):
  """Returns TensorFlow's files, which know the address.

  Raises:
    errors.DataError: nothing knows the scheme, or this TensorFlow does not.
  """
  scheme = _scheme(path)
  if scheme not in _BUILT_IN + _WITH_IO:
    raise errors.DataError(
        'Expected a local path or an address of gs://, s3://, az://, http:// or'
        f' https://, received {path}; copy the files to local disk first.')
  if write and scheme in _WITH_IO:
    raise errors.DataError(
        f'Expected a local path or gs:// to write to, received {path}; write to'
        f' local disk, then copy the finished folder to {scheme}://.')
  from hpa_records.runtime import tensorflow  # pylint: disable=import-outside-toplevel
  if not tensorflow.has_scheme(scheme):
    raise errors.DataError(
        f'Expected a TensorFlow that reads {scheme}://, received '
        f'{tensorflow.tf.__version__} without a tensorflow-io that fits; copy '
        'the '
        'records with trainer.main --stage_dir=DIR, which any TensorFlow can, '
        'or use an environment (Python 3.10 to 3.12) with '
        'pip install "hpa-records[io]", which has TensorFlow 2.17.1.')
  return tensorflow.tf.io.gfile


@contextlib.contextmanager
def told_errors(path: str, naming: str = '') -> Iterator[None]:
  """Tells what TensorFlow raises about an address in one line.

  Args:
    path: that the block reads or writes; nothing is done where it is local.
    naming: only errors that name this are about the address.

  Raises:
    StorageError: in place of TensorFlow's error.
  """
  if not is_address(path):
    yield
    return
  # az:// raises RuntimeError where no server answers.
  kinds = (_errors().OpError,
           *([RuntimeError] if _scheme(path) in _WITH_IO else []))
  try:
    yield
  except kinds as error:
    message = getattr(error, 'message', str(error))
    if naming not in message:
      raise
    raise StorageError(f'Cannot access {path}: '
                       f'{type(error).__name__}: {_reason(message)}; check the '
                       'address, the rights and the network, and run the same '
                       'command again.') from error


def _reason(message: str) -> str:
  """The first line that says something, without places in a graph."""
  lines = message.rpartition(_STACK)[2].splitlines()
  told = [
      line for line in (_WRAPPING.sub('', l).strip() for l in lines) if line
  ]
  return (told or ['no reason'])[0].rstrip('.')


class ReadFile(io.RawIOBase):
  """TensorFlow's file as one of Python's, whose errors are told."""

  def __init__(self, path: str):
    super().__init__()
    self._path = path
    self._file = gfile(path).GFile(path, 'rb')

  def readable(self) -> bool:
    """As io.RawIOBase: always."""
    return True

  def seekable(self) -> bool:
    """As io.RawIOBase: always."""
    return True

  def readinto(self, buffer) -> int:
    """As io.RawIOBase."""
    data = self._read(len(buffer))
    buffer[:len(data)] = data
    return len(data)

  def readall(self) -> bytes:
    """As io.RawIOBase."""
    # The file's own read() of all finds a missing one of az:// empty.
    return b''.join(iter(lambda: self._read(_BLOCK_BYTES), b''))

  def _read(self, size_bytes: int) -> bytes:
    with told_errors(self._path):
      return self._file.read(size_bytes)

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """As io.RawIOBase, in bytes."""
    with told_errors(self._path):
      self._file.seek(offset, whence)
      return self._file.tell()

  def close(self) -> None:
    """As io.RawIOBase; closes TensorFlow's file too."""
    if not self.closed:
      self._file.close()
    super().close()
