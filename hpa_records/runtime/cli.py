"""Starts and ends every command: flags, exit codes, one line for an error.

Exit code 0: success. 2: invalid input, described on stderr in one line (or one
list), without a traceback. 1: another failure, with a traceback unless one line
describes it. 130: Ctrl-C. 141: the reader of stdout has exited, as head does.
143: SIGTERM; a training saves a checkpoint first. absl alone exits with 1 and
the help page for a mistyped flag and for --help.

A command is a module that defines flags and a function run(), which calls run
of this module. start() imports it, so that Ctrl-C, a closed terminal or an
invalid environment during its imports gives one line, too. Slow imports stand
inside its functions: --help and flag errors do not wait for them.
"""

import ast
import atexit
import contextlib
import functools
import importlib
import importlib.util
import itertools
import os
import pkgutil
import signal
import sys
from typing import Callable, Iterator, Mapping, NoReturn, Sequence

from absl import app
from absl import flags

import hpa_records
from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.runtime import help_page
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.runtime import terminal

_MOST_LETTERS = 400  # of absl's message about a flag
_LEAST_SPACE = 10**9  # bytes; with 0.9e9 pandas and pyarrow do not start

_HELP = {'--help', '-help', '--helpshort', '-helpshort', '-?', '-h'}
_VERSION = {'--version', '-version'}


def start(name: str) -> None:
  """Imports a command and runs it, as its console script does.

  Args:
    name: of its module, such as hpa_records.commands.make_records.
  """
  _begin()
  importlib.import_module(name).run()


def list_commands(name: str) -> None:
  """Prints the name and the purpose of each command of a package.

  Args:
    name: of the package, such as hpa_records.commands.
  """
  terminal.prepare()
  with _exit_on_errors():
    if set(sys.argv[1:]) - _HELP:
      _refuse(f'Expected no arguments, received {sys.argv[1]!r}; this only '
              'lists the commands, each of which starts under its own name.')
    package = importlib.import_module(name)
    for each in pkgutil.iter_modules(package.__path__, f'{name}.'):
      source = importlib.util.find_spec(each.name).loader.get_source(each.name)
      told = ast.get_docstring(ast.parse(source)).partition('\n')[0]
      command = each.name.rpartition('.')[2].replace('_', '-')
      print(f'hpa-{command:18}{told}')
    sys.stdout.flush()


def run(main: Callable[[], None] | None = None,
        subcommands: Mapping[str, Callable[[], None]] | None = None,
        text: str = '',
        groups: Mapping[str, Sequence[str]] | None = None) -> None:
  """Parses the flags, calls main() and exits with the project's exit codes.

  Args:
    main: called without arguments; raises errors.DataError for wrong input.
    subcommands: in place of main, name → such a function; the command's one
      argument that is no flag chooses among them, and they share all flags.
    text: this and the next of --help, as of help_page.Page.
    groups: as there.
  """
  _begin()
  process.end_imports()
  for number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
      signal.signal(number, _terminate)
  # By default absl stops parsing flags at the first positional argument.
  flags.FLAGS.set_gnu_getopt(True)
  try:
    with _exit_on_errors():
      app.run(lambda argv: _call(main or _choose(argv, subcommands), argv),
              flags_parser=functools.partial(_parse,
                                             page=help_page.Page(text, groups)))
  except SystemExit as left:
    if 'tensorflow' in sys.modules and isinstance(left.code, int | None):
      _end_at_once(left.code or 0)
    raise


def _end_at_once(code: int) -> NoReturn:
  """Exits without Python's finalization, in which TensorFlow may deadlock.

  Its prefetching threads wait there for Python functions that no longer run.
  """
  atexit._run_exitfuncs()  # pylint: disable=protected-access
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  os._exit(code)  # pylint: disable=protected-access


def _begin() -> None:
  """Sets up the process of a command."""
  try:
    os.getcwd()
  except FileNotFoundError:
    _leave('The current folder was removed; change to one that exists.', 2)
  _check_matplotlibrc()
  with _exit_on_errors():
    process.require_address_space(_LEAST_SPACE)
  process.take()
  terminal.prepare()
  process.begin_imports()


def _check_matplotlibrc() -> None:
  """Exits with 2 if importing matplotlib would fail or hang on this file."""
  path = os.path.abspath('matplotlibrc')
  if not os.path.exists(path) or os.path.isdir(path):
    return
  with contextlib.suppress(OSError, UnicodeDecodeError):
    if os.path.isfile(path):  # no pipe and no device
      with open(path, encoding='utf-8') as file:
        file.read()
        return
  _leave(
      f'{path} is not UTF-8 text, but matplotlib reads its settings from it. '
      'Move it elsewhere, or start in another folder.', 2)


def _parse(argv: list[str], page: help_page.Page) -> list[str]:
  try:
    words = flag_file.expand(argv[1:])
    asked = set(itertools.takewhile(lambda each: each != '--', words))
    if asked & _HELP:
      print(page.render())
      sys.exit(0)
    if asked & _VERSION:
      print(f'hpa-records {hpa_records.__version__}')
      sys.exit(0)
    return flags.FLAGS([argv[0], *words])
  except (flags.Error, ValueError) as error:  # absl has both for wrong flags
    message = str(error)  # it repeats the flag's whole value
    if len(message) > _MOST_LETTERS:
      half = _MOST_LETTERS // 2
      message = f'{message[:half]} ... {message[-half:]}'
    return _refuse(f'{message}; {argv[0]} --help lists the flags.')
  except SystemExit:  # of --helpfull and the like, which absl ends with 1
    sys.stdout.flush()
    sys.exit(0)


def _choose(
    argv: list[str],
    subcommands: Mapping[str, Callable[[], None]]) -> Callable[[], None]:
  """Returns the subcommand of argv[1], and removes argv[1]."""
  if len(argv) < 2 or argv[1] not in subcommands:
    received = repr(argv[1]) if len(argv) > 1 else 'none'
    _refuse(f'Expected one of {", ".join(subcommands)}, received {received}; '
            f'write {argv[0]} {next(iter(subcommands))} --name=value.')
  return subcommands[argv.pop(1)]


def _call(main: Callable[[], None], argv: list[str]) -> None:
  if len(argv) > 1:
    _refuse(f'Expected flags only, received {argv[1]!r}; write --name=value.')
  main()
  sys.stdout.flush()


class _Terminated(KeyboardInterrupt):
  """Another signal, handled as Ctrl-C: resources are released."""


def _terminate(number: int, _) -> None:
  if 'tensorflow' in sys.modules:  # which may not return for minutes
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
  raise _Terminated(signal.Signals(number))


@contextlib.contextmanager
def _exit_on_errors() -> Iterator[None]:
  """Exits with a one-line message for errors of a block that have one."""
  try:
    yield
  except errors.DataError as error:
    _refuse(str(error))
  except errors.StoppedEarly as error:
    _leave(str(error), error.exit_code)
  except terminal.OutputLost as error:
    if not error.is_closed:
      _refuse(f'Cannot write to standard output: {error.reason}.')
    _leave('', 128 + signal.SIGPIPE)  # as a shell reports it
  except MemoryError:
    _leave('Out of memory; free some, or use fewer --workers.', 1)
  except (OSError, RuntimeError) as error:
    reason = errors.explain_limit(error)
    if not reason:
      raise
    _leave(f'Stopped: {reason}.', 1)
  except _Terminated as error:
    number = error.args[0]
    _leave(f'{number.name}: {process.INTERRUPTED}', 128 + number)
  except KeyboardInterrupt:
    _leave(process.INTERRUPTED, 128 + signal.SIGINT)


def _refuse(message: str) -> NoReturn:
  _leave(printable.escape(message), 2)


def _leave(message: str, code: int) -> NoReturn:
  if message:
    print(message, file=sys.stderr)
  try:
    sys.stdout.flush()
  except terminal.OutputLost:
    terminal.drop_output()
  sys.exit(code)
