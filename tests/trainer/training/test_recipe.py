"""Whole runs with other optimizers, schedules, averages and parts of a step."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import runs
from trainer.prediction import ensemble
from trainer.prediction import predict
from trainer.run import arrays
from trainer import strategy
from trainer.training import loop
from trainer.training.optimization import schedule

_RECIPE = {
    'optimizer': 'adamw',
    'weight_decay': 0.1,
    'schedule': 'cosine',
    'warmup_epochs': 0.5,
    'ema': 0.9,
    'accumulate': 2,
    'label_smoothing': 0.1,
    'class_weights': 'sqrt_inverse',
    'loss': 'asymmetric',
}


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  """A run with a checkpoint after each step: its configuration and folder."""
  folder = tmp_path_factory.mktemp('recipe')
  records = fakes.write_records(folder, 40, 32)
  config = runs.configure(records,
                          folder / 'whole',
                          checkpoint_steps=1,
                          steps_per_call=1,
                          **_RECIPE)
  loop.train(config)
  return config, pathlib.Path(config.workdir) / 'fold1'


def _read_checkpoint(directory):
  found = runs.arrays(directory / 'checkpoints' /
                      f'epoch-{runs.EPOCHS:05d}.npz')
  found.pop('state')
  return found


def test_a_run_cut_off_in_an_epoch_ends_with_the_same_bits(whole, tmp_path):
  """As if it was killed before it saved the last checkpoint."""
  fold = shutil.copytree(whole[1], tmp_path / 'fold1')
  (fold / 'metrics.json').unlink()
  newest = sorted((fold / 'checkpoints').iterdir())
  assert '-step-' in newest[-2].name
  newest[-1].unlink()
  loop.train(dataclasses.replace(whole[0], workdir=str(tmp_path)))
  runs.assert_same_end(fold, whole[1])
  histories = [
      pd.read_csv(each /
                  'history.csv').drop(columns=['images_per_s', 'input_wait'])
      for each in (fold, whole[1])
  ]
  pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_the_history_has_the_rate_of_the_last_step(whole):
  config, directory = whole
  history = pd.read_csv(directory / 'history.csv')
  steps = -(-history['images'] // config.batch_size)
  want = [
      schedule.find_rates(config, 0, epoch, count)[-1]
      for epoch, count in enumerate(steps)
  ]
  assert history['learning_rate'].tolist() == pytest.approx(want)
  assert config.learning_rate == 1e-3 >= want[0] > want[1] > want[2] > 0


def test_averages_are_saved_scored_and_predict(whole):
  config, directory = whole
  saved = _read_checkpoint(directory)
  names = [name.removeprefix('model/') for name in saved if name[:2] == 'mo']
  moved = [saved[f'average/{each}'] - saved[f'model/{each}'] for each in names]
  assert max(np.abs(each).max() for each in moved) > 1e-4
  kept = arrays.Predictions.load(str(directory / 'predictions.npz'), 28)
  models = predict.Models(ensemble.load([config.workdir]), strategy.make('cpu'),
                          'last')
  made = models.predict(inference_source.Records(config.records), 'none', 16)
  found = pd.DataFrame(made.predictions, made.ids).loc[kept.ids]
  np.testing.assert_allclose(found, kept.predictions, rtol=0, atol=1e-5)


def test_without_an_average_the_same_weights_are_scored_otherwise(
    whole, tmp_path):
  config = dataclasses.replace(whole[0], workdir=str(tmp_path), ema=0.0)
  summary = loop.train(config)
  saved, other = (
      _read_checkpoint(each) for each in (tmp_path / 'fold1', whole[1]))
  assert saved.keys() == {name for name in other if name[:3] != 'ave'}
  for name, each in saved.items():
    np.testing.assert_array_equal(each, other[name])
  scored = json.loads((whole[1] / 'metrics.json').read_text())
  assert summary['loss'] != scored['loss']


def test_epochs_that_decide_the_rates_may_not_change(whole):
  with pytest.raises(errors.DataError,
                     match=r'other settings: epochs 3, not 5\. Choose another'):
    loop.train(dataclasses.replace(whole[0], epochs=5))


def test_parts_that_a_replica_cannot_have_are_refused(whole, tmp_path):
  config = dataclasses.replace(whole[0], workdir=str(tmp_path), accumulate=3)
  with pytest.raises(errors.DataError,
                     match='by 3, for --accumulate=3, received 16; pass 15'):
    loop.train(config)
