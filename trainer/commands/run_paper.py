"""Trains PReLU and SELU on all folds, as the paper does.

  hpa-run-paper --records=records --workdir=paper

Trains one after the other, into WORKDIR/prelu and WORKDIR/selu, with the
paper's balance and augmentation (--balance=hybrid --augment=paper). Flags of
hpa-train apply to both, and may replace these two. Then prints Table 2 of each
beside the paper's, and writes WORKDIR/report.html. The same command continues
an interrupted run.
"""

import os
import signal
import subprocess
import sys

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.runtime import process as process_lib
from hpa_records.storage import path_check
from trainer import config
from trainer import setting
from trainer.commands import train

_RUNS = ('prelu', 'selu')  # activations
# Of the paper, and not the defaults; those are Table 1's.
_PAPER = ('--balance=hybrid', '--augment=paper')
# Not -m, which would import a folder named trainer in the current directory.
_TRAIN = ('import runpy, sys; sys.path[:] = filter(None, sys.path); '
          'runpy.run_module("trainer.main", None, "__main__", alter_sys=True)')


def main() -> None:
  """Trains both networks of the paper, and writes their report."""
  with process_lib.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from trainer.report import page
    from trainer.report import tables
    from trainer.run import finished_run
  for name in ('fold', 'activation'):
    if flags.FLAGS[name].present:
      raise errors.DataError(
          f'Expected no --{name}, which the experiment sets, received '
          f'{flags.FLAGS[name].value}; leave it out, also of a flag file, or '
          'use hpa-train.')
  if '--' in flag_file.expand(sys.argv[1:]):  # others come behind
    raise errors.DataError('Expected flags only, received --; leave it out.')
  records = path_check.require_path(flags.FLAGS.records, 'records')
  directory = path_check.require_local(flags.FLAGS.workdir, 'workdir')
  path_check.refuse_shared([('workdir', directory)], [('records', records)],
                           closed=[('records', records)])
  runs = [os.path.join(directory, name) for name in _RUNS]
  page.prepare(directory, 'workdir')  # before hours of training
  for name, folder in zip(_RUNS, runs):
    _train([
        *_PAPER, *sys.argv[1:], f'--activation={name}', f'--workdir={folder}',
        f'--fold={train.ALL}'
    ])
  for name, folder in zip(_RUNS, runs):
    print(f'\n{name}\n{tables.format_metrics(finished_run.load(folder))}')
  print(page.write(runs, directory))


def _train(arguments: list[str]) -> None:
  """Trains in a subprocess, and exits with its code if it fails."""
  with subprocess.Popen([sys.executable, '-c', _TRAIN, *arguments]) as process:
    # It saves a checkpoint on a signal. Ctrl-C reaches it directly.

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
  if code:
    sys.exit(code if code > 0 else 128 - code)  # as a shell reports a signal


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  groups = setting.list_groups(config.Config)
  cli.run(main,
          text=__doc__,
          groups={
              heading: [
                  name for name in names if name not in ('fold', 'activation')
              ] for heading, names in groups.items()
          })
