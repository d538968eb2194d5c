"""Where staging copies from: the files of an address, through fsspec.

Each driver has errors of its own kinds; here they become one line.
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

CHUNK_BYTES = 8 * 2**20  # in memory once a thread
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
_CONNECT_S, _SILENCE_S = 30, 60  # that a server of http(s) may take
_AZURE_HOST = '.blob.core.windows.net'


class Source:
  """The files of an address, through fsspec; its errors are told."""

  def __init__(self, records: str):
    self._address = records
    if process.is_ours():
      for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scheme = records.partition('://')[0] if '://' in records else 'file'
    self._is_local = scheme in ('file', 'local')
    # By ranges the driver of http:// takes each answer whole, which may have no
    # end; without, it reads a stream.
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
      raise self._told('', error) from error  # drivers log in when made

  def read(self, name: str, most_bytes: int) -> bytes:
    """Returns a small file's content, of a larger one more than most_bytes.

    Not by a request for so many bytes: a server may send without end all the
    same.
    """
    data = b''
    with contextlib.closing(self.chunks(name)) as chunks:
      for chunk in chunks:
        data += chunk
        if len(data) > most_bytes:
          break
    return data

  def size(self, name: str) -> int:
    """Returns a file's size in bytes, 0 where the server does not say it."""
    with self._telling(name):
      return self._files.info(self._path(name)).get('size') or 0

  def chunks(self, name: str) -> Iterator[bytes]:
    """Yields a file's content, CHUNK_BYTES at a time."""
    with self._telling(name), self._files.open(self._path(name),
                                               'rb',
                                               block_size=self._block_bytes,
                                               cache_type='none') as file:
      while chunk := file.read(CHUNK_BYTES):
        yield chunk

  def _path(self, name: str) -> str:
    path = f'{self._root}/{name}'
    if self._is_local and not os.path.isfile(path):
      raise FileNotFoundError(path)  # a pipe would be waited for
    return path

  @contextlib.contextmanager
  def _telling(self, name: str) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # pylint: disable=broad-exception-caught
      raise self._told(name, error) from error  # each driver has its own kinds

  def _told(self, name: str, error: Exception) -> errors.DataError:
    path = f'{self._address}/{name}'
    # The driver of http:// takes every failure for a missing file; its cause
    # says what it was.
    cause = error.__cause__
    if (type(cause).__module__.startswith('aiohttp') and
        getattr(cause, 'status', None) != 404):
      error = cause
    if isinstance(error, FileNotFoundError):
      return errors.DataError(
          f'{path} does not exist; check the address, and that the '
          'whole folder was copied there.')
    reason = printable.join_lines(str(error))
    # asyncio's, which is not Python's own before 3.11.
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
      reason = f'timed out ({reason or "the server did not answer in time"})'
    remedy = errors.explain_text(str(error)) or (
        'check the rights and the network; the same command keeps the files '
        'that are whole and copies the others from their start')
    return errors.DataError(f'Cannot access {path}: '
                            f'{type(error).__name__}: {reason}; {remedy}.')


def _http_options() -> dict[str, Any]:
  """Returns options by which a file may take as long as it keeps coming.

  By itself aiohttp gives a whole request 300 s, and a server without ranges
  sends a whole file in one.
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
  """Returns adlfs's address and options of one that tensorflow-io reads too.

  az://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER means one place to both;
  of az://CONTAINER/FOLDER adlfs takes the account from the environment.
  """
  host, _, path = records.removeprefix('az://').partition('/')
  if not host.endswith(_AZURE_HOST):
    return records, {}
  return f'az://{path}', {'account_name': host.removesuffix(_AZURE_HOST)}
