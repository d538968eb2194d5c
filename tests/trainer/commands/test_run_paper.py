"""commands/run_paper: two activations, all folds, one page, in two goes."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tests.support import fakes
from tests.support import prestarted
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """Folder of records of one channel and two classes, in two folds."""
  folder = tmp_path_factory.mktemp('records')
  return pathlib.Path(
      fakes.write_single_label(folder, fakes.describe(1, 2), [0, 1] * 6))


def _list_words(records, workdir):
  return [
      sys.executable,
      str(_ROOT / 'tools' / 'run_paper.py'), f'--records={records}',
      f'--workdir={workdir}', '--epochs=4', '--batch_size=16',
      '--distribute=cpu', '--balance_target=2'
  ]


@pytest.fixture(name='arguments')
def _arguments(records, tmp_path):
  return _list_words(records, tmp_path / 'paper')


def _run(*arguments, **kwargs):
  return subprocess.run(arguments,
                        capture_output=True,
                        text=True,
                        check=False,
                        **kwargs)


@pytest.fixture(name='trained', scope='module')
def _trained(records, tmp_path_factory):
  """(the command when it gets a signal, the same again, its --workdir)."""
  folder = tmp_path_factory.mktemp('trained')
  words = [*_list_words(records, folder / 'paper'), '--seeds=4']
  # A signal while the first fold trains: it is passed on, saved and obeyed. The
  # training sends it to the command that started it.
  first = _run(*words,
               env=signalled.environment('*/prelu-seed4/fold0/checkpoints/*', 1,
                                         signal.SIGTERM, 'parent'))
  # A folder of that name is not taken for ours.
  (folder / 'trainer').mkdir()
  (folder / 'trainer' / 'main.py').write_text('raise SystemExit("not ours")')
  return first, _run(*words, cwd=folder), folder / 'paper'


def test_both_activations_are_trained_and_reported(trained):
  first, done, workdir = trained
  assert first.returncode == 128 + signal.SIGTERM, first.stderr
  assert 'run the same command to continue' in first.stderr
  assert done.returncode == 0, done.stderr
  assert f'Continuing {workdir}/prelu-seed4/fold0' in done.stdout
  assert done.stdout.splitlines()[-1] == f'{workdir}/report.html'
  assert 'Expected' not in done.stderr and 'retracing' not in done.stderr
  page = (workdir / 'report.html').read_text()
  for name in ('prelu', 'selu'):
    table = pd.read_csv(workdir / f'report/{name}-seed4_metrics.csv',
                        index_col='name')
    assert list(table.index) == ['fold 0', 'fold 1', 'mean', 'std']
    mean, std = table['auc_macro'][['mean', 'std']]
    assert f'{mean:.3f} ± {std:.3f}' in done.stdout
    assert f'<h3 class="run">{name}-seed4</h3>' in page
    config = json.loads(
        (workdir / f'{name}-seed4/fold1/config.json').read_text())
    assert (config['activation'], config['balance'], config['augment'],
            config['seed']) == (name, 'hybrid', 'paper', 4)


_PLAN = '''
import dataclasses, json, sys
from absl import flags
from hpa_records.runtime import flag_file
from trainer.commands import run_paper
flags.FLAGS([sys.argv[0], *flag_file.expand(sys.argv[1:])])
print(json.dumps([dataclasses.asdict(each)
                  for each in run_paper._plan('r', 'w')]))
'''


def _plan(*arguments):
  """Returns {folder: flags by name} of the trainings, in their order."""
  done = prestarted.run(['-c', _PLAN, '--records=other', *arguments])
  assert done.returncode == 0, done.stderr
  planned = {}
  for each in json.loads(done.stdout):
    words = dict(word.split('=', 1) for word in each['arguments'])
    assert words['--workdir'] == each['folder'] and words['--records'] == 'r'
    assert words['--fold'] == 'all'
    planned[each['folder']] = words
  return planned


def test_the_paper_s_networks_are_trained_with_what_the_flags_say():
  planned = _plan('--epochs', '3')
  assert list(planned) == ['w/prelu', 'w/selu']
  assert planned['w/selu'] == {
      '--records': 'r',
      '--workdir': 'w/selu',
      '--fold': 'all',
      '--activation': 'selu',
      '--balance': 'hybrid',
      '--augment': 'paper',
      '--epochs': '3'
  }
  # On the command line, and in a file that has an activation, too.
  planned = _plan('--balance=none', '--augment=all', '--flagfile=gpu.flags')
  for name in ('prelu', 'selu'):
    words = planned[f'w/{name}']
    assert (words['--activation'], words['--balance'], words['--augment'],
            words['--precision']) == (name, 'none', 'all', 'bfloat16')


def test_each_recipe_is_trained_with_each_seed(tmp_path):
  mine = tmp_path / 'mine.flags'
  mine.write_text('--flagfile=prelu.flags\n--l2=0.5\n--batch_size=7\n')
  planned = _plan('--flagfile=gpu.flags', f'--recipes=selu.flags,{mine}',
                  '--seeds=0,12', '--epochs=3')
  assert list(planned) == [
      'w/selu-seed0', 'w/mine-seed0', 'w/selu-seed12', 'w/mine-seed12'
  ]
  chosen = ('--activation', '--seed', '--l2', '--batch_size', '--epochs',
            '--precision')
  # The recipe counts more than a flag file, a flag more than the recipe.
  assert [[words.get(each) for each in chosen] for words in planned.values()
         ] == [['selu', '0', None, '80', '3', 'bfloat16'],
               [None, '0', '0.5', '7', '3', 'bfloat16'],
               ['selu', '12', None, '80', '3', 'bfloat16'],
               [None, '12', '0.5', '7', '3', 'bfloat16']]


def test_recipes_and_seeds_are_printed_and_reported(trained, tmp_path):
  for name in ('prelu', 'selu'):
    for seed in (0, 1):
      copied = shutil.copytree(trained[-1] / f'{name}-seed4',
                               tmp_path / f'{name}-seed{seed}')
      for path in copied.glob('*/config.json'):
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {'seed': seed}))
  code = f'''
from trainer.commands import run_paper
run_paper._report([run_paper._Training(name, f"{tmp_path}/{{name}}-seed{{seed}}", ())
                   for seed in (0, 1) for name in ("prelu", "selu")], {str(tmp_path)!r})
'''
  done = prestarted.run(['-c', code])
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[-1] == f'{tmp_path}/report.html'
  assert lines[1] == 'prelu' and lines[3].startswith('seed 0')
  assert sum(
      each.startswith('mean ± std, 2 folds x 2 seeds') for each in lines) == 2
  page = (tmp_path / 'report.html').read_text()
  assert '<h3>prelu (2 seeds) against selu (2 seeds)</h3>' in page


def test_signals_are_its_own_again_after_a_training():
  code = '''
import signal
from trainer import training_process
before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
assert training_process.run(['--help']) == 0
assert before == [
    signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
'''
  done = prestarted.run(['-c', code])
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('flags, message', [
    (['--activation=relu'], 'Expected no --activation, which'),
    (['--fold', '0'], 'Expected no --fold, which the experiment sets, '
     'received 0;'),
    (['--seeds=0,1', '--seed=0'], 'Expected no --seed, which'),
    (['--seeds=0,x'], "Expected --seeds as whole numbers, such as 0,1,2, "
     "received '0,x'."),
    (['--seeds=1,01'], "Expected different --seeds, received '1,01'."),
    (['--recipes=no.flags'], 'No flag file no.flags'),
    (['--recipes=sub/{my},./sub/{my}'], 'as files of different names'),
    (['--recipes={my}'], 'flag \'no_flag\' in '),
    (['--'], 'Expected flags only, received --;'),
    (['--flagfile={end}'], 'Expected flags only, received --;'),
    (['--workdir={end}/paper'], 'Or pass another --workdir.'),
    (['--epochs=0'], 'Expected --epochs from 1'),
])
def test_wrong_flags_are_told_in_one_line(arguments, tmp_path, flags, message):
  (tmp_path / 'sub').mkdir()
  (tmp_path / 'my.flags').write_text('--no_flag=1\n')
  (tmp_path / 'sub' / 'my.flags').write_text('')
  (tmp_path / 'end').write_text('--epochs=1\n--\n')
  words = [each.format(my='my.flags', end=tmp_path / 'end') for each in flags]
  done = prestarted.run([*arguments[1:], *words], tmp_path)
  assert done.returncode == 2
  assert message in done.stderr and done.stderr.count('\n') == 1, done.stderr
  assert not (tmp_path / 'paper').exists()


def test_records_are_not_written_into(arguments, records):
  before = sorted(records.iterdir())
  done = prestarted.run([*arguments[1:], f'--workdir={records}'])
  assert done.returncode == 2 and 'are the same path' in done.stderr
  assert sorted(records.iterdir()) == before
