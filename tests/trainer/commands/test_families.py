"""Families by the commands: train, resume, report, embed, export, predict."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.support import fakes
from tests.support import runs
from trainer import config as config_lib
from trainer.network import applications
from trainer.network.families import catalog

_NUM_SAMPLES = 16
_WITH_MAPS = ('fcn', 'resnet18', 'se_resnext50')


def _call(*words):
  done = runs.call(*words)
  assert done.returncode == 0, done.stderr
  return done.stdout


def _choose_activation(name):
  # One with noise in the quick network.
  return 'probact' if name == 'mil' else config_lib.OWN_ACTIVATIONS[name]


def _train(records, workdir, name, epochs):
  config = runs.configure(records,
                          workdir,
                          model=name,
                          activation=_choose_activation(name),
                          epochs=epochs,
                          batch_size=8,
                          learning_rate=0.01)
  runs.go_on(config, 'model', 'activation', 'learning_rate')
  return workdir / 'fold1'


@pytest.mark.soak
@pytest.mark.parametrize('name', catalog.FAMILIES)
def test_a_family_is_a_model_as_any_other(name, tmp_path):
  size = applications.SMALLEST_PX[name]
  records = fakes.write_records(tmp_path, _NUM_SAMPLES, size)
  run, images = tmp_path / 'run', str(tmp_path / 'train')
  fold = _train(records, run, name, 1)
  before = pd.read_csv(fold / 'history.csv')
  _train(records, run, name, 2)  # goes on
  history = pd.read_csv(fold / 'history.csv')
  assert len(history) == 2 and np.isfinite(history['loss']).all()
  assert history['loss'][0] == before['loss'][0]
  stored = json.loads((fold / 'config.json').read_text('utf-8'))
  assert stored['activation'] == _choose_activation(name)
  has_maps = name in _WITH_MAPS
  with np.load(fold / 'gallery.npz') as gallery:
    assert ('map0' in gallery.files) == has_maps

  _call('tools/report.py', f'--workdir={run}')
  assert name in (run / 'report.html').read_text('utf-8')

  _call('tools/embed.py', f'--workdir={run}', f'--records={records}',
        f'--output={tmp_path / "features.parquet"}')
  features = pd.read_parquet(tmp_path / 'features.parquet')
  assert len(features) == _NUM_SAMPLES

  _call('tools/export.py', f'--workdir={run}', f'--output={tmp_path / "model"}',
        '--tta=none')
  tables = []
  for source in ('workdir', 'model'):
    output = tmp_path / f'by_{source}.csv'
    path = {'workdir': run, 'model': tmp_path / 'model'}[source]
    _call('tools/predict.py', f'--{source}={path}', f'--images={images}',
          f'--output={output}', '--tta=none')
    tables.append(pd.read_csv(str(output)[:-4] + '_predictions.csv'))
  assert len(tables[0]) == _NUM_SAMPLES
  pd.testing.assert_frame_equal(tables[0], tables[1], atol=1e-4)
