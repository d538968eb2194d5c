"""Addresses such as s3://bucket/folder, through fsspec's drivers.

The drivers (s3fs, gcsfs, adlfs, aiohttp) are in the extra [remote]. Each finds
credentials in its own usual places: environment, files, the cloud's metadata.
Nothing here reads, stores or prints them.

Each request has a bound. The first one to a server takes at most 12 seconds;
later ones are tried again for a minute where that can help: no answer, 429 and
5xx. Errors of all drivers become one line.
"""

import asyncio
import contextlib
import logging
import os
import re
import threading
import time
from typing import Any, Awaitable, Callable, Iterator
from urllib import parse

import fsspec
import fsspec.asyn

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process

_PACKAGES = {
    's3': 's3fs',
    's3a': 's3fs',
    'gs': 'gcsfs',
    'gcs': 'gcsfs',
    'az': 'adlfs',
    'abfs': 'adlfs',
    'abfss': 'adlfs',
    'http': 'aiohttp',
    'https': 'aiohttp',
}
_WEB = ('http', 'https')
_IN_PROCESS = ('memory',)
_FOLDERS = ('sftp', 'ssh', 'ftp', 'hdfs', 'smb', 'file', 'local')
# They log credential searches, requests, and the errors that they raise.
_TALKATIVE = ('aiobotocore', 'asyncio', 'azure', 'botocore', 'gcsfs', 'google',
              's3fs')
_AZURE_HOST = '.blob.core.windows.net'
_FIRST_S = 12.0  # for the first answer of a server
_PATIENCE_S = 60.0  # for later ones
_CONNECT_S, _SILENCE_S = 10, 30
_WAIT_S = 0.2  # before the second try; doubled each time
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
# Of a message: what may have a signature or a token, and pages of HTML or XML.
_SECRET = re.compile(r'\?\S*|<[^>]*>|(?i:(key|token|secret|signature|password)'
                     r'["\']?\s*[=:]\s*)\S+')
_REASON_CHARACTERS = 150


class StorageError(errors.DataError, OSError):
  """An address cannot be read or written; the message says which and why."""


class _Server:
  """A file system of fsspec, and whether its server has answered."""

  def __init__(self, files: fsspec.AbstractFileSystem):
    self.files = files
    self.has_answered = False


_servers: dict[tuple[int, str, str], _Server] = {}
_lock = threading.Lock()


def is_address(path: str) -> bool:
  """Returns whether the path is an address, with a scheme such as gs://."""
  return '://' in path


def has_folders(path: str) -> bool:
  """Returns whether folders can be listed at a path or address."""
  return _scheme(path) not in _WEB


def is_in_process(path: str) -> bool:
  """Returns whether only this process sees the files of an address."""
  return _scheme(path) in _IN_PROCESS


def needs_folders(path: str) -> bool:
  """Returns whether a folder must be made before its files are written."""
  return _scheme(path) in _FOLDERS


def _scheme(path: str) -> str:
  return path.partition('://')[0] if is_address(path) else ''


def connect(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
  """Returns the file system of an address and the path in it.

  The file system is kept in the process, one for each scheme and server.

  Args:
    path: an address.

  Raises:
    StorageError: the scheme is unknown, its driver is not installed or finds no
      credentials, or the address contains a password or a query.
  """
  server = _find_server(path)
  return server.files, _strip(server.files, path)


def _strip(files: fsspec.AbstractFileSystem, path: str) -> str:
  host, _, rest = path.partition('://')[2].partition('/')
  if host.endswith(_AZURE_HOST):
    return rest
  return files._strip_protocol(path)  # pylint: disable=protected-access


def _find_server(path: str) -> _Server:
  scheme = _scheme(path)
  host = path.removeprefix(f'{scheme}://').partition('/')[0]
  _refuse_secrets(path, scheme, host)
  key = (os.getpid(), scheme, host)  # a file system does not survive a fork
  with _lock:
    if key not in _servers:
      _servers[key] = _Server(_make(path, scheme, host))
    return _servers[key]


def _refuse_secrets(path: str, scheme: str, host: str) -> None:
  """Refuses addresses that a message or a file of settings must not show."""
  if scheme in _WEB and ('@' in host or '?' in path):
    raise StorageError(
        f'Expected an address without user name, password or query, received '
        f'{scheme}://{host.rpartition("@")[2]}/...; pass credentials in '
        '~/.netrc, or make the files readable.')


def _make(path: str, scheme: str, host: str) -> fsspec.AbstractFileSystem:
  if process.is_ours():
    for name in _TALKATIVE:
      logging.getLogger(name).setLevel(logging.CRITICAL)
  try:
    with translate_errors(path):
      made = fsspec.get_filesystem_class(scheme)
      options = _options(scheme, host)
      files = _in_time(lambda: made(
          use_listings_cache=False, skip_instance_cache=True, **options))
  except ImportError as error:
    package = _PACKAGES.get(scheme)
    missing = f'pip install {package}' if package else error
    raise StorageError(
        f'The driver of {scheme}:// is not installed; {missing}, or '
        'pip install "hpa-records[remote]".') from error
  except ValueError as error:
    if isinstance(error, StorageError):
      raise
    raise StorageError(
        f'Expected a local path or an address of s3://, gs://, az://, http://, '
        f'https:// or another scheme of fsspec, received {path} '
        f'({_clean(error)}).') from error
  if scheme in ('s3', 's3a'):
    files.retries = 1  # run tries again
  return files


def _in_time(make: Callable[[], Any]) -> Any:
  """Returns make(), which may search for credentials for a long time.

  Raises:
    TimeoutError: it took longer than the first request may take.
  """
  found: list[Any] = []

  def search():
    try:
      found.append((make(), None))
    except BaseException as error:  # pylint: disable=broad-exception-caught
      found.append((None, error))

  thread = threading.Thread(target=search, daemon=True)
  thread.start()
  thread.join(_FIRST_S)
  if not found:
    raise TimeoutError('no credentials were found in time')
  made, error = found[0]
  if error:
    raise error
  return made


def _options(scheme: str, host: str) -> dict[str, Any]:
  """Returns the driver's options: bounds of time, not credentials."""
  if scheme in _WEB:
    import aiohttp  # pylint: disable=import-outside-toplevel
    # aiohttp's default is 300 s a request, whatever its size.
    return {
        'client_kwargs': {
            'timeout':
                aiohttp.ClientTimeout(total=None,
                                      sock_connect=_CONNECT_S,
                                      sock_read=_SILENCE_S),
            'trust_env':
                True,
        }
    }
  if scheme in ('s3', 's3a'):
    return {
        'config_kwargs': {
            'connect_timeout': _CONNECT_S,
            'read_timeout': _SILENCE_S,
            'retries': {
                'total_max_attempts': 1
            },
            'max_pool_connections': 64,
        }
    }
  if scheme in ('az', 'abfs', 'abfss'):
    account = ({
        'account_name': host.removesuffix(_AZURE_HOST)
    } if host.endswith(_AZURE_HOST) else {})
    return {
        'connection_timeout': _CONNECT_S,
        'read_timeout': _SILENCE_S,
        **account
    }
  return {}


def run(path: str, name: str, *arguments: Any, **options: Any) -> Any:
  """Returns what a method of fsspec returns for an address, within the bounds.

  Args:
    path: the address.
    name: of the method, such as 'info'.
    *arguments: of the method, before the path inside the file system.
    **options: of the method.

  Raises:
    StorageError: the request failed.
  """
  files, inner = connect(path)
  with translate_errors(path):
    if not files.async_impl:
      return getattr(files, name)(*arguments, inner, **options)
    method = getattr(files, f'_{name}')
    return fsspec.asyn.sync(
        files.loop, within_bounds, path,
        lambda: method(*arguments, inner, **options))


async def within_bounds(path: str, request: Callable[[], Awaitable]) -> Any:
  """Returns the result of a request, tried again where that can help.

  It runs in the event loop of the address's file system.

  Args:
    path: the address.
    request: starts the request; called once for each try.

  Raises:
    Exception: the driver's, of the last try; see translate_errors.
  """
  server, begun, wait_s = _find_server(path), time.monotonic(), _WAIT_S
  while True:
    try:
      if server.has_answered:
        return await request()
      left_s = begun + _FIRST_S - time.monotonic()
      result = await asyncio.wait_for(request(), left_s)
      server.has_answered = True
      return result
    except Exception as error:  # pylint: disable=broad-exception-caught
      status = find_status(error)
      is_first = not server.has_answered
      bound_s = _FIRST_S if is_first else _PATIENCE_S
      late = time.monotonic() + wait_s - begun > bound_s
      if late or not _is_transient(error, status):
        server.has_answered |= bool(status)
        raise
    await asyncio.sleep(wait_s)
    wait_s *= 2


def find_status(error: BaseException | None) -> int:
  """Returns the HTTP status that an error of a driver tells; 0 if none."""
  while error is not None:
    response = getattr(error, 'response', None)
    if isinstance(response, dict):  # botocore
      response = response.get('ResponseMetadata', {}).get('HTTPStatusCode')
      if response:
        return int(response)
    for name in ('status', 'status_code', 'code'):
      found = getattr(error, name, None)
      if isinstance(found, (int, str)) and str(found).isdigit():
        return int(found)
    error = error.__cause__ or error.__context__
  return 0


def _is_transient(error: BaseException, status: int) -> bool:
  if status:
    return status in _TRANSIENT
  if isinstance(error, (asyncio.TimeoutError, TimeoutError, ConnectionError)):
    return True
  # Of aiohttp, botocore, azure and requests: a connection that broke.
  names = {kind.__name__ for kind in type(error).__mro__}
  return bool(
      names & {
          'ClientConnectionError', 'ClientPayloadError', 'HTTPClientError',
          'ServiceRequestError', 'ServiceResponseError', 'IncompleteReadError',
          'RequestException', 'FSTimeoutError'
      })


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
  """Raises a driver's errors of a block as one-line errors.

  Args:
    path: the address that the block reads or writes.

  Raises:
    StorageError: in place of the driver's error. Also StorageError's __cause__
      is FileNotFoundError where there is no such file.
  """
  try:
    yield
  except (errors.DataError, ImportError, KeyboardInterrupt):
    raise
  except ValueError as error:
    if not find_status(error):
      raise
    raise _translate(path, error) from error
  except Exception as error:  # each driver raises its own kinds
    raise _translate(path, error) from error


def _translate(path: str, error: Exception) -> StorageError:
  status = find_status(error)
  host = parse.urlsplit(path).netloc or path
  if status == 404 or (not status and isinstance(error, FileNotFoundError)):
    return StorageError(
        f'{path} does not exist; check the address, and that all files were '
        'copied there.')
  if status in (401, 403) or isinstance(error, PermissionError):
    return StorageError(
        f'Access to {path} is denied{_number(status)}: {_clean(error)}; check '
        'the credentials in this environment and the permissions of the '
        'bucket.')
  if status == 429 or 'SlowDown' in str(error):
    return StorageError(
        f'{host} refuses {path} for too many requests{_number(status)}; run '
        'the same command again later, or with fewer processes.')
  if status >= 500:
    return StorageError(
        f'The server of {path} failed{_number(status)}: {_clean(error)}; run '
        'the same command again later.')
  if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
    return StorageError(
        f'No answer in time from the server of {path}; check the address, the '
        'endpoint and the network, then run the same command again.')
  reason = errors.explain_text(str(error)) or (
      f'{_clean(error)}; check the address, the credentials and the network, '
      'then run the same command again')
  return StorageError(f'Cannot access {path}{_number(status)}: '
                      f'{type(error).__name__}: {reason}.')


def _number(status: int) -> str:
  return f' (HTTP {status})' if status else ''


def _clean(error: Exception) -> str:
  """Returns a driver's message as one short line without secrets."""
  text = printable.join_lines(_SECRET.sub('', str(error))).strip().rstrip('.')
  return text[:_REASON_CHARACTERS] or 'no reason given'
