"""Processes of this machine that do pure work, and end with their parent.

Spawned, not forked: pyarrow and TensorFlow start threads, and forking a process
with threads may hang the child. A worker ends with its parent, also with one
that was killed.
"""

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
from multiprocessing import connection
import os
import signal
import threading
from typing import Iterator

# glibc's malloc.h. By default it gives a freed megabyte back to the system at
# once, and the next image faults it in again, page by page: a third of the
# time of decoding.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**27


def start(count: int) -> concurrent.futures.ProcessPoolExecutor:
  """Returns as many processes, which are starting; call it in the main thread.

  Args:
    count: at least 1.
  """
  pool = concurrent.futures.ProcessPoolExecutor(
      count, multiprocessing.get_context('spawn'), _start)
  with _interrupt_held_back():
    # A process is started for each call that finds none idle.
    for _ in range(count):
      pool.submit(os.getpid)
  return pool


def stop(pool: concurrent.futures.Executor) -> None:
  """Ends what start gave: drops the calls that wait, waits for those that run.

  Call it in the main thread. Ctrl-C waits too: Python 3.11 takes a thread whose
  join was interrupted for one that has ended, and would leave
  before a worker that is still starting.
  """
  with _interrupt_held_back():
    pool.shutdown(cancel_futures=True)


def keep_memory() -> None:
  """Lets malloc keep freed memory, where it is glibc's."""
  with contextlib.suppress(OSError, AttributeError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
  """Lets Ctrl-C wait for the end of a block; what it starts never receives it.

  Ctrl-C is the parent's to tell, so workers start with it blocked. That alone
  does not keep it from this thread: another thread of the process takes the
  signal and Python raises here, where a worker may have been started and not
  yet been told its work.
  """
  received = []
  before = signal.signal(signal.SIGINT, lambda *_: received.append(True))
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, before)
  if received:
    signal.raise_signal(signal.SIGINT)


def _start() -> None:
  keep_memory()
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)  # pylint: disable=protected-access
