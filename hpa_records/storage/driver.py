"""Connects to addresses such as s3://bucket/folder, through fsspec's drivers.

The drivers (s3fs, gcsfs, adlfs, aiohttp) are in the extra [remote]. Each finds
credentials in its own usual places: environment, files, the cloud's metadata.
Nothing here stores or prints them.
"""

import logging
import os
import re
import threading
import time
from typing import Any, Callable
import urllib.parse

import fsspec

from hpa_records.runtime import process
from hpa_records.storage import storage_error

FIRST_S = 12.0  # for the first answer of a server
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
_S3 = ('s3', 's3a')
_IN_PROCESS = ('memory',)
_OBJECT_STORES = (*_PACKAGES, *_IN_PROCESS)
# They log credential searches, requests, and the errors that they raise.
_TALKATIVE = ('aiobotocore', 'asyncio', 'azure', 'botocore', 'gcsfs', 'google',
              's3fs')
_AZURE_HOST = '.blob.core.windows.net'
CONNECT_S, SILENCE_S = 10, 30  # of one request
# In the query of an address that gives access by itself.
_SIGNATURE = re.compile(r'\?.*(sig|signature|token|credential|key)=', re.I)


class Server:
  """A file system of fsspec, and what is known of its server.

  Attributes:
    files: the file system.
    has_answered: whether the server has answered a request.
    first_s: seconds that its first answer may take.
    is_direct: whether direct_request may be tried.
    signed: its addresses of files with a signature, and when to make them anew;
      by path.
  """

  def __init__(self, files: fsspec.AbstractFileSystem, spent_s: float,
               has_answered: bool):
    """Takes the file system.

    Args:
      files: the file system.
      spent_s: seconds that the search for credentials took.
      has_answered: as of the attribute.
    """
    self.files, self.has_answered = files, has_answered
    self.first_s = max(FIRST_S - spent_s, FIRST_S / 4)
    self.is_direct = True
    self.signed: dict[str, tuple[urllib.parse.SplitResult, float]] = {}


_servers: dict[tuple[int, str, str], Server] = {}


def is_address(path: str) -> bool:
  """Returns whether the path is an address, with a scheme such as gs://."""
  return '://' in path


def strip_file(path: str) -> str:
  """Returns the local path of an address of file://; other paths unchanged."""
  for scheme in ('file://', 'local://'):
    path = path.removeprefix(scheme)
  return path


def has_folders(path: str) -> bool:
  """Returns whether folders can be listed at a path or address."""
  return _scheme(path) not in _WEB


def is_web(path: str) -> bool:
  """Returns whether an address is one of http:// or https://."""
  return _scheme(path) in _WEB


def is_s3(path: str) -> bool:
  """Returns whether an address is one of s3://."""
  return _scheme(path) in _S3


def is_in_process(path: str) -> bool:
  """Returns whether only this process sees the files of an address."""
  return _scheme(path) in _IN_PROCESS


def needs_folders(path: str) -> bool:
  """Returns whether a folder must be made before its files are written."""
  return _scheme(path) not in _OBJECT_STORES


def require_writable(path: str) -> None:
  """Checks that files can be written at an address.

  Raises:
    StorageError: it is of http:// or https://.
  """
  if is_web(path):
    raise storage_error.StorageError(
        'Expected a local path or an address of s3://, gs:// or az:// to write '
        f'to, received {path}; web servers are only read.')


def _scheme(path: str) -> str:
  return path.partition('://')[0] if is_address(path) else ''


def connect(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
  """Returns the file system of an address and the path in it.

  The file system is kept in the process, one for each scheme and server.

  Args:
    path: an address.

  Raises:
    StorageError: the scheme is unknown, its driver is not installed or finds no
      credentials; or as refuse_secrets.
  """
  server = find_server(path)
  return server.files, _strip(server.files, path)


def _strip(files: fsspec.AbstractFileSystem, path: str) -> str:
  host, _, rest = path.partition('://')[2].partition('/')
  if host.endswith(_AZURE_HOST):
    return rest
  return files._strip_protocol(path)  # pylint: disable=protected-access


def find_server(path: str) -> Server:
  """Returns the server of an address; as connect."""
  scheme = _scheme(path)
  host = path.removeprefix(f'{scheme}://').partition('/')[0]
  if '?' in path or '@' in path:
    refuse_secrets(path)
  key = (os.getpid(), scheme, host)  # a file system does not survive a fork
  if key not in _servers:
    begun = time.monotonic()
    files = _make(path, scheme, host)
    # Of a process that was forked, the parent knows it.
    has_answered = any(server.has_answered
                       for other, server in list(_servers.items())
                       if other[1:] == key[1:])
    # Made twice if two threads come at once; no lock, which a fork could keep.
    _servers.setdefault(key,
                        Server(files,
                               time.monotonic() - begun, has_answered))
  return _servers[key]


def refuse_secrets(path: str) -> None:
  """Refuses an address that a message or a file of settings must not show.

  Args:
    path: local or an address.

  Raises:
    StorageError: the address contains a password or a signature; of http:// or
      https://, also any user name or query.
  """
  if not is_address(path):
    return
  user, at, _ = path.partition('://')[2].partition('/')[0].rpartition('@')
  if ':' in user or _SIGNATURE.search(path) or (is_web(path) and
                                                (at or '?' in path)):
    raise storage_error.StorageError(
        'Expected an address without user name, password, query and signature, '
        f'received {_scheme(path)}://...; pass credentials as its driver reads '
        'them, for http:// and https:// in ~/.netrc.')


def _make(path: str, scheme: str, host: str) -> fsspec.AbstractFileSystem:
  if process.is_ours():
    for name in _TALKATIVE:
      logging.getLogger(name).setLevel(logging.CRITICAL)
  try:
    made, options = fsspec.get_filesystem_class(scheme), _options(scheme, host)
  except ImportError as error:
    raise storage_error.StorageError(
        f'The driver of {scheme}:// is not installed; pip install '
        f'{_PACKAGES.get(scheme, "it")}, or "hpa-records[remote]".') from error
  except ValueError as error:
    raise storage_error.StorageError(
        'Expected a local path or an address of s3://, gs://, az://, http://, '
        f'https:// or another scheme of fsspec, received {path}.') from error
  with storage_error.translate(path):
    files = _in_time(lambda: made(
        use_listings_cache=False, skip_instance_cache=True, **options))
  if scheme in _S3:
    files.retries = 1  # request tries again
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
  thread.join(FIRST_S)
  if not found:
    raise TimeoutError('no credentials were found in time')
  made, error = found[0]
  if error:
    raise error
  return made


def _options(scheme: str, host: str) -> dict[str, Any]:
  """Returns the driver's options: bounds of time, not credentials."""
  if scheme in (*_WEB, 'gs', 'gcs'):
    import aiohttp  # pylint: disable=import-outside-toplevel
    # aiohttp's default is 300 s a request, whatever its size.
    timeout = aiohttp.ClientTimeout(total=None,
                                    sock_connect=CONNECT_S,
                                    sock_read=SILENCE_S)
    if scheme not in _WEB:
      return {'requests_timeout': timeout}
    return {
        'client_kwargs': {
            'timeout': timeout,
            'trust_env': True,
            # A short answer may become a long one.
            'auto_decompress': False,
        }
    }
  if scheme in _S3:
    return {
        'config_kwargs': {
            'connect_timeout': CONNECT_S,
            'read_timeout': SILENCE_S,
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
        'connection_timeout': CONNECT_S,
        'read_timeout': SILENCE_S,
        **account
    }
  return {}
