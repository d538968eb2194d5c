"""finished_fold: a fold counts as finished with all its files."""

import dataclasses
import pathlib

import pytest

from hpa_records.runtime import errors
from tests.support import rights
from trainer.run import finished_fold
from trainer.run import fold_file
from trainer.run import workdir


@pytest.mark.parametrize('damage', [
    pathlib.Path.unlink,
    lambda path: path.write_bytes(path.read_bytes()[:20]),
])
@pytest.mark.parametrize('name', [
    *sorted(workdir.FILE_NAMES - {workdir.METRICS_NAME}),
    f'{workdir.CHECKPOINTS_NAME}/epoch-00001.npz'
])
def test_a_fold_that_lacks_a_file_is_not_finished(run, name, damage):
  config, _ = fold_file.load_config(str(run / 'fold0' / workdir.CONFIG_NAME))
  config = dataclasses.replace(config, workdir=str(run))
  metrics, reason = finished_fold.find_metrics(config)
  assert metrics['epoch'] == 1 and not reason
  damage(run / 'fold0' / name)
  metrics, reason = finished_fold.find_metrics(config)
  assert metrics is None and str(run / 'fold0' / name) in reason


@pytest.mark.parametrize('path', [
    'checkpoints/epoch-00001.npz', 'metrics.json', 'samples.npz', 'history.csv'
])
def test_a_fold_whose_files_cannot_be_read_is_left_alone(run, path):
  config, _ = fold_file.load_config(str(run / 'fold0' / workdir.CONFIG_NAME))
  config = dataclasses.replace(config, workdir=str(run))
  with rights.refused(run / 'fold0' / path):
    with pytest.raises(errors.UnreadError, match='Permission denied'):
      finished_fold.find_metrics(config)
  assert finished_fold.find_metrics(config)[0]
