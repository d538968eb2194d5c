"""Processes of this machine that do pure work, and end with their parent.

Spawned, not forked: pyarrow and TensorFlow start threads, and forking a process
with threads may hang the child. A worker ends with its parent, also with one
that was killed.
"""

import concurrent.futures
import contextlib
import multiprocessing
from multiprocessing import connection
import os
import signal
import threading
from typing import Iterator, Sequence

from hpa_records.runtime import errors
from hpa_records.runtime import process

# Also of a pipe to a helper process that has ended just now.
_FEWER_PROCESSES = ('raise the limit of processes (ulimit -u), or '
                    'use fewer --workers')
_FEWER = 'Run the same command with fewer --workers; what is finished is kept.'
_AGAIN = 'Run the same command again; what is finished is kept.'


def start(count: int) -> concurrent.futures.ProcessPoolExecutor:
  """Returns as many processes, which are starting.

  Args:
    count: at least 1.

  Raises:
    errors.DataError: the system starts no more processes.
  """
  pool = None
  try:
    with _interrupt_held_back():
      pool = concurrent.futures.ProcessPoolExecutor(
          count, multiprocessing.get_context('spawn'), _start)
      _block_interrupt()  # Python may have unblocked it for a helper of its own
      # A process is started for each call that finds none idle.
      for _ in range(count):
        pool.submit(os.getpid)
    return pool
  except (OSError, RuntimeError) as error:
    # Python would wait for those that have started, and these for work.
    kill(pool)
    if isinstance(error, RuntimeError) and not errors.explain_limit(error):
      raise
    reason = errors.explain_limit(error) or errors.explain(
        error, _FEWER_PROCESSES)
    raise errors.DataError(
        f'Cannot start {count} worker processes: {reason}.') from error


def kill(pool: concurrent.futures.Executor | None) -> None:
  """Kills the processes that start gave, as ones that a disk keeps waiting.

  What they were writing is lost; stop them afterwards.
  """
  for each in list((getattr(pool, '_processes', None) or {}).values()):
    each.kill()


def stop(pool: concurrent.futures.Executor) -> None:
  """Ends what start gave: drops the calls that wait, waits for those that run.

  Ctrl-C waits too: Python 3.11 takes a thread whose join was interrupted for
  one that has ended, and would leave before a worker that is still starting.
  """
  with _interrupt_held_back():
    pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def told_lost(children: Sequence[multiprocessing.Process] = (
)) -> Iterator[None]:
  """Tells in one line that workers are gone, which a block uses and stops.

  Args:
    children: the workers, of which one says by which signal it ended.

  Raises:
    errors.DataError: in place of BrokenExecutor and MemoryError.
  """
  try:
    yield
  except concurrent.futures.BrokenExecutor as error:
    raise errors.DataError(_describe_lost(children)) from error
  except MemoryError as error:
    raise errors.DataError(
        f'Memory ran out while images were read. {_FEWER}') from error


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
  """Lets Ctrl-C wait for the end of a block; what it starts never receives it.

  Ctrl-C is the parent's to tell, so workers start with it blocked. That alone
  does not keep it from the main thread: another thread of the process takes the
  signal and Python raises there, where a worker may have been started and not
  yet been told its work. Handler and mask are as before when the block ends.
  """
  received = []
  # Only the main thread may set a handler, and only it is interrupted; None is
  # a handler that is not Python's.
  is_held = (threading.current_thread() is threading.main_thread() and
             signal.getsignal(signal.SIGINT) is not None)
  if is_held:
    before = signal.signal(signal.SIGINT, lambda *_: received.append(True))
  mask = _block_interrupt()
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if is_held:
      signal.signal(signal.SIGINT, before)
  if received:
    signal.raise_signal(signal.SIGINT)


def _block_interrupt() -> set[int]:
  """Keeps Ctrl-C from this thread; returns what was kept from it before."""
  return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _start() -> None:
  process.take()
  process.decode_alone()
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)  # pylint: disable=protected-access


def _describe_lost(children: Sequence[multiprocessing.Process]) -> str:
  # The pool ends the others with SIGTERM.
  codes = [each.exitcode for each in children if each.exitcode]
  others = [code for code in codes if code != -signal.SIGTERM]
  code = (others or codes or [None])[0]
  if code is None or code == -signal.SIGKILL:
    how = ' (signal 9)' if code else ''
    return (f'A worker process was killed{how}, usually because memory ran '
            f'out. {_FEWER}')
  if code < 0:
    return (f'A worker process was killed (signal {-code}, '
            f'{signal.strsignal(-code)}). {_AGAIN}')
  return f'A worker process ended with exit code {code}. {_AGAIN}'
