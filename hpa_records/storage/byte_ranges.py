"""Byte ranges of files at addresses: neighbours joined, many in flight.

Each range is a request of its own, since a store answers many of them at once
and a single one slowly. Requests run in the event loop of fsspec, in the order
in which they were started. HTTP is read directly into memory, in pieces, so
that a server that ignores ranges or never ends is refused after its head; other
drivers return bytes.
"""

import asyncio
from concurrent import futures
import dataclasses
import functools
import os
from typing import Any, Iterator, Sequence
import weakref

import fsspec
import numpy as np

from hpa_records.storage import driver

# A request costs as much as some 64 KiB of a stream: at 20 ms, 3 MB/s each.
_GAP_BYTES = 2**16  # between neighbours: read and dropped
_MOST_BYTES = 2**22  # of a joined range
_IN_FLIGHT = 64  # requests; as many as the drivers keep connections
_THREADS = 16  # of drivers without an event loop
_WEB = ('http', 'https')
_PARTIAL, _NO_SUCH_BYTES = 206, 416  # HTTP status

# Limits of requests, one for each event loop: a fork makes a new one.
_limits: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class _Request:
  """A range to read, and the places of the ranges that it is made of."""
  path: str
  start: int
  end: int
  places: list[int]


class Fetch:
  """Byte ranges that are being read; dropping it cancels what is left."""

  def __init__(self, paths: Sequence[str], starts: Sequence[int],
               ends: Sequence[int]):
    """Starts to read the ranges.

    Args:
      paths: [n] address of each range's file.
      starts: [n] its first byte.
      ends: [n] the byte after its last.

    Raises:
      driver.StorageError: as of driver.connect.
    """
    self._starts, self._ends = starts, ends
    self._waiting = {
        _submit(each): each for each in _join(paths, starts, ends)
    }
    weakref.finalize(self, _cancel, list(self._waiting)).atexit = False

  def results(
      self) -> Iterator[tuple[int, np.ndarray | None, Exception | None]]:
    """Yields each range when it has come, in any order.

    Yields:
      Its number, 0..n-1; its bytes, [end - start] uint8, valid as long as they
      are referenced; or None, and the driver.StorageError in their place.
    """
    for done in futures.as_completed(self._waiting):
      request = self._waiting[done]
      try:
        with driver.translate_errors(request.path):
          data = done.result()
          if len(data) != request.end - request.start:
            raise _other_length(request, f'{len(data):,} bytes')
      except driver.StorageError as error:
        if driver.find_status(error) == _NO_SUCH_BYTES:
          error = _other_length(request, 'no such bytes')
        yield from ((place, None, error) for place in request.places)
        continue
      for place in request.places:
        yield place, data[self._starts[place] - request.start:self._ends[place]
                          - request.start], None


def fetch(paths: Sequence[str], starts: Sequence[int], ends: Sequence[int],
          outs: Sequence[Any]) -> None:
  """Fills buffers with byte ranges.

  Args:
    paths: [n] address of each range's file.
    starts: [n] its first byte.
    ends: [n] the byte after its last.
    outs: [n] writable buffers of end - start bytes, such as [m] uint8.

  Raises:
    driver.StorageError: a range cannot be read, or is shorter.
  """
  for place, data, error in Fetch(paths, starts, ends).results():
    if error:
      raise error
    memoryview(outs[place]).cast('B')[:] = memoryview(data)


def _join(paths: Sequence[str], starts: Sequence[int],
          ends: Sequence[int]) -> list[_Request]:
  """Returns the requests for the ranges, in the order of their first range."""
  order = sorted(range(len(paths)), key=lambda i: (paths[i], starts[i]))
  found: list[_Request] = []
  for i in order:
    last = found[-1] if found else None
    if (last and last.path == paths[i] and
        starts[i] - last.end <= _GAP_BYTES and
        ends[i] - last.start <= _MOST_BYTES):
      found[-1] = dataclasses.replace(last,
                                      end=max(last.end, ends[i]),
                                      places=last.places + [i])
    else:
      found.append(_Request(paths[i], starts[i], ends[i], [i]))
  return sorted(found, key=lambda each: min(each.places))


def _submit(request: _Request) -> futures.Future:
  files, inner = driver.connect(request.path)
  if files.async_impl:
    return asyncio.run_coroutine_threadsafe(_read(files, inner, request),
                                            files.loop)
  return _threads(os.getpid()).submit(_read_in_thread, files, inner, request)


@functools.cache
def _threads(process: int) -> futures.ThreadPoolExecutor:
  """Returns the threads of a process; none survive a fork."""
  del process
  return futures.ThreadPoolExecutor(_THREADS)


def _read_in_thread(files: fsspec.AbstractFileSystem, inner: str,
                    request: _Request) -> np.ndarray:
  data = files.cat_file(inner, start=request.start, end=request.end)
  return np.frombuffer(data, np.uint8)


async def _read(files: fsspec.AbstractFileSystem, inner: str,
                request: _Request) -> np.ndarray:
  """Returns a range, [n] uint8, tried again as driver.within_bounds does."""
  loop = asyncio.get_running_loop()
  limit = _limits.setdefault(loop, asyncio.Semaphore(_IN_FLIGHT))
  is_web = request.path.partition('://')[0] in _WEB

  async def read():
    if is_web:
      return await _read_web(files, inner, request)
    data = await files._cat_file(  # pylint: disable=protected-access
        inner,
        start=request.start,
        end=request.end)
    return np.frombuffer(data, np.uint8)

  async with limit:
    return await driver.within_bounds(request.path, read)


async def _read_web(files: fsspec.AbstractFileSystem, url: str,
                    request: _Request) -> np.ndarray:
  """Returns a range of a web page, [n] uint8, of which no more is read."""
  session = await files.set_session()
  head = {
      'Range': f'bytes={request.start}-{request.end - 1}',
      'Accept-Encoding': 'identity',
  }
  async with session.get(files.encode_url(url), headers=head) as answer:
    answer.raise_for_status()
    if answer.status != _PARTIAL:
      raise driver.StorageError(
          f'The server of {request.path} does not send byte ranges: it '
          f'answered with HTTP {answer.status}; pass --stage_dir=DIR to copy '
          'the files first, or use another server.')
    said = answer.headers.get('Content-Range', '')
    if not said.startswith(f'bytes {request.start}-{request.end - 1}/'):
      raise _other_length(request, f'the range {said[:60]!r}')
    data, done = np.empty(request.end - request.start, np.uint8), 0
    async for piece in answer.content.iter_any():
      if done + len(piece) > len(data):
        raise _other_length(request, 'more')
      data[done:done + len(piece)] = np.frombuffer(piece, np.uint8)
      done += len(piece)
  return data[:done]


def _other_length(request: _Request, received: str) -> driver.StorageError:
  return driver.StorageError(
      f'Expected bytes {request.start}-{request.end - 1} of {request.path}, '
      f'received {received}: the file was changed or is damaged; copy it to '
      'the address again.')


def _cancel(waiting: list[futures.Future]) -> None:
  for each in waiting:
    each.cancel()
