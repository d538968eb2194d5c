"""Requests to addresses, each with a bound of time.

A request is tried again where that can help: no answer, a broken connection,
HTTP 429 and 5xx; for 12 seconds until the server has answered once, and for a
minute afterwards.
"""

import asyncio
import time
from typing import Any, Awaitable, Callable, Iterator

import fsspec
import fsspec.asyn

from hpa_records.storage import driver
from hpa_records.storage import storage_error

_PATIENCE_S = 60.0
_LONG = ('put_file', 'find')  # whatever a file or a folder is large
_STREAM_BYTES = 2**20
_LEAST_BYTES_S = 1000  # that a server must send, beyond _PATIENCE_S
_WAIT_S = 0.2  # before the second try; doubled each time


def run(path: str, name: str, *arguments: Any, **options: Any) -> Any:
  """Returns what a method of fsspec returns for an address.

  Args:
    path: the address.
    name: of the method, such as 'info'.
    *arguments: of the method, before the path inside the file system.
    **options: of the method.

  Raises:
    StorageError: the request failed.
  """
  files, inner = driver.connect(path)
  if not files.async_impl:
    with storage_error.translate(path):
      return getattr(files, name)(*arguments, inner, **options)
  method = getattr(files, f'_{name}')
  if name in _LONG and not driver.find_server(path).has_answered:
    _reach(path)
  return wait(path, lambda: method(*arguments, inner, **options), name in _LONG)


def _reach(path: str) -> None:
  """Makes a short request, so that a server which is silent is told in time.

  Raises:
    StorageError: there is no answer.
  """
  try:
    run(path, 'info')
  except storage_error.StorageError as error:
    if not driver.find_server(path).has_answered:
      raise error


def fetch(path: str, start: int, end: int) -> bytes:
  """Returns a byte range of a file; shorter, if the file ends before.

  Args:
    path: address of the file.
    start: first byte.
    end: byte after the last one.

  Raises:
    StorageError: the file cannot be read, or its server ignores ranges.
  """
  files, inner = driver.connect(path)
  if not files.async_impl:
    with storage_error.translate(path):
      return files.cat_file(inner, start, end)
  return wait(path, lambda: fetch_range(path, start, end))


def wait(path: str,
         request: Callable[[], Awaitable],
         is_long: bool = False) -> Any:
  """Returns the result of a request; see within_bounds.

  Args:
    path: the address.
    request: starts the request; called once for each try.
    is_long: as of within_bounds.

  Raises:
    StorageError: the request failed.
  """
  with storage_error.translate(path):
    return fsspec.asyn.sync(
        driver.connect(path)[0].loop, within_bounds, path, request, is_long)


async def within_bounds(path: str,
                        request: Callable[[], Awaitable],
                        is_long: bool = False) -> Any:
  """Returns the result of a request, tried again where that can help.

  It runs in the event loop of the address's file system.

  Args:
    path: the address.
    request: starts the request; called once for each try.
    is_long: whether one try may take longer than the bound.

  Raises:
    Exception: the driver's, of the last try; see storage_error.translate.
  """
  server = driver.find_server(path)
  begun, wait_s = time.monotonic(), _WAIT_S
  while True:
    bound_s = _PATIENCE_S if server.has_answered else server.first_s
    left_s = begun + bound_s - time.monotonic()
    limit_s = None if server.has_answered or is_long else left_s
    try:
      result = await asyncio.wait_for(request(), limit_s)
      server.has_answered = True
      return result
    except Exception as error:  # pylint: disable=broad-exception-caught
      if not storage_error.is_transient(error):
        server.has_answered |= storage_error.is_answer(error)
        raise
      if wait_s > left_s:
        raise
    await asyncio.sleep(wait_s)
    wait_s *= 2


async def fetch_range(path: str, start: int, end: int) -> bytes:
  """As fetch, in the event loop of the address's file system, tried once."""
  files, inner = driver.connect(path)
  try:
    if driver.is_web(path):
      return await _web().fetch(path, start, end)
    return await files._cat_file(inner, start=start, end=end)  # pylint: disable=protected-access
  except Exception as error:  # each driver raises its own kinds
    if storage_error.find_status(error) == 416:  # the range begins at the end
      return b''
    raise


def _web():
  """Returns web_request, which imports a driver of the extra [remote]."""
  from hpa_records.storage import web_request  # pylint: disable=import-outside-toplevel
  return web_request


def stream(path: str) -> Iterator[memoryview]:
  """Yields a file's content in pieces, by one request without a byte range.

  Args:
    path: address of the file, of http:// or https://.

  Raises:
    StorageError: the file cannot be read, or the server sends it too slowly.
  """
  files, _ = driver.connect(path)
  answer = wait(path, lambda: _web().ask(path))
  left_s = _PATIENCE_S
  try:
    with storage_error.translate(path):
      while True:
        begun = time.monotonic()
        chunk = fsspec.asyn.sync(files.loop, answer.content.read, _STREAM_BYTES)
        if not chunk:
          return
        left_s += len(chunk) / _LEAST_BYTES_S - (time.monotonic() - begun)
        left_s = min(left_s, _PATIENCE_S)
        if left_s < 0:
          raise TimeoutError
        yield memoryview(chunk)
  finally:
    files.loop.call_soon_threadsafe(answer.close)
