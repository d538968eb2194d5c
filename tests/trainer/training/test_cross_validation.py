"""cross_validation and --fold=all: every fold, in any number of goes."""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import prestarted
from trainer import config as config_lib
from trainer.run import workdir
from trainer.training import cross_validation
from trainer.training import loop

_FOLDS = 3


@pytest.fixture(name='config', scope='module')
def _config(tmp_path_factory):
  folder = tmp_path_factory.mktemp('folds')
  return config_lib.Config(fakes.write_records(folder, 30, 32,
                                               num_folds=_FOLDS),
                           str(folder / 'run'),
                           epochs=2,
                           batch_size=8,
                           distribute='cpu')


def _run(config, fold):
  flags = [
      f'--{name}={getattr(config, name)}' for name in ('records', 'workdir',
                                                       'epochs', 'batch_size',
                                                       'distribute')
  ]
  return prestarted.run(['-m', 'trainer.main', *flags, f'--fold={fold}'])


@pytest.fixture(name='whole', scope='module')
def _whole(config):
  """All folds in one go: what it printed."""
  done = _run(config, 'all')
  assert done.returncode == 0, done.stderr
  return done.stdout


def _scores(directory, fold):
  path = os.path.join(directory, f'fold{fold}', workdir.METRICS_NAME)
  return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))


def test_each_fold_is_as_if_alone(config, whole, tmp_path):
  assert whole
  alone = config_lib.Config(config.records,
                            str(tmp_path),
                            fold=1,
                            epochs=2,
                            batch_size=8,
                            distribute='cpu')
  assert loop.train(alone) == _scores(config.workdir, 1)


def test_table_2_is_the_mean_and_population_deviation(config, whole):
  values = [
      _scores(config.workdir, fold)['auc_macro'] for fold in range(_FOLDS)
  ]
  rows = {line[:16].strip(): line[16:].split() for line in whole.splitlines()}
  for fold, value in enumerate(values):
    assert rows[f'fold {fold}'][0] == f'{value:.3f}'
  found = rows['mean ± std']
  assert found[:3] == [f'{np.mean(values):.3f}', '±', f'{np.std(values):.3f}']
  assert rows['the paper, PReLU'[:16]][:3] == ['.893', '±', '.003']


def test_what_is_finished_is_left_alone_and_the_rest_is_done(
    config, whole, tmp_path):
  directory = tmp_path / 'run'
  shutil.copytree(config.workdir, directory)
  shutil.rmtree(directory / 'fold1')
  (directory / 'fold2' / 'metrics.json').unlink()
  again = config_lib.Config(config.records,
                            str(directory),
                            epochs=2,
                            batch_size=8,
                            distribute='cpu')
  done = _run(again, 'all')
  assert done.returncode == 0, done.stderr
  assert 'Fold 0 is finished, 2 epochs' in done.stdout
  assert 'Fold 1 held out' in done.stdout and 'Already trained' in done.stdout
  assert done.stdout.splitlines()[-8:-1] == whole.splitlines()[-8:-1]
  for fold in range(_FOLDS):
    assert _scores(directory, fold) == _scores(config.workdir, fold)


def test_a_fold_that_the_records_lack_is_refused_at_the_start(config, tmp_path):
  path = tmp_path / 'fold7' / 'metrics.json'
  path.parent.mkdir()
  path.write_text('{}')
  with pytest.raises(errors.DataError,
                     match='fold7 is of another run: .* 0 to 2'):
    cross_validation.train(dataclasses.replace(config, workdir=str(tmp_path)))
  assert [each.name for each in tmp_path.iterdir()] == ['fold7']


@pytest.mark.parametrize('fold', ['every', '-1', ''])
def test_another_fold_is_refused(config, fold):
  done = _run(config, fold)
  assert done.returncode == 2
  assert f'Expected --fold as a number or all, received {fold!r}' in done.stderr


def test_a_fold_of_many_digits_is_refused(config):
  done = _run(config, '9' * 5000)
  assert done.returncode == 2
  assert done.stderr.startswith('Expected --fold as a number or all')


def test_settings_of_the_caller_s_keras_stay(config, whole):
  assert whole
  # A program of its own: this one may be set as a command is.
  code = ('import keras; keras.config.set_dtype_policy("mixed_bfloat16"); '
          'from trainer import config; '
          'from trainer.training import cross_validation; '
          f'cross_validation.train(config.{config!r}); '
          'print(keras.config.dtype_policy().name)')
  done = prestarted.run(['-c', code])
  assert done.stdout.splitlines()[-1:] == ['mixed_bfloat16'], done.stderr
