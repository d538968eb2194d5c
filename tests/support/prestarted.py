"""Commands in processes that have imported TensorFlow before they begin.

A Python process takes three to four seconds of a processor to import TensorFlow
and pandas, most commands less for what a test looks at. So one process a pytest
process imports them once, and forks for each command. What it forked is a
process as any other: with a folder, an environment, files and an exit code of
its own, and modules of this project that it imports itself. It finds
'tensorflow' in sys.modules after it has imported it, not before.

Not for tests of how a process starts or ends (imports, signals, limits, options
of Python, variables that Python or TensorFlow reads at its start), nor of two
processes that must do the same: those of one server share the seed of hash().
"""

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.abc
import importlib.util
import json
import multiprocessing.process
import os
import pathlib
import runpy
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import types
from typing import Iterator, Mapping, Sequence

ROOT = pathlib.Path(__file__).parents[2]
_IMPORTED = ('absl.app', 'cv2', 'fsspec', 'jinja2', 'matplotlib.pyplot',
             'numpy', 'pandas', 'PIL.Image', 'pyarrow.parquet', 'scipy.stats',
             'tensorflow', 'keras')
_MOST_BYTES = 2**20  # of a request
_STREAMS = (('stdin', 0, 'r', {}), ('stdout', 1, 'w', {}), ('stderr', 2, 'w', {
    'buffering': 1,
    'errors': 'backslashreplace'
}))


def run(words: Sequence[str | os.PathLike],
        cwd: str | os.PathLike = ROOT,
        env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
  """Returns what subprocess.run does that captures output as text.

  Args:
    words: those behind "python": a script, or -m and a module, or -c and code,
      or - for code on standard input, and their arguments.
    cwd: the folder to run in.
    env: its variables; None for those of this process.
  """
  words = [os.fspath(word) for word in words]
  with (tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as
        err, open(os.devnull, 'rb') as nothing):
    code = _ask(_start(), words, cwd, os.environ if env is None else env,
                [file.fileno() for file in (nothing, out, err)])
    said = []
    for file in (out, err):
      file.seek(0)
      said.append(file.read().decode())
  return subprocess.CompletedProcess([sys.executable, *words], code, *said)


def find_python() -> str:
  """Returns the words, for a shell, that take the place of "python" in it."""
  return shlex.join([sys.executable, '-IS', __file__, _start()])


@functools.cache
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
        [sys.executable, __file__,
         str(listener.fileno())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # TensorFlow's, of its start
        pass_fds=[listener.fileno()])
  atexit.register(server.communicate)
  return address


def _ask(address, words, cwd, env, files) -> int:
  """Returns the exit code of a command."""
  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(address)
    request = {'words': words, 'cwd': os.fspath(cwd), 'env': dict(env)}
    socket.send_fds(server, [json.dumps(request).encode()], files)
    return int(server.recv(_MOST_BYTES))


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
    connection, _ = listener.accept()
    with connection:
      data, files, *_ = socket.recv_fds(connection, _MOST_BYTES, 3)
      child = os.fork()
      if not child:
        for number, file in enumerate(files):
          os.dup2(file, number)
          os.close(file)
        return json.loads(data)
      for file in files:
        os.close(file)
      status = os.waitpid(child, 0)[1]
      connection.send(str(os.waitstatus_to_exitcode(status)).encode())
  return {}


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
  """Does what Python does at its start."""
  # Python's own ask a file at its start whether it can seek.
  for name, number, mode, how in _STREAMS:
    stream = open(number, mode, closefd=False, **how)  # pylint: disable=unspecified-encoding,consider-using-with
    setattr(sys, name, stream)
    setattr(sys, f'__{name}__', stream)
  os.chdir(cwd)
  os.environ.clear()
  os.environ.update(env)
  found = env.get('PYTHONPATH', '').split(os.pathsep)
  sys.path[1:1] = filter(None, found)
  # What Python and numpy have noted of the server.
  multiprocessing.process.ORIGINAL_DIR = cwd
  tempfile.tempdir = None
  sys.modules['numpy'].random.seed()
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


def _main(address_or_file: str, *words: str) -> None:
  """Asks the server at an address, or becomes it on a socket."""
  if words:
    code = _ask(address_or_file, words, os.getcwd(), os.environ, (0, 1, 2))
    sys.exit(code if code >= 0 else 128 - code)  # as a shell tells of a signal
  request = _serve(
      socket.socket(socket.AF_UNIX,
                    socket.SOCK_SEQPACKET,
                    fileno=int(address_or_file)))
  if request:
    with _ended():
      _become(**request)


if __name__ == '__main__':
  _main(*sys.argv[1:])
