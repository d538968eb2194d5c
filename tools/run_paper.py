"""The paper's experiment: PReLU and SELU, all folds of each, side by side.

  python tools/run_paper.py --records=records --workdir=paper

prelu.flags and selu.flags train one after the other, into WORKDIR/prelu and
WORKDIR/selu; other flags of trainer.main may follow and hold for both. Then
Table 2 of each is printed beside the paper's, and WORKDIR/report.html written.
The same command goes on where it was cut off.
"""

import os
import pathlib
import signal
import subprocess
import sys

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.storage import path_check
from trainer import main as trainer_main
from trainer.report import page
from trainer.report import tables
from trainer.run import finished_run

_ROOT = pathlib.Path(__file__).parent.parent
_RUNS = ('prelu', 'selu')
# Not -m, which takes a folder named trainer where the user stands.
_TRAIN = ('import runpy, sys; sys.path[:] = filter(None, sys.path); '
          'runpy.run_module("trainer.main", None, "__main__", alter_sys=True)')


def main() -> None:
  for name in ('fold', 'activation'):
    if flags.FLAGS[name].present:
      raise errors.DataError(
          f'Expected no --{name}, which the experiment sets, received '
          f'{flags.FLAGS[name].value}; leave it out, also of a flag file, or '
          'use python -m trainer.main.')
  if '--' in flag_file.expand(sys.argv[1:]):  # others come behind
    raise errors.DataError('Expected flags only, received --; leave it out.')
  records = path_check.require_path(flags.FLAGS.records, 'records')
  directory = path_check.require_local(flags.FLAGS.workdir, 'workdir')
  path_check.refuse_shared([('workdir', directory)], [('records', records)],
                           closed=[('records', records)])
  runs = [os.path.join(directory, name) for name in _RUNS]
  page.prepare(directory, 'workdir')  # before hours of training
  for name, run in zip(_RUNS, runs):
    _train([
        f'--flagfile={_ROOT / name}.flags', *sys.argv[1:], f'--workdir={run}',
        f'--fold={trainer_main.ALL}'
    ])
  for name, run in zip(_RUNS, runs):
    print(f'\n{name}\n{tables.format_metrics(finished_run.load(run))}')
  print(page.write(runs, directory))


def _train(arguments: list[str]) -> None:
  """Trains in a process of its own, and ends with it if it fails."""
  with subprocess.Popen([sys.executable, '-c', _TRAIN, *arguments]) as process:
    # It saves before it leaves. Ctrl-C reaches it without help.

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
    sys.exit(code if code > 0 else 128 - code)  # as a shell tells a signal


if __name__ == '__main__':
  cli.run(main)
