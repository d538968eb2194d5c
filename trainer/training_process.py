"""Trainings of hpa-train that another command starts, a process each."""

from collections.abc import Sequence
import copy
import dataclasses
import signal
import subprocess
import sys

from absl import flags

from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.storage import path_check
from trainer import config

# Not -m, which would import a folder named trainer in the current directory.
_RUN = ('import sys; sys.path[:] = filter(None, sys.path); '
        'from trainer import __main__; __main__.{}()')


def find_places() -> tuple[str, str]:
  """Returns --records and --workdir of a command that starts trainings.

  Raises:
    errors.DataError: a path is missing or shared, or the command line has --,
      behind which other words come.
  """
  if '--' in flag_file.expand(sys.argv[1:]):
    raise errors.DataError('Expected flags only, received --; leave it out.')
  records = path_check.require_path(flags.FLAGS.records, 'records')
  directory = path_check.require_local(flags.FLAGS.workdir, 'workdir')
  path_check.refuse_shared([('workdir', directory)], [('records', records)],
                           closed=[('records', records)])
  return records, directory


def parse(words: Sequence[str], where: str = '') -> flags.FlagValues:
  """Returns the values of all flags if these words alone were given.

  Args:
    words: flags, without --flagfile.
    where: they are from, for the message.

  Raises:
    errors.DataError: one of them is not a flag, or has a wrong value.
  """
  values = copy.deepcopy(flags.FLAGS)
  values.unparse_flags()
  for name in values:
    values[name].unparse()
  try:
    _, *others = values([sys.argv[0], *words])
  except (flags.Error, ValueError) as error:  # absl has both for wrong flags
    raise errors.DataError(f'{error}{where}.') from error
  if others:
    raise errors.DataError(f'Expected flags only, received {others[0]!r}'
                           f'{where}.')
  return values


def list_arguments(words: Sequence[str]) -> list[str]:
  """Returns these words, without flags that hpa-train does not have.

  Raises:
    errors.DataError: one of them is not a flag, or has a wrong value.
  """
  values = parse(words)
  names = [each.name for each in dataclasses.fields(config.Config)]
  # Refuses a wrong value before anything is trained.
  config.Config(**{each: values[each].value for each in names} | {'fold': 0})
  return [values[each].serialize() for each in names if values[each].present]


def run(arguments: Sequence[str], command: str = 'train') -> int:
  """Runs a command in its own process; returns its exit code, as a shell does.

  SIGTERM and SIGHUP are passed on: it saves a checkpoint. Ctrl-C reaches it
  directly.

  Args:
    arguments: its flags.
    command: name of a function in trainer/__main__.py.
  """
  code = _RUN.format(command)
  with subprocess.Popen([sys.executable, '-c', code, *arguments]) as process:

    def pass_on(number, _):
      process.send_signal(number)

    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: pass_on}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
      handlers[signal.SIGHUP] = pass_on
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
    }
    code = process.wait()
    for number, handler in before.items():
      signal.signal(number, handler)
  return code if code >= 0 else 128 - code
