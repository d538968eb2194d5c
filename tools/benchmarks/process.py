"""Runs a command in its own process, and measures time and memory.

Wall time includes the start of the interpreter. Processor time includes child
processes that ended. The peak of memory is VmHWM, read every 20 ms, since
ru_maxrss includes the memory of the process that started it. Without /proc it
is ru_maxrss, and the memory of workers is unknown.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from typing import Iterator, Mapping, Sequence

from hpa_records.runtime import errors

_TOOLS = str(pathlib.Path(__file__).resolve().parent.parent)
_LOOK_EVERY_S = 0.02
# One thread each, so that a core is a core; no peer gets help from another.
_ENVIRONMENT = {
    'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'MKL_NUM_THREADS': '1',
    'OPENCV_FOR_THREADS_NUM': '1',
    'TF_CPP_MIN_LOG_LEVEL': '3',
}


@dataclasses.dataclass(frozen=True)
class Finished:
  """Time, memory and output of a command.

  Attributes:
    wall_s: from before its start to its end.
    cpu_s: user and system time, with that of its workers.
    parent_mib: peak of resident memory of the command's own process.
    worker_mib: the same of the largest child process; 0 without one.
    stdout: its output.
  """
  wall_s: float
  cpu_s: float
  parent_mib: float
  worker_mib: float
  stdout: str


def run_module(name: str,
               words: Sequence[str],
               num_cores: int,
               python: str = sys.executable) -> Finished:
  """Runs a module of this package, which prints its result, as run does.

  Args:
    name: of the module.
    words: its arguments.
    num_cores: number of cores that it may use.
    python: interpreter to run it with.

  Raises: as run.
  """
  return run([python, '-m', f'benchmarks.{name}', *words], num_cores,
             environment())


def environment() -> dict[str, str]:
  """Returns the variables with which Python finds this package.

  From any folder, and nothing in the current one is taken for it.
  """
  paths = [_TOOLS, *filter(None, [os.environ.get('PYTHONPATH')])]
  return {'PYTHONPATH': os.pathsep.join(paths), 'PYTHONSAFEPATH': '1'}


def run(command: Sequence[str],
        num_cores: int,
        variables: Mapping[str, str] | None = None) -> Finished:
  """Runs a command to its end on num_cores cores, where that can be set.

  Args:
    command: program and arguments.
    num_cores: number of cores that it may use.
    variables: of the environment, to set beside those of this process.

  Raises:
    errors.DataError: the command cannot be started, or refused its input
      (exit code 2).
    RuntimeError: the command failed.
  """
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    start_s = time.perf_counter()
    try:
      with _cores(num_cores):
        child = subprocess.Popen(  # pylint: disable=consider-using-with
            command,
            stdout=out,
            stderr=err,
            env={
                **os.environ,
                **_ENVIRONMENT,
                **(variables or {})
            })
    except OSError as error:
      raise errors.DataError(
          f'Cannot start {command[0]}: {errors.explain(error)}.') from error
    memory = _Memory(child.pid)
    try:
      with memory:
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:
      child.kill()
      child.wait()
      raise
    wall_s = time.perf_counter() - start_s
    child.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0)
    err.seek(0)
    if child.returncode:
      _fail(command, child.returncode, err.read().decode(errors='replace'))
    parent_kib = memory.parent_kib or _maxrss_kib(usage)
    return Finished(wall_s, usage.ru_utime + usage.ru_stime, parent_kib / 1024,
                    memory.worker_kib / 1024,
                    out.read().decode())


def _fail(command: Sequence[str], code: int, said: str) -> None:
  if code == 2:
    raise errors.DataError(said.strip())
  raise RuntimeError(f'{" ".join(command)} ended with {code}:\n{said}')


def _maxrss_kib(usage) -> float:
  """macOS counts bytes, everyone else KiB."""
  return usage.ru_maxrss / (1024 if sys.platform == 'darwin' else 1)


@contextlib.contextmanager
def _cores(count: int) -> Iterator[None]:
  """Pins processes started in the block to the first cores of this one."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  ours = os.sched_getaffinity(0)
  os.sched_setaffinity(0, sorted(ours)[:count])
  try:
    yield
  finally:
    os.sched_setaffinity(0, ours)


class _Memory:
  """Polls the peak memory of a process, and of its children.

  A process that is being started still shows the memory of its parent. A peak
  never falls, so the last value is the right one.
  """

  def __init__(self, pid: int):
    self._pid, self._peaks_kib = pid, {}
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._look, daemon=True)

  def __enter__(self) -> '_Memory':
    self._thread.start()
    return self

  def __exit__(self, *exc) -> None:
    self._stop.set()
    self._thread.join()

  @property
  def parent_kib(self) -> int:
    return self._peaks_kib.get(self._pid, 0)

  @property
  def worker_kib(self) -> int:
    return max(
        (kib for pid, kib in self._peaks_kib.items() if pid != self._pid),
        default=0)

  def _look(self) -> None:
    while not self._stop.wait(_LOOK_EVERY_S):
      pids = [self._pid]
      while pids:
        folder = pathlib.Path('/proc', str(pids.pop()))
        with contextlib.suppress(OSError):  # it ended, or there is no /proc
          pids += _children(folder)
          found_kib = peak_kib(folder.name)
          if found_kib:  # else it has ended
            self._peaks_kib[int(folder.name)] = found_kib


def peak_kib(pid: str) -> int:
  """Returns the peak of resident memory (VmHWM) of a process; 0 if unknown.

  Args:
    pid: its number, or 'self'.

  Raises:
    OSError: it has ended.
  """
  if not os.path.isdir('/proc/self'):
    return 0
  status = pathlib.Path('/proc', pid, 'status').read_text(encoding='utf-8')
  found = re.search(r'VmHWM:\s+(\d+) kB', status)
  return int(found[1]) if found else 0


def _children(folder: pathlib.Path) -> list[int]:
  return [
      int(pid)
      for task in (folder / 'task').iterdir()
      for pid in (task / 'children').read_text().split()
  ]
