"""One-line errors for what the drivers of addresses raise.

Each driver has its own exceptions. They are told apart by the HTTP status that
they carry, or by their class. Secrets never reach a message.
"""

import asyncio
import contextlib
import re
from typing import Iterator
from urllib import parse

from hpa_records.runtime import errors
from hpa_records.runtime import printable

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
# Broken connections, in aiohttp, botocore, azure, requests and fsspec.
_BROKEN = {
    'ClientConnectionError', 'ClientPayloadError', 'HTTPClientError',
    'ServiceRequestError', 'ServiceResponseError', 'IncompleteReadError',
    'RequestException', 'FSTimeoutError'
}
# Of a message: what may have a signature or a token, and tags of HTML and XML.
_SECRET = re.compile(
    r'\?\S*|<[^>]*>|//[^/@\s]*@|'
    r'(?i:(key|token|secret|signature|password)["\']?\s*[=:]\s*)\S+')
_REASON_CHARACTERS = 150


class StorageError(errors.DataError, OSError):
  """An address cannot be read or written; the message says which and why."""


class MissingError(StorageError, FileNotFoundError):
  """There is no such file at the address."""


@contextlib.contextmanager
def translate(path: str) -> Iterator[None]:
  """Raises a driver's errors of a block as one-line errors.

  Args:
    path: the address that the block reads or writes.

  Raises:
    MissingError: there is no such file.
    StorageError: in place of any other error of the driver.
  """
  try:
    yield
  except (errors.DataError, ImportError):
    raise
  except Exception as error:  # each driver raises its own kinds
    raise _describe(path, find_cause(error)) from error


def find_cause(error: BaseException) -> BaseException:
  """Returns the error behind another one.

  The driver of http:// reports each failure as a missing file.
  """
  cause = error.__cause__
  if (isinstance(error, FileNotFoundError) and cause is not None and
      type(cause).__module__.startswith('aiohttp')):
    return cause
  return error


def find_status(error: BaseException | None) -> int:
  """Returns the HTTP status that a driver's error carries; 0 if none."""
  while error is not None and not _is_broken(error):
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


def is_transient(error: BaseException) -> bool:
  """Returns whether the same request may succeed a moment later."""
  error = find_cause(error)
  status = find_status(error)
  if status:
    return status in _TRANSIENT
  if isinstance(error, (asyncio.TimeoutError, TimeoutError, ConnectionError)):
    return True
  return _is_broken(error)


def is_answer(error: BaseException) -> bool:
  """Returns whether an error is what a server answered."""
  error = find_cause(error)
  return bool(find_status(error)) or isinstance(error, FileNotFoundError)


def _is_broken(error: BaseException) -> bool:
  return bool(_BROKEN & {kind.__name__ for kind in type(error).__mro__})


def _describe(path: str, error: BaseException) -> StorageError:
  status = find_status(error)
  number = f' (HTTP {status})' if status else ''
  if status == 404 or (not status and isinstance(error, FileNotFoundError)):
    return MissingError(
        f'{path} does not exist; check the address, and that all files were '
        'copied there.')
  if status in (401, 403) or isinstance(error, PermissionError):
    return StorageError(
        f'Access to {path} is denied{number}: {_clean(error)}; check the '
        'credentials of this environment and the permissions there.')
  if status == 429 or 'SlowDown' in str(error):
    return StorageError(
        f'{parse.urlsplit(path).netloc} receives too many requests{number}, '
        f'also for {path}; run the same command again later, or with fewer '
        'processes.')
  if status >= 500:
    return StorageError(f'The server of {path} failed{number}: {_clean(error)};'
                        ' run the same command again later.')
  if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
    return StorageError(
        f'No answer in time from the server of {path}; check the address, the '
        'endpoint and the network, then run the same command again.')
  reason = errors.explain_text(str(error)) or (
      f'{_clean(error)}; check the address, the credentials and the network, '
      'then run the same command again')
  return StorageError(
      f'Cannot access {path}{number}: {type(error).__name__}: {reason}.')


def _clean(error: BaseException) -> str:
  """Returns a driver's message as one short line without secrets."""
  line = next(iter(str(error).strip().splitlines()), '')
  text = printable.join_lines(_SECRET.sub('', line))
  return text[:_REASON_CHARACTERS] or 'no reason given'
