"""commands/run_table5: systems on the same folds, a page of those that ended.
"""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.support import fakes
from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parents[3]


def _run(records, workdir, *words):
  return prestarted.run([
      _ROOT / 'tools/run_table5.py', f'--records={records}',
      f'--workdir={workdir}', '--batch_size=8', '--distribute=cpu', *words
  ])


@pytest.fixture(name='trained', scope='module')
def _trained(tmp_path_factory):
  """(the commands of two jobs, --workdir): alexnet needs 67 px."""
  folder = tmp_path_factory.mktemp('table5')
  records = fakes.write_records(folder, 16, 32, num_folds=2)
  jobs = [
      _run(records, folder / 'table', *words)
      for words in (('--minutes=0.0001', '--systems=fcn'),
                    ('--epochs=2', '--systems=alexnet_prelu,gapnet_prelu,'
                     'logistic_regression'))
  ]
  return jobs, folder / 'table'


def test_a_system_is_trained_for_minutes_and_at_least_two_epochs(trained):
  (job, _), workdir = trained
  assert job.returncode == 0, job.stderr
  assert job.stdout.splitlines()[-1] == f'{workdir}/report.html'
  config = json.loads((workdir / 'fcn/fold0/config.json').read_text())
  assert (config['model'], config['activation'],
          config['epochs']) == ('fcn', 'relu', 2)


@pytest.mark.parametrize('rate,images', [('nan', '8'), ('-1', '8'), ('9', '0'),
                                         ('0', '8'), (None, '8')])
def test_a_history_without_a_speed_is_one_line(trained, tmp_path, rate, images):
  records = trained[1].parent / 'records'
  shutil.copytree(trained[1] / 'fcn', tmp_path / 'fcn')
  path = tmp_path / 'fcn/fold0/history.csv'
  table = pd.read_csv(path, dtype=str)
  table.loc[1, 'images'], table.loc[1, 'images_per_s'] = images, rate
  if rate is None:
    del table['images_per_s']
  table.to_csv(path, index=False)
  done = _run(records, tmp_path, '--minutes=1', '--systems=fcn')
  assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
  assert 'history.csv does not say how fast epoch 2 was; move' in done.stderr


def test_what_cannot_be_trained_is_named_and_the_others_are(trained):
  (_, job), workdir = trained
  assert job.returncode == 2
  assert 'alexnet' in job.stderr and '67' in job.stderr
  assert job.stderr.splitlines()[-1].startswith('Not trained: alexnet_prelu. ')
  assert not (workdir / 'alexnet_prelu/fold0/metrics.json').exists()
  assert (workdir / 'gapnet_prelu/fold0/metrics.json').exists()


def test_the_table_has_the_systems_of_all_jobs(trained):
  (_, job), workdir = trained
  table = pd.read_csv(workdir / 'report/runs_systems.csv', index_col='system')
  assert list(table.index) == ['gapnet_prelu', 'fcn', 'logistic_regression']
  assert np.isnan(table.loc['logistic_regression', 'parameters'])
  network = json.loads((workdir / 'fcn/fold0/network.json').read_text())
  assert table.loc['fcn', 'parameters'] == network['parameters']
  metrics = json.loads((workdir / 'fcn/fold0/metrics.json').read_text())
  for name in ('f1_macro', 'f1_micro', 'auc_macro', 'average_precision_macro'):
    row = table.loc['fcn']
    assert row[name] == pytest.approx(metrics[name])
    assert row[f'{name}_low'] <= row[name] <= row[f'{name}_high']
  assert np.isnan(table.loc['gapnet_prelu', 'p_value'])
  assert table['p_value'][1:].between(0, 1).all()
  assert (table[['images_per_s', 'minutes']][:2] > 0).all(axis=None)
  said = job.stdout.splitlines()
  assert said[-1] == f'{workdir}/report.html'
  assert f'{network["parameters"]:,}' in job.stdout
  page = (workdir / 'report.html').read_text()
  assert '<h3 id="systems">Systems</h3>' in page
  assert 'Kaggle 2018 (Al-joudi and Arif)' in page
  assert '<title>Networks on ' in page


@pytest.mark.parametrize('words,message', [
    (['--model=mil'], 'Expected no --model, which the table sets'),
    (['--activation=relu'], 'Expected no --activation, which the table sets'),
    (['--minutes=1', '--epochs=3'], 'Expected no --epochs, which the table'),
    (['--minutes=1', '--schedule=cosine'], 'Expected --schedule=plateau with'),
    (['--systems=mil,no'], "No system 'no' in --systems; pass some of gapnet_"),
    (['--batch_size=0'], '--batch_size'),
    (['--minutes=1', '--fold=x'], "Expected --fold as a number or all, rec"),
    (['--minutes=nan'], 'Expected --minutes as a number, received nan'),
    (['--minutes=1e999'], 'Expected --minutes as a number, received inf'),
    (['--'], 'Expected flags only, received --;'),
    (['--records=none'], 'No finished dataset in none: manifest.json is'),
])
def test_wrong_flags_are_one_line_and_nothing_is_trained(
    tmp_path, words, message):
  records = fakes.write_records(tmp_path, 4, 8, num_folds=2)
  done = _run(records, tmp_path / 'table', *words)
  assert done.returncode == 2 and message in done.stderr, done.stderr
  assert done.stderr.count('\n') == 1 and not (tmp_path / 'table').exists()
