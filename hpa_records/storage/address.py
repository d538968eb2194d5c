"""Files at addresses such as gs://bucket/folder, through TensorFlow.

gs:// is built into TensorFlow. s3://, az:// and http(s):// need a compatible
tensorflow-io and are read-only, since its writes to S3 hung. Without one,
reading/download.py copies through other drivers. TensorFlow's errors become
one line.
"""

import contextlib
import io
import os
import re
from typing import Iterator

from hpa_records.runtime import errors

_BUILT_IN = ('gs', 'ram', 'file')  # ram: in the process's memory, for tests
_WITH_IO = ('s3', 'az', 'http', 'https')
_WITHOUT_FOLDERS = ('http', 'https')
_BLOCK_BYTES = 8 * 2**20

# Around the reason in TensorFlow's messages: graph positions, an HTML page.
_WRAPPING = re.compile(r'\{\{.*?\}\}[ :]*|^: |\[Op:.*|\[\[.*| with body .*')
_STACK = '<stack traces unavailable>'


class StorageError(errors.DataError, OSError):
  """An address cannot be read or written; the message says which and why."""


def is_address(path: str) -> bool:
  """Returns whether the path is an address, with a scheme such as gs://."""
  return '://' in path


def has_folders(path: str) -> bool:
  """Returns whether folders can be listed at a path or address."""
  return _scheme(path) not in _WITHOUT_FOLDERS


def size(path: str) -> int | None:
  """Returns a file's size in bytes; None if the file does not exist.

  Raises:
    errors.DataError: the address cannot be accessed, or its scheme is not
      supported.
  """
  files = gfile(path)
  with translate_errors(path):
    # One request; gfile.exists and isdir would be two more.
    with contextlib.suppress(_errors().NotFoundError):
      found = files.stat(path)
      return None if found.is_directory else found.length
  return None


def stamp(path: str) -> list[int]:
  """Returns a file's size in bytes and its modification time in ns.

  Raises:
    StorageError: the file does not exist, or cannot be accessed.
  """
  with translate_errors(path):
    found = gfile(path).stat(path)
  return [found.length, found.mtime_nsec]


def _errors():
  from hpa_records.runtime import tensorflow  # pylint: disable=import-outside-toplevel
  return tensorflow.tf.errors


def _scheme(path: str) -> str:
  return path.partition('://')[0]


def gfile(path: str, write: bool = False):
  """Returns tf.io.gfile, after checking that it supports the address.

  Args:
    path: an address.
    write: whether the address is to be written.

  Raises:
    errors.DataError: the scheme is not supported, or not by this TensorFlow.
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
        f'TensorFlow {tensorflow.tf.__version__} cannot read {scheme}:// '
        'without a compatible tensorflow-io; copy the files to local disk '
        'first (records: trainer.main --stage_dir=DIR does that), or use an '
        'environment (Python 3.10 to 3.12) with pip install "hpa-records[io]", '
        'which has TensorFlow 2.17.1.')
  return tensorflow.tf.io.gfile


@contextlib.contextmanager
def translate_errors(path: str, naming: str = '') -> Iterator[None]:
  """Raises TensorFlow's errors of a block as one-line errors.

  Args:
    path: read or written by the block; a local path has no effect.
    naming: only errors whose message contains this text are translated.

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
                       'address, the permissions and the network, then run the '
                       'same command again.') from error


def _reason(message: str) -> str:
  """Returns the first line with a reason, without graph positions."""
  lines = message.rpartition(_STACK)[2].splitlines()
  reasons = [
      line for line in (_WRAPPING.sub('', l).strip() for l in lines) if line
  ]
  return (reasons or ['no reason given'])[0].rstrip('.')


class ReadFile(io.RawIOBase):
  """A Python file object over a TensorFlow file; raises StorageError."""

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
    # GFile.read() without a size returns b'' for a missing file at az://.
    return b''.join(iter(lambda: self._read(_BLOCK_BYTES), b''))

  def _read(self, size_bytes: int) -> bytes:
    with translate_errors(self._path):
      return self._file.read(size_bytes)

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """As io.RawIOBase, in bytes."""
    with translate_errors(self._path):
      self._file.seek(offset, whence)
      return self._file.tell()

  def close(self) -> None:
    """As io.RawIOBase; also closes TensorFlow's file."""
    if not self.closed:
      self._file.close()
    super().close()
