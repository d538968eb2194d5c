"""hpa-run-features: from records to runs that hpa-report reads."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.support import fakes
from tests.support import runs
from tests.support import signalled
from trainer.report import comparison
from trainer.report import files
from trainer.report import result
from trainer.run import finished_run
from trainer.run import out_of_fold

_FAST = '--classifiers=logistic_regression'


def _call(records, *words):
  """Returns the command that has ended."""
  return runs.call('tools/run_features.py', f'--records={records}',
                   '--workers=1', *words)


@pytest.fixture(name='fitted', scope='module')
def _fitted(made, tmp_path_factory):
  """Folder of the runs on the records of a network's run, and what was said."""
  folder = tmp_path_factory.mktemp('fitted')
  done = _call(made.parent / 'records', f'--workdir={folder}', '--folds=0',
               _FAST)
  assert done.returncode == 0, done.stderr
  return folder, done.stdout


def test_it_says_what_it_made(fitted):
  folder, said = fitted
  assert f'40 images, 588 descriptors: {folder}/descriptors.parquet' in said
  assert 'logistic_regression, fold 0 held out: fitted.' in said
  assert sorted(each.name for each in folder.iterdir()) == [
      'descriptors.parquet', 'logistic_regression'
  ]
  path = folder / 'logistic_regression' / 'fold0' / 'config.json'
  content = json.loads(path.read_text())
  assert content['descriptors'].startswith('version 1, mahotas ')
  assert 'epochs' not in content and 'reader' not in content


def test_a_network_and_a_classifier_are_compared(made, fitted):
  folders = made, fitted[0] / 'logistic_regression'
  results = [
      result.compute(finished_run.load(str(each)), each.name, 2)
      for each in folders
  ]
  content = {}
  found = comparison.compare(results, files.Files('runs', content), 2)
  assert [each['reason'] for each in found] == [''] and found[0]['rows']
  comparison.draw_figures(results, content)
  assert {
      'runs_comparison_run_logistic_regression.csv', 'runs_roc.png',
      'runs_learning_curves.png'
  } <= set(content)


@pytest.mark.parametrize('command', ['predict', 'embed', 'export'])
def test_commands_of_networks_say_that_there_is_none(made, fitted, tmp_path,
                                                     command):
  words = [
      f'tools/{command}.py', f'--workdir={fitted[0] / "logistic_regression"}',
      f'--output={tmp_path / "out.parquet"}'
  ]
  if command != 'export':
    words.append(f'--records={made.parent / "records"}')
  done = runs.call(*words)
  assert done.returncode == 2 and done.stderr.count('\n') == 1
  assert 'is a run of descriptors (logistic_regression), which has no' in (
      done.stderr)


@pytest.mark.parametrize('num_channels,labels', [
    (1, [0] * 20),
    (16, [0] + [1, 2] * 9),
])
def test_one_label_a_record(tmp_path, num_channels, labels):
  described = fakes.describe(num_channels, max(labels) + 1)
  records = fakes.write_single_label(tmp_path, described, labels)
  done = _call(records, f'--workdir={tmp_path / "runs"}', '--single_label')
  assert done.returncode == 0, done.stderr
  for name in ('random_forest', 'gradient_boosting', 'logistic_regression'):
    run = finished_run.load(str(tmp_path / 'runs' / name))
    assert run.threshold is None and len(run.folds) == 2
    found = out_of_fold.collect(run)
    np.testing.assert_allclose(found.predictions.sum(axis=1), 1, atol=1e-5)
  again = _call(records, f'--workdir={tmp_path / "runs"}', '--single_label')
  assert again.stdout == done.stdout.replace(': fitted.', ': finished before.')


def test_unlabelled_or_not_the_table_alone(made, tmp_path):
  done = _call(made.parent / 'records', f'--features={tmp_path}/new.parquet',
               '--classifiers=')
  assert done.returncode == 0, done.stderr
  assert [each.name for each in tmp_path.iterdir()] == ['new.parquet']


# Before each file: a finished part is kept, an unfinished fold begins again.
_ALL = [2, 2, 2, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    'numbers', [[2, 5], pytest.param(_ALL, marks=pytest.mark.soak)])
def test_killed_before_a_file_has_its_name_it_ends_with_the_same(
    tmp_path, numbers):
  records = fakes.write_single_label(tmp_path, fakes.describe(1, 2),
                                     [0, 1] * 40)
  words = [
      sys.executable, 'tools/run_features.py', f'--records={records}',
      '--workers=1', _FAST
  ]

  def run(folder, number, log=''):
    environment = signalled.environment(f'{folder}/*', number, signal.SIGKILL,
                                        'self', log)
    return subprocess.run([*words, f'--workdir={folder}'],
                          cwd=runs.ROOT,
                          env=environment,
                          capture_output=True,
                          check=False).returncode

  def read(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and path.name != 'config.json'  # has its --workdir
    }

  log = tmp_path / 'log'
  assert run(tmp_path / 'whole', 0, str(log)) == 0
  # Two parts and the table; six files for each of two folds.
  assert len(log.read_text().splitlines()) == 15
  for number in numbers:
    assert run(tmp_path / 'killed', number) == -signal.SIGKILL
  assert run(tmp_path / 'killed', 0) == 0
  assert read(tmp_path / 'killed') == read(tmp_path / 'whole')


@pytest.mark.parametrize('words,message', [
    (['--classifiers=forest'], 'Expected --classifiers of random_forest, '),
    (['--folds=0,2'
     ], 'Expected --folds of 0 to 1, each once, received \'0,2\''),
    (['--folds=x'], 'Expected --folds of 0 to 1'),
    (['--seed=-1'], 'Expected --seed from 0'),
    (['--features=table.csv'], 'Expected --features=NAME.parquet, received'),
])
def test_wrong_flags_are_one_line(made, tmp_path, words, message):
  done = _call(made.parent / 'records', f'--workdir={tmp_path / "run"}', *words)
  assert (done.returncode, done.stdout) == (2, '')
  assert message in done.stderr and done.stderr.count('\n') == 1
  assert not (tmp_path / 'run').exists()


def test_a_folder_of_runs_that_links_to_the_records_is_refused(made, tmp_path):
  records = made.parent / 'records'
  before = sorted(records.iterdir())
  (tmp_path / 'logistic_regression').symlink_to(records)
  done = _call(records, f'--workdir={tmp_path}', _FAST)
  assert done.returncode == 2 and 'are the same path' in done.stderr
  (tmp_path / 'random_forest').mkdir()
  (tmp_path / 'random_forest/fold0').symlink_to(records)
  done = _call(records, f'--workdir={tmp_path}', '--classifiers=random_forest')
  assert done.returncode == 2 and 'are the same path' in done.stderr
  assert sorted(records.iterdir()) == before


def test_without_mahotas_one_line_says_what_to_install(made, tmp_path):
  code = ('import importlib.util, runpy, sys; find = importlib.util.find_spec; '
          'importlib.util.find_spec = lambda name, *rest: None if name in '
          '("mahotas", "skimage") else find(name, *rest); '
          f'sys.argv[1:] = ["--records={made.parent / "records"}", '
          f'"--workdir={tmp_path / "run"}"]; '
          'runpy.run_path("tools/run_features.py", run_name="__main__")')
  done = runs.call('-c', code)
  assert done.returncode == 2
  assert done.stderr == (
      'mahotas and scikit-image are not installed, which descriptors need: '
      'pip install "hpa-records[features]".\n')
