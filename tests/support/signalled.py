"""Commands that get a signal at a place of their work, however fast they are.

Whoever waits for a file to appear and then sends a signal is too late on a slow
machine. Here the command's own process sends it, by hook/sitecustomize.py: all
files appear by a rename, so the N-th rename to a name is a moment of the work.
"""

import os
import pathlib
import signal
import subprocess
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]
_HOOK = pathlib.Path(__file__).parent / 'hook'


def environment(pattern: str,
                number: int,
                sent: int,
                whom: str = 'self',
                log: str = '') -> dict[str, str]:
  """Returns the environment of a command that gets a signal.

  Args:
    pattern: of the path that a file is renamed to, as fnmatch takes it.
    number: of the rename, from 1, before which the signal comes; 0 for none.
    sent: the signal; 0 makes the process wait there for ever.
    whom: 'self', who renames; or 'parent', who started it and passes the signal
      on, which is waited for.
    log: file that gets a line a rename.
  """
  paths = [str(_HOOK), str(_ROOT), os.environ.get('PYTHONPATH', '')]
  return {
      **os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)),
      'HOOK_PATTERN': pattern,
      'HOOK_NUMBER': str(number),
      'HOOK_SIGNAL': str(int(sent)),
      'HOOK_WHOM': whom,
      'HOOK_LOG': log
  }


def start_stopped(command: list[str], pattern: str, number: int,
                  **kwargs: Any) -> subprocess.Popen:
  """Starts a command; returns when it has stopped before a rename.

  Args:
    command: its words.
    pattern: as of environment.
    number: as of environment.
    **kwargs: of Popen.

  Raises:
    RuntimeError: it has ended before.
  """
  process = subprocess.Popen(  # pylint: disable=consider-using-with
      command,
      cwd=_ROOT,
      env=environment(pattern, number, signal.SIGSTOP),
      **kwargs)
  wait_stopped(process)
  return process


def wait_stopped(process: subprocess.Popen) -> None:
  """Waits until a child of this process has stopped.

  Raises:
    RuntimeError: it has ended before.
  """
  found = os.waitid(os.P_PID, process.pid,
                    os.WSTOPPED | os.WEXITED | os.WNOWAIT)
  if found.si_code != os.CLD_STOPPED:
    raise RuntimeError(f'{process.args} ended before it stopped')
