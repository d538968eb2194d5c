"""Worker processes that exit with their parent, also if it is killed.

Spawned, not forked: pyarrow and TensorFlow start threads, and forking a process
with threads may hang the child.
"""

import concurrent.futures
import contextlib
import multiprocessing
from multiprocessing import connection
import os
import signal
import threading
from typing import Callable, Iterator, Sequence, TypeVar

from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process

_Task = TypeVar('_Task')
_Result = TypeVar('_Result')

# Also for EPIPE, from a helper process that has just exited.
_FEWER_PROCESSES = ('raise the limit of processes (ulimit -u), or '
                    'use fewer --workers')
_FEWER = 'Run the same command with fewer --workers; what is finished is kept.'
_AGAIN = 'Run the same command again; what is finished is kept.'


def run(work: Callable[[_Task], _Result], tasks: Sequence[_Task],
        workers: int) -> Iterator[tuple[_Task, _Result]]:
  """Yields (task, work(task)) in the order in which they are done.

  Args:
    work: what the processes do.
    tasks: their arguments.
    workers: number of processes; 0 is one per core available to this process.
      1 uses this process itself.

  Raises:
    errors.DataError: as of work; or a worker was killed, or memory ran out.
  """
  workers = min(workers or host.num_cores(), len(tasks))
  if workers <= 1:
    process.decode_alone()
    for task in tasks:
      yield task, work(task)
    return
  pool = start(workers)
  with translate_errors(multiprocessing.active_children()):
    try:
      made = {pool.submit(work, task): task for task in tasks}
      for future in concurrent.futures.as_completed(made):
        # Not kept: a result may be a histogram of some megabytes.
        yield made.pop(future), future.result()
        del future
    except (KeyboardInterrupt, GeneratorExit):
      # Killed: a worker that waits for a disk may never end. Its temporary
      # files are removed by the next run.
      kill(pool)
      raise
    finally:
      stop(pool)


def start(count: int) -> concurrent.futures.ProcessPoolExecutor:
  """Returns a pool whose worker processes are starting.

  Args:
    count: number of processes, at least 1.

  Raises:
    errors.DataError: the system cannot start so many processes.
  """
  pool = None
  try:
    with _delay_interrupt():
      pool = concurrent.futures.ProcessPoolExecutor(
          count, multiprocessing.get_context('spawn'), _start)
      _block_interrupt()  # Python unblocks it for multiprocessing's helper
      # The executor starts a process for each call that finds none idle.
      for _ in range(count):
        pool.submit(os.getpid)
    return pool
  except (OSError, RuntimeError) as error:
    # At exit Python would wait for the started workers, and they for work.
    kill(pool)
    if isinstance(error, RuntimeError) and not errors.explain_limit(error):
      raise
    reason = errors.explain_limit(error) or errors.explain(
        error, _FEWER_PROCESSES)
    raise errors.DataError(
        f'Cannot start {count} worker processes: {reason}.') from error


def kill(pool: concurrent.futures.Executor | None) -> None:
  """Kills the worker processes, for example where a disk does not respond.

  Unfinished files are lost. Call stop afterwards.

  Args:
    pool: from start; None does nothing.
  """
  for each in list((getattr(pool, '_processes', None) or {}).values()):
    each.kill()


def stop(pool: concurrent.futures.Executor) -> None:
  """Cancels waiting calls, waits for running ones and ends the workers."""
  # Python 3.11 takes a thread whose join was interrupted for one that has
  # ended, and would exit before a worker that is still starting.
  with _delay_interrupt():
    pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def translate_errors(children: Sequence[multiprocessing.Process] = (
)) -> Iterator[None]:
  """Raises a one-line error where a worker was killed or memory ran out.

  Args:
    children: the workers, whose exit codes name the signal.

  Raises:
    errors.DataError: in place of BrokenExecutor and MemoryError.
  """
  try:
    yield
  except concurrent.futures.BrokenExecutor as error:
    raise errors.DataError(_describe_lost(children)) from error
  except MemoryError as error:
    raise errors.DataError(
        f'Out of memory while reading images. {_FEWER}') from error


@contextlib.contextmanager
def _delay_interrupt() -> Iterator[None]:
  """Delays Ctrl-C to the end of a block; processes it starts never get it.

  Only the parent handles Ctrl-C, so workers start with it blocked. Blocking
  alone does not protect the main thread: another thread receives the signal and
  Python raises in the main thread, perhaps between the start of a worker and
  its first call. Handler and mask are restored when the block ends.
  """
  received = []
  # Only the main thread may set a handler, and only it is interrupted. None:
  # the handler was not set from Python.
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
  """Blocks SIGINT in this thread; returns the signal mask before."""
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
