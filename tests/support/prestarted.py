"""Commands in processes that have imported TensorFlow before they begin.

A Python process takes three to four seconds of a processor to import TensorFlow
and pandas, and most commands take less for what a test looks at. So one process
a pytest process imports them once, and forks for each command: see
prestart_server.py. What a test starts is prestart_client.py, which passes on
signals, stops and the exit code. A command has a folder, an environment, files
and modules of this project of its own.

Not for tests of how a process starts or ends (imports, limits, options of
Python, variables that Python or TensorFlow reads at its start), of memory, nor
of two processes that must do the same: those of one server share the seed of
hash().
"""

import atexit
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import Mapping, Sequence

ROOT = pathlib.Path(__file__).parents[2]
_FOLDER = pathlib.Path(__file__).parent


@functools.cache
def find_python() -> tuple[str, ...]:
  """Returns the words that take the place of sys.executable.

  Behind them come a script, or -m and a module, or -c and code, or - for code
  on standard input, and their arguments.
  """
  if sys.platform != 'linux':  # forks of a process with threads may hang
    return (sys.executable,)
  client = _FOLDER / 'prestart_client.py'
  return sys.executable, '-IS', str(client), _start()


def run(words: Sequence[str | os.PathLike],
        cwd: str | os.PathLike = ROOT,
        env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
  """Returns a command that has ended, and what it said.

  Args:
    words: as behind find_python.
    cwd: the folder to run in.
    env: its variables; None for those of this process.
  """
  return subprocess.run([*find_python(), *words],
                        cwd=cwd,
                        env=env,
                        stdin=subprocess.DEVNULL,
                        capture_output=True,
                        text=True,
                        check=False)


def _start() -> str:
  """Starts the server; returns its address."""
  folder = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  address = f'{folder}/socket'
  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
    listener.bind(address)
    listener.listen()
    # It ends when its input does: with this process.
    server = subprocess.Popen(  # pylint: disable=consider-using-with
        [
            sys.executable, _FOLDER / 'prestart_server.py',
            str(listener.fileno())
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # TensorFlow's, of its start
        pass_fds=[listener.fileno()])
  atexit.register(server.communicate)
  return address
