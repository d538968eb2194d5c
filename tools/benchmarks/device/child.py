"""Child processes of a measurement, with a time limit and their lines."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Mapping, Sequence

from benchmarks import process
from benchmarks.device import turn

_MOST_LETTERS = 300  # of a reason
_LOOK_EVERY_S = 0.02
_DRAIN_S = 5.0  # for the last lines of a process that has ended

# Of children that share a GPU: none may take all of its memory.
SHARED = {'TF_FORCE_GPU_ALLOW_GROWTH': 'true'}


class Failed(Exception):
  """A measurement failed; the message says why, in one line."""


class Child:
  """A command in a session of its own.

  Attributes:
    lines: (seconds since go, text) of each line on its stdout.
  """

  def __init__(self,
               command: Sequence[str],
               folder: str,
               environment: Mapping[str, str] | None = None):
    """Prepares a command without starting it.

    Args:
      command: program and arguments.
      folder: for files of this child.
      environment: variables to set beside those of this process.
    """
    self.lines: list[tuple[float, str]] = []
    self._command = command
    self._folder = tempfile.mkdtemp(dir=folder)
    self._environment = {
        **os.environ,
        **process.environment(),
        **(environment or {}), turn.START: os.path.join(self._folder, 'start')
    }
    self._process: subprocess.Popen | None = None
    self._thread: threading.Thread | None = None
    self._begun_s = 0.0

  def hold(self) -> None:
    """Makes the command wait for release once it is warm."""
    self._environment[turn.WARM] = os.path.join(self._folder, 'warm')

  def release(self) -> None:
    """Lets the command go on."""
    pathlib.Path(self._environment[turn.WARM]).touch()

  def await_line(self, text: str, limit_s: float) -> None:
    """Waits until the command has printed a line, has ended, or the limit.

    Args:
      text: of the line.
      limit_s: since go.
    """
    while (self._process.poll() is None and
           time.perf_counter() - self._begun_s < limit_s and
           all(line != text for _, line in self.lines)):
      time.sleep(_LOOK_EVERY_S)

  def start(self) -> None:
    """Starts the command; one of this package waits for go."""
    self._begun_s = time.perf_counter()
    with open(os.path.join(self._folder, 'stderr'), 'wb') as errors:
      try:
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=self._environment,
            encoding='utf-8',
            errors='replace',
            start_new_session=True)
      except OSError as error:
        raise Failed(f'cannot start {self._command[0]}: {error}') from error
    self._thread = threading.Thread(target=self._collect,
                                    args=(self._process.stdout,),
                                    daemon=True)
    self._thread.start()

  def go(self) -> None:
    """Starts the command if it was not, and lets it touch the device."""
    if self._process is None:
      self.start()
    self._begun_s = time.perf_counter()
    pathlib.Path(self._environment[turn.START]).touch()

  def finish(self, limit_s: float) -> None:
    """Waits for the end, and stops the command at its limit.

    Args:
      limit_s: since go.

    Raises:
      Failed: the limit was reached, or the exit code is not 0.
    """
    left_s = limit_s - (time.perf_counter() - self._begun_s)
    try:
      self._process.wait(max(0.0, left_s))
    except subprocess.TimeoutExpired:
      self.stop()
      raise Failed(f'stopped at its limit of {limit_s:.0f} s; last line: '
                   f'{self._last_line()}') from None
    self._thread.join(_DRAIN_S)
    if self._process.returncode:
      raise Failed(f'exit code {self._process.returncode}: {self._last_line()}')

  def stop(self) -> None:
    """Kills the command and what it started."""
    running, self._process = self._process, None
    if running is None:
      return
    with contextlib.suppress(ProcessLookupError):
      os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    self._thread.join(_DRAIN_S)

  def _collect(self, stdout: IO[str]) -> None:
    with stdout:
      for line in stdout:
        self.lines.append((time.perf_counter() - self._begun_s, line.rstrip()))

  def _last_line(self) -> str:
    """Returns the last line on stderr, or else on stdout."""
    text = pathlib.Path(self._folder, 'stderr').read_text('utf-8', 'replace')
    said = [line for _, line in self.lines] + text.splitlines()
    return next((line.strip()[:_MOST_LETTERS]
                 for line in reversed(said)
                 if line.strip()), 'none')


def of_module(name: str, words: Sequence[str]) -> list[str]:
  """Returns the command that runs a module of the package benchmarks.

  Args:
    name: of the module, such as 'device.data'.
    words: its arguments.
  """
  return [sys.executable, '-m', f'benchmarks.{name}', *words]
