"""Byte ranges of files at addresses: neighbours joined, many in flight.

Each range is a request of its own, since a store answers many of them at once
and a single one slowly. Requests run in the order in which they were started:
in threads, or in the event loop of fsspec.
"""

import asyncio
from concurrent import futures
import dataclasses
import functools
import os
import queue
import threading
from typing import Iterator, Sequence
import weakref

import numpy as np

from hpa_records.storage import direct_request
from hpa_records.storage import driver
from hpa_records.storage import request as request_lib
from hpa_records.storage import storage_error

# A request costs as much as some 64 KiB of a stream: at 20 ms, 3 MB/s each.
_GAP_BYTES = 2**16  # between neighbours: read and dropped
_MOST_BYTES = 2**22  # of a joined range
_IN_FLIGHT = 64  # requests; as many as the drivers keep connections

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
      storage_error.StorageError: as of driver.connect.
    """
    self._starts, self._ends = starts, ends
    self._waiting = {_submit(each): each for each in _join(paths, starts, ends)}
    weakref.finalize(self, _cancel, self._waiting).atexit = False

  def results(
      self) -> Iterator[tuple[int, np.ndarray | None, Exception | None]]:
    """Yields each range when it has come, in any order.

    Yields:
      Its number, 0..n-1; its bytes, [end - start] uint8; and None. Or None and
      the storage_error.StorageError in their place.
    """
    for done in futures.as_completed(list(self._waiting)):
      request = self._waiting.pop(done)  # its bytes are not kept
      try:
        with storage_error.translate(request.path):
          data = np.frombuffer(done.result(), np.uint8)
          if len(data) != request.end - request.start:
            raise _other_length(request, f'{len(data):,} bytes')
      except storage_error.StorageError as error:
        yield from ((place, None, error) for place in request.places)
        continue
      for place in request.places:
        yield place, data[self._starts[place] -
                          request.start:self._ends[place] - request.start], None


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
  files, _ = driver.connect(request.path)
  if files.async_impl and not direct_request.knows(request.path):
    return asyncio.run_coroutine_threadsafe(_read(request), files.loop)
  return _threads(os.getpid()).submit(_read_here, request)


class _Threads(futures.Executor):
  """Threads that a program does not wait for at its end.

  It would wait for each request that has begun, some of a server that is
  silent, if they were those of a ThreadPoolExecutor.
  """

  def __init__(self, count: int):
    self._waiting: queue.SimpleQueue = queue.SimpleQueue()
    for _ in range(count):
      threading.Thread(target=self._work, daemon=True).start()

  def submit(self, fn, /, *args, **kwargs):
    """As futures.Executor."""
    future: futures.Future = futures.Future()
    self._waiting.put((future, functools.partial(fn, *args, **kwargs)))
    return future

  def _work(self) -> None:
    while True:
      future, call = self._waiting.get()
      if future.set_running_or_notify_cancel():
        try:
          future.set_result(call())
        except BaseException as error:  # pylint: disable=broad-exception-caught
          future.set_exception(error)
      del future, call  # the result is not kept


@functools.cache
def _threads(process: int) -> _Threads:
  """Returns the threads of a process; none survive a fork."""
  del process
  return _Threads(_IN_FLIGHT)


def _read_here(request: _Request) -> np.ndarray | bytes:
  """Returns a range, in this thread."""
  path, start, end = request.path, request.start, request.end
  found = None
  if direct_request.knows(path):
    found = direct_request.fetch(path, start, end)
  return request_lib.fetch(path, start, end) if found is None else found


async def _read(request: _Request) -> bytes:
  """Returns a range, tried again as request.within_bounds does."""
  loop = asyncio.get_running_loop()
  if loop not in _limits:
    _limits[loop] = asyncio.Semaphore(_IN_FLIGHT)
  async with _limits[loop]:
    return await request_lib.within_bounds(
        request.path, lambda: request_lib.fetch_range(request.path, request.
                                                      start, request.end))


def _other_length(request: _Request,
                  received: str) -> storage_error.StorageError:
  return storage_error.StorageError(
      f'Expected bytes {request.start}-{request.end - 1} of {request.path}, '
      f'received {received}: the file was changed or is damaged; copy it to '
      'the address again.')


def _cancel(waiting: dict[futures.Future, _Request]) -> None:
  for each in list(waiting):
    each.cancel()
