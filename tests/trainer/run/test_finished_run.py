"""finished_run: folds that do not belong together are refused."""

import dataclasses
import os
import shutil

import pytest

from hpa_records.runtime import errors
from tests.support import rights
from trainer.run import arrays
from trainer.run import finished_fold
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import workdir


def test_a_copy_of_a_fold_is_refused(run):
  shutil.copytree(run / 'fold0', run / 'fold1')
  with pytest.raises(errors.DataError,
                     match='fold1 holds fold 0, according to its conf'):
    finished_run.load(str(run))


def test_a_fold_that_the_records_do_not_have_is_refused(run):
  (run / 'fold0').rename(run / 'fold7')
  path = run / 'fold7' / workdir.CONFIG_NAME
  path.write_text(path.read_text().replace('"fold": 0', '"fold": 7'))
  with pytest.raises(errors.DataError, match='has no samples of fold 7'):
    finished_run.load(str(run))


def test_scores_of_another_threshold_than_the_settings_are_refused(run):
  path = run / 'fold0' / workdir.CONFIG_NAME
  path.write_text(path.read_text().replace('"threshold": 0.5',
                                           '"threshold": 0.25'))
  with pytest.raises(errors.DataError,
                     match='threshold 0.25 of config.json, '
                     'received 0.5'):
    finished_run.load(str(run))


def test_metrics_of_a_classifier_are_no_network_s(run):
  path = run / 'fold0' / workdir.METRICS_NAME
  path.write_text('{"classifier": "random_forest", "threshold": 0.5}')
  with pytest.raises(errors.DataError, match='are of runs of different kinds'):
    finished_run.load(str(run))
  config, _ = fold_file.load_config(str(run / 'fold0' / workdir.CONFIG_NAME))
  config = dataclasses.replace(config, workdir=str(run))
  assert 'not of a network' in finished_fold.find_metrics(config)[1]


def test_a_fold_on_a_disk_that_is_away_is_not_left_out(run):
  (run / 'fold1').symlink_to('/mnt/nowhere/fold1')
  with pytest.raises(errors.DataError, match='fold1 is a link to /mnt/nowhere'):
    finished_run.load(str(run))


@pytest.mark.parametrize('name,load', [
    (workdir.CONFIG_NAME, fold_file.load_config),
    (workdir.PREDICTIONS_NAME, lambda path: arrays.Predictions.load(path, 28)),
    (workdir.SAMPLES_NAME, lambda path: arrays.Samples.load(path, 28)),
    (workdir.HISTORY_NAME,
     lambda path: fold_file.load_history(os.path.dirname(path))),
])
def test_a_file_on_a_disk_that_is_away_is_not_called_damaged(run, name, load):
  path = run / 'fold0' / name
  path.unlink()
  path.symlink_to('/mnt/nowhere/file')
  with pytest.raises(errors.UnreadError, match='Mount that disk'):
    load(str(path))


@pytest.mark.parametrize('path', ['.', 'fold0', 'fold0/metrics.json'])
def test_a_run_that_may_not_be_read_is_told(run, path):
  with rights.refused(run / path):
    with pytest.raises(errors.DataError) as error:
      finished_run.load(str(run))
  assert 'Permission denied; check the permissions' in str(error.value)
