"""commands/run_paper: two activations, all folds, one page, in two goes."""

import json
import pathlib
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tests.support import fakes
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[3]
_FOLDS = 2


@pytest.fixture(name='arguments')
def _arguments(tmp_path):
  records = fakes.write_records(tmp_path, 24, 32, num_folds=_FOLDS)
  return [
      sys.executable,
      str(_ROOT / 'tools' / 'run_paper.py'), f'--records={records}',
      f'--workdir={tmp_path}/paper', '--epochs=3', '--batch_size=8',
      '--distribute=cpu', '--balance_target=2'
  ]


def test_both_activations_are_trained_and_reported(arguments, tmp_path):
  # A signal while the first fold trains: it is passed on, saved and obeyed. The
  # training sends it to the command that started it.
  first = subprocess.run(arguments,
                         env=signalled.environment(
                             '*/prelu/fold0/checkpoints/*', 1, signal.SIGTERM,
                             'parent'),
                         capture_output=True,
                         text=True,
                         check=False)
  assert first.returncode == 128 + signal.SIGTERM, first.stderr
  assert 'run the same command to continue' in first.stderr

  # A folder of that name is not taken for ours.
  (tmp_path / 'trainer').mkdir()
  (tmp_path / 'trainer' / 'main.py').write_text('raise SystemExit("not ours")')
  done = subprocess.run(arguments,
                        cwd=tmp_path,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 0, done.stderr
  assert f'Continuing {tmp_path}/paper/prelu/fold0' in done.stdout
  assert done.stdout.splitlines()[-1] == f'{tmp_path}/paper/report.html'
  assert 'Expected' not in done.stderr and 'retracing' not in done.stderr
  page = (tmp_path / 'paper' / 'report.html').read_text()
  for name in ('prelu', 'selu'):
    table = pd.read_csv(tmp_path / 'paper' / 'report' / f'{name}_metrics.csv',
                        index_col='name')
    assert list(table.index) == ['fold 0', 'fold 1', 'mean', 'std']
    mean, std = table['auc_macro'][['mean', 'std']]
    assert f'{mean:.3f} ± {std:.3f}' in done.stdout
    assert f'<h3 class="run">{name}</h3>' in page
    config = json.loads(
        (tmp_path / 'paper' / name / 'fold1' / 'config.json').read_text())
    assert (config['balance'], config['augment']) == ('hybrid', 'paper')


def test_signals_are_its_own_again_after_a_training():
  code = '''
import signal
from trainer.commands import run_paper
before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
run_paper._train(['--help'])
assert before == [
    signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
'''
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('flag', ['--activation=relu', '--fold=0'])
def test_what_the_experiment_sets_is_refused(arguments, tmp_path, flag):
  done = subprocess.run([*arguments, flag],
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2
  assert f'Expected no {flag.partition("=")[0]}' in done.stderr
  assert not (tmp_path / 'paper').exists()


def test_an_end_of_the_flags_is_refused(arguments, tmp_path):
  (tmp_path / 'my.flags').write_text('--epochs=1\n--\n')
  for word in ('--', f'--flagfile={tmp_path}/my.flags'):
    done = subprocess.run([*arguments, word],
                          capture_output=True,
                          text=True,
                          check=False)
    assert done.returncode == 2
    assert done.stderr == 'Expected flags only, received --; leave it out.\n'
    assert not (tmp_path / 'paper').exists()


def test_a_folder_that_cannot_be_made_is_told_with_its_flag(
    arguments, tmp_path):
  (tmp_path / 'file').touch()
  done = subprocess.run([*arguments, f'--workdir={tmp_path}/file/paper'],
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2
  assert done.stderr.endswith('Or pass another --workdir.\n')


def test_records_are_not_written_into(arguments, tmp_path):
  before = sorted((tmp_path / 'records').iterdir())
  done = subprocess.run([*arguments, f'--workdir={tmp_path}/records'],
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2 and 'are the same path' in done.stderr
  assert sorted((tmp_path / 'records').iterdir()) == before


def test_flags_replace_the_paper_s_balance(arguments, tmp_path):
  # Ended after the first fold's first epoch, when its settings are written.
  done = subprocess.run([*arguments, '--balance=none', '--augment=all'],
                        env=signalled.environment('*/prelu/fold0/checkpoints/*',
                                                  1, signal.SIGTERM, 'parent'),
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 128 + signal.SIGTERM, done.stderr
  config = json.loads(
      (tmp_path / 'paper' / 'prelu' / 'fold0' / 'config.json').read_text())
  assert (config['balance'], config['augment']) == ('none', 'all')
