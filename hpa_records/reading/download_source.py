"""Reads the files of an address for download, through fsspec.

Each driver raises its own exceptions; they become one-line errors.DataErrors.
"""

import asyncio
import contextlib
import logging
import os
from typing import Any, Iterator

import fsspec

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process

CHUNK_BYTES = 8 * 2**20  # one chunk a thread is in memory
_PACKAGES = {
    's3': 's3fs',
    'gs': 'gcsfs',
    'az': 'adlfs',
    'abfs': 'adlfs',
    'http': 'aiohttp',
    'https': 'aiohttp',
}
# They log credential searches, requests, and the errors that they raise.
_TALKATIVE = ('aiobotocore', 'azure', 'botocore', 'gcsfs', 's3fs')
_CONNECT_S, _SILENCE_S = 30, 60  # timeouts of http(s)
_AZURE_HOST = '.blob.core.windows.net'


class Source:
  """The files of an address, through fsspec.

  All methods raise errors.DataError if the address or a file cannot be read.
  """

  def __init__(self, records: str):
    """Connects to the address.

    Args:
      records: address of a dataset, or a local path.

    Raises:
      errors.DataError: the scheme is unknown, its driver is not installed or
        cannot log in.
    """
    self._address = records
    if process.is_ours():
      for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scheme = records.partition('://')[0] if '://' in records else 'file'
    self._is_local = scheme in ('file', 'local')
    # With byte ranges the driver of http:// reads each response completely,
    # which may have no end; with 0 it streams.
    self._block_bytes = 0 if scheme in ('http', 'https') else CHUNK_BYTES
    url, options = _azure(records) if scheme == 'az' else (records, {})
    try:
      if scheme in ('http', 'https'):
        options = _http_options()
      self._files, self._root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
      package = _PACKAGES.get(scheme)
      missing = f'pip install {package}' if package else error
      raise errors.DataError(f'The driver of {scheme}:// is not installed; '
                             f'{missing}.') from error
    except ValueError as error:
      raise errors.DataError(
          f'Expected an address of {"://, ".join(_PACKAGES)}:// or another '
          f'scheme of fsspec, received {records} ({error}).') from error
    except Exception as error:  # pylint: disable=broad-exception-caught
      raise self._translate('', error) from error  # drivers log in here

  def read(self, name: str, most_bytes: int) -> bytes:
    """Returns a file's content; stops after the first chunk above most_bytes.

    Args:
      name: of the file.
      most_bytes: maximum size that the caller accepts.
    """
    data = b''
    with contextlib.closing(self.chunks(name)) as chunks:
      for chunk in chunks:
        data += chunk
        if len(data) > most_bytes:
          break
    return data

  def size(self, name: str) -> int:
    """Returns a file's size in bytes, 0 if the server does not know it."""
    with self._translate_errors(name):
      return self._files.info(self._path(name)).get('size') or 0

  def chunks(self, name: str) -> Iterator[bytes]:
    """Yields a file's content in chunks of at most CHUNK_BYTES."""
    with self._translate_errors(name), self._files.open(
        self._path(name), 'rb', block_size=self._block_bytes,
        cache_type='none') as file:
      while chunk := file.read(CHUNK_BYTES):
        yield chunk

  def _path(self, name: str) -> str:
    path = f'{self._root}/{name}'
    if self._is_local and not os.path.isfile(path):
      raise FileNotFoundError(path)  # reading a pipe would block
    return path

  @contextlib.contextmanager
  def _translate_errors(self, name: str) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # pylint: disable=broad-exception-caught
      raise self._translate(name, error) from error

  def _translate(self, name: str, error: Exception) -> errors.DataError:
    """Returns a driver's error as a DataError with path and remedy."""
    path = f'{self._address}/{name}'
    # The driver of http:// reports every failure as a missing file; the cause
    # is the real error.
    cause = error.__cause__
    if (type(cause).__module__.startswith('aiohttp') and
        getattr(cause, 'status', None) != 404):
      error = cause
    if isinstance(error, FileNotFoundError):
      return errors.DataError(
          f'{path} does not exist; check the address, and that all '
          'files were copied there.')
    reason = printable.join_lines(str(error))
    # asyncio's is another class before Python 3.11.
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
      reason = f'timed out ({reason or "the server did not answer in time"})'
    remedy = errors.explain_text(str(error)) or (
        'check the rights and the network, then run the same command again: '
        'complete files are kept')
    return errors.DataError(f'Cannot access {path}: '
                            f'{type(error).__name__}: {reason}; {remedy}.')


def _http_options() -> dict[str, Any]:
  """Returns options with timeouts per read instead of per request.

  aiohttp's default is 300 s a request; without byte ranges a file is one
  request.
  """
  import aiohttp  # pylint: disable=import-outside-toplevel
  return {
      'client_kwargs': {
          'timeout':
              aiohttp.ClientTimeout(total=None,
                                    sock_connect=_CONNECT_S,
                                    sock_read=_SILENCE_S)
      }
  }


def _azure(records: str) -> tuple[str, dict[str, Any]]:
  """Returns adlfs's address and options for an az:// address.

  az://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER is tensorflow-io's form.
  For az://CONTAINER/FOLDER adlfs takes the account from the environment.
  """
  host, _, path = records.removeprefix('az://').partition('/')
  if not host.endswith(_AZURE_HOST):
    return records, {}
  return f'az://{path}', {'account_name': host.removesuffix(_AZURE_HOST)}
