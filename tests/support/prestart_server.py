"""A process that has imported TensorFlow, and forks for each command.

Its argument is the descriptor of the socket on which prestart_client.py asks.
A command finds "tensorflow" in sys.modules once it has imported it, not before.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import multiprocessing.process
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import types
from typing import Iterator

_IMPORTED = ('absl.app', 'cv2', 'fsspec', 'jinja2', 'matplotlib.pyplot',
             'numpy', 'pandas', 'PIL.Image', 'pyarrow.parquet', 'scipy.stats',
             'tensorflow', 'keras')
_MOST_BYTES = 2**20  # of a request
_STREAMS = (('stdin', 0, 'r', {}), ('stdout', 1, 'w', {}), ('stderr', 2, 'w', {
    'buffering': 1,
    'errors': 'backslashreplace'
}))


class _Kept(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Finds modules that were imported, and then taken from sys.modules."""

  def __init__(self, *names: str):
    self._modules = {name: sys.modules.pop(name) for name in names}

  def find_spec(self, fullname, path, target=None):
    del path, target
    if fullname not in self._modules:
      return None
    return importlib.util.spec_from_loader(fullname, self)

  def create_module(self, spec):
    return self._modules[spec.name]

  def exec_module(self, module):
    del module


def _serve(listener: socket.socket) -> dict:
  """Answers requests; returns each in a process of its own.

  The server itself returns at the end of its input, without one.
  """
  for name in _IMPORTED:
    importlib.import_module(name)
  # cli.py looks whether a command has imported it.
  sys.meta_path.insert(0, _Kept('tensorflow'))
  gc.freeze()  # else a collection copies all of it
  while listener in select.select([listener, 0], [], [])[0]:
    client, _ = listener.accept()
    with contextlib.suppress(ChildProcessError):
      while os.waitpid(-1, os.WNOHANG)[0]:
        pass
    if not os.fork():
      listener.close()
      return _start(client)
    client.close()
  return {}


def _start(client: socket.socket) -> dict:
  """Returns a client's request in a new process; serves the client in this."""
  data, files, *_ = socket.recv_fds(client, _MOST_BYTES, 3)
  heard, said = os.pipe()
  os.set_blocking(said, False)
  signal.set_wakeup_fd(said)
  signal.signal(signal.SIGCHLD, lambda *_: None)
  command = os.fork()
  if not command:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    client.close()
    for number, file in enumerate(files):
      os.dup2(file, number)
    for file in (*files, heard, said):
      os.close(file)
    return json.loads(data)
  for number, file in enumerate(files):  # readers wait for the end of output
    os.close(number)
    os.close(file)
  client.send(str(command).encode())
  while True:
    if client in select.select([client, heard], [], [])[0]:
      os.kill(command, signal.SIGKILL)  # as the client was
      os.waitpid(command, 0)
      break
    os.read(heard, _MOST_BYTES)
    ended, status = os.waitpid(command, os.WNOHANG | os.WUNTRACED)
    if ended and os.WIFSTOPPED(status):
      client.send(b'stopped')
    elif ended:
      client.send(str(os.waitstatus_to_exitcode(status)).encode())
      break
  os._exit(0)  # pylint: disable=protected-access


@contextlib.contextmanager
def _ended() -> Iterator[None]:
  """Ends the process as Python does, but leaves all memory to the system.

  Python would go through the objects of all modules, for a second.
  """
  code = 0
  try:
    yield
  except SystemExit as left:
    code = left.code or 0
    if not isinstance(code, int):
      print(code, file=sys.stderr)
      code = 1
  except BaseException:  # pylint: disable=broad-exception-caught
    sys.excepthook(*sys.exc_info())
    code = 1
  threading._shutdown()  # pylint: disable=protected-access
  atexit._run_exitfuncs()  # pylint: disable=protected-access
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)  # pylint: disable=protected-access


def _become(words: list[str], cwd: str, env: dict[str, str]) -> None:
  """Does what Python does at its start, and runs what it was given."""
  # Python's own ask a file at its start whether it can seek.
  for name, number, mode, how in _STREAMS:
    stream = open(number, mode, closefd=False, **how)  # pylint: disable=unspecified-encoding,consider-using-with
    setattr(sys, name, stream)
    setattr(sys, f'__{name}__', stream)
  os.chdir(cwd)
  os.environ.clear()
  os.environ.update(env)
  sys.path[1:1] = filter(None, env.get('PYTHONPATH', '').split(os.pathsep))
  # What Python and numpy have noted of the server.
  multiprocessing.process.ORIGINAL_DIR = cwd
  tempfile.tempdir = None
  sys.modules['numpy'].random.seed()
  sys.modules.pop('sitecustomize', None)
  with contextlib.suppress(ModuleNotFoundError):
    importlib.import_module('sitecustomize')  # that of signalled.py
  if words[0] == '-m':
    sys.path[0], sys.argv = cwd, words[1:]
    runpy.run_module(words[1], run_name='__main__', alter_sys=True)
  elif words[0] in ('-c', '-'):
    code, name = ((words.pop(1), '<string>') if words[0] == '-c' else
                  (sys.stdin.read(), '<stdin>'))
    sys.path[0], sys.argv = '', words
    main = sys.modules['__main__'] = types.ModuleType('__main__')
    exec(compile(code, name, 'exec'), vars(main))  # pylint: disable=exec-used
  else:
    sys.path[0], sys.argv = os.path.dirname(os.path.abspath(words[0])), words
    runpy.run_path(words[0], run_name='__main__')


if __name__ == '__main__':
  _asked = _serve(
      socket.socket(socket.AF_UNIX,
                    socket.SOCK_SEQPACKET,
                    fileno=int(sys.argv[1])))
  if _asked:
    with _ended():
      _become(**_asked)
