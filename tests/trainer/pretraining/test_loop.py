"""loop: whole small pre-trainings, cut off, continued, taken by a training."""

import dataclasses
import json
import pathlib
import shutil
import signal

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import prestarted
from tests.support import runs
from tests.support import signalled
from trainer.pretraining import loop
from trainer.pretraining import settings as settings_lib
from trainer.training import loop as training_loop

_EPOCHS = 2  # of five steps


def _configure(records, workdir, **values):
  return settings_lib.Settings(records=str(records),
                               workdir=str(workdir),
                               **{
                                   'fold': 1,
                                   'epochs': _EPOCHS,
                                   'batch_size': 6,
                                   'knn_epochs': 1,
                                   'distribute': 'cpu',
                                   **values
                               })


_METRIC = {'loss': 'arcface', 'identity': 'antibody'}


def _write(folder, count, **settings):
  """Records of two antibodies; the images of the second are darker."""
  csv, images = fakes.write_source(folder, count, 32)
  for i in range(1, count, 2):
    for path in pathlib.Path(images).glob(f's{i}_*.png'):
      plane = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
      cv2.imwrite(str(path), plane // 4)
  described = fakes.carry(csv,
                          {'antibody': [f'HPA{i % 2}' for i in range(count)]})
  convert.convert(
      csv, images, str(folder / 'records'),
      shard_plan.Settings(image_size=32, description=described, **settings),
      convert.How(workers=1))
  return str(folder / 'records')


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """40 images of five folds: 32 to train on."""
  return _write(tmp_path_factory.mktemp('pretrain'), 40)


@pytest.fixture(name='whole', scope='module')
def _whole(records, tmp_path_factory):
  """An undisturbed run: (settings, its encoder, its folder)."""
  settings = _configure(records, tmp_path_factory.mktemp('whole'))
  found = loop.pretrain(settings)
  return settings, found, pathlib.Path(settings.workdir) / 'fold1'


@pytest.fixture(name='metric', scope='module')
def _metric(records, tmp_path_factory):
  """The same of ArcFace."""
  settings = _configure(records, tmp_path_factory.mktemp('metric'), **_METRIC)
  found = loop.pretrain(settings)
  return settings, found, pathlib.Path(settings.workdir) / 'fold1'


def test_an_epoch_draws_each_image_once_in_full_batches(whole):
  history = pd.read_csv(whole[2] / 'history.csv')
  assert history['epoch'].tolist() == [1, 2]
  assert history['images'].tolist() == [30, 30]  # of 32
  assert history['loss'].notna().all()
  assert history['learning_rate'].is_monotonic_decreasing
  assert history['knn_auc_macro'].between(0, 1).all()


def test_the_encoder_is_the_checkpoint_without_the_projection(records, whole):
  _, found, directory = whole
  stored = runs.arrays(directory / 'checkpoints' / f'epoch-{_EPOCHS:05d}.npz')
  names = {name.split('/')[1] for name in stored if name.startswith('model/')}
  assert names - found.values.keys() == {'projection'}
  np.testing.assert_array_equal(found.values['conv1'][0],
                                stored['model/conv1/kernel'])
  index = pd.read_parquet(f'{records}/index.parquet')
  assert set(found.trained) == set(index['id'][index['fold'] != 1])


def test_arcface_learns_identities_and_keeps_no_centers(metric):
  history = pd.read_csv(metric[2] / 'history.csv')
  # At equal angles it is about half of log(1 + e^(30 * 0.5)) + log 2, which is
  # 7.8. There it stays if antibodies are drawn at random; here it ends at 1.1.
  assert history['loss'].iloc[-1] < 3
  assert history['knn_auc_macro'].between(0, 1).all()
  stored = runs.arrays(metric[2] / 'checkpoints' / f'epoch-{_EPOCHS:05d}.npz')
  names = {name.split('/')[1] for name in stored if name.startswith('model/')}
  assert names - metric[1].values.keys() == {
      'projection', 'projection_norm', 'cosines'
  }
  assert stored['model/cosines/centers'].shape == (128, 2)


def _words(settings):
  names = ('records', 'workdir', 'fold', 'epochs', 'batch_size', 'knn_epochs',
           'distribute', 'checkpoint_steps', 'loss', 'identity')
  return [
      '-m', 'trainer.pretrain',
      *(f'--{name}={getattr(settings, name)}' for name in names)
  ]


def test_a_finished_run_says_so_and_how_to_start_from_it(whole):
  before = (whole[2] / 'encoder.npz').read_bytes()
  done = prestarted.run(_words(whole[0]))
  assert done.returncode == 0, done.stderr
  assert 'is finished, 2 epochs; nothing to do.' in done.stdout
  assert f'hpa-train --init_from={whole[2]} --model=gapnet_pl' in done.stdout
  assert (whole[2] / 'encoder.npz').read_bytes() == before


@pytest.mark.parametrize(
    'run', ['whole', pytest.param('metric', marks=pytest.mark.soak)])
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(
    run, request, tmp_path, capsys):
  whole = request.getfixturevalue(run)
  settings = dataclasses.replace(whole[0],
                                 workdir=str(tmp_path),
                                 checkpoint_steps=2)
  done = prestarted.run(_words(settings),
                        env=signalled.environment(
                            '*/epoch-00001-step-0000004.npz', 1,
                            signal.SIGKILL))
  assert done.returncode == -signal.SIGKILL, done.stderr
  loop.pretrain(settings)
  said = capsys.readouterr().out
  assert 'fold1 after epoch 1, step 2 of the next.' in said
  for name in (f'checkpoints/epoch-{_EPOCHS:05d}.npz', 'encoder.npz'):
    first, second = (
        runs.arrays(each / name) for each in (whole[2], tmp_path / 'fold1'))
    for key in first.keys() - {'state'}:
      np.testing.assert_array_equal(first[key], second[key])
  histories = [
      pd.read_csv(each / 'history.csv')[['loss', 'knn_auc_macro']]
      for each in (whole[2], tmp_path / 'fold1')
  ]
  pd.testing.assert_frame_equal(*histories)


def test_a_training_starts_from_the_encoder_with_a_fresh_head(
    records, whole, tmp_path, capsys):
  config = runs.configure(records,
                          tmp_path,
                          epochs=1,
                          learning_rate=1e-30,
                          init_from=whole[0].workdir)
  training_loop.train(config)
  name = pathlib.Path(whole[0].workdir).name
  assert (f'Started from {name}/fold1, pre-training, epoch 2: 20 of 21 layers; '
          '0 of the source are not used.') in capsys.readouterr().out
  about = json.loads((tmp_path / 'fold1' / 'about.json').read_text())
  found = about['starting_weights']
  assert found['fresh'] == ['logits (not in the source)'] and found['seen'] == 0
  weights = runs.arrays(tmp_path / 'fold1' / 'checkpoints' / 'epoch-00001.npz')
  np.testing.assert_array_equal(weights['model/conv1/kernel'],
                                whole[1].values['conv1'][0])
  with pytest.raises(errors.DataError, match='--activation=prelu, received '):
    training_loop.train(
        dataclasses.replace(config,
                            workdir=str(tmp_path / 'other'),
                            activation='selu'))


def test_other_settings_and_folders_are_refused(records, whole, tmp_path):
  with pytest.raises(errors.DataError, match='temperature 0.1, not 0.2'):
    loop.pretrain(dataclasses.replace(whole[0], temperature=0.2))
  with pytest.raises(errors.DataError,
                     match='fold1 has a pre-training; choose'):
    training_loop.train(runs.configure(records, whole[0].workdir, epochs=1))
  (tmp_path / 'fold1').mkdir()
  (tmp_path / 'fold1' / 'config.json').write_text('{}')
  with pytest.raises(errors.DataError, match='config.json of a training'):
    loop.pretrain(dataclasses.replace(whole[0], workdir=str(tmp_path)))


def test_an_unfinished_or_damaged_encoder_is_refused(records, whole, tmp_path):
  copy = shutil.copytree(whole[2], tmp_path / 'fold1')
  config = runs.configure(records, tmp_path / 'new', init_from=str(copy))
  path = copy / 'encoder.npz'
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(errors.DataError, match='encoder.npz is missing or damag'):
    training_loop.train(config)
  path.unlink()
  with pytest.raises(errors.DataError, match='run hpa-pretrain to its end'):
    training_loop.train(config)


def test_unlabelled_records_are_trained_on_with_labelled_ones(
    records, tmp_path, capsys):
  _, images = fakes.write_source(tmp_path, 9, 32)
  convert.convert('', images, str(tmp_path / 'unlabelled'),
                  shard_plan.Settings(image_size=32, unlabelled=True),
                  convert.How(workers=1))
  both = settings_lib.join([records, str(tmp_path / 'unlabelled')])
  settings = _configure(both,
                        tmp_path / 'both',
                        epochs=1,
                        batch_size=41,
                        loss='nt_xent')
  found = loop.pretrain(settings)
  said = capsys.readouterr().out
  assert '41 images to pre-train on, on the CPU; fold 1 held out, 8' in said
  assert len(found.trained) == 41


# A process of two logical devices, which are set before TensorFlow starts them.
_ON_DEVICES = '''
import json
import sys
from hpa_records.runtime import cli
from hpa_records.runtime import process
process.take()
from hpa_records.runtime.tensorflow import tf
from trainer.pretraining import loop
from trainer.pretraining import settings
runs = json.loads(sys.argv[1])
sys.argv = sys.argv[:1]
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
def main():
  for each in runs:
    loop.pretrain(settings.Settings(**each))
cli.run(main)
'''


# GapNet-PL has dropout, FCN batch norm, whose gradients over few images enlarge
# what is rounded.
@pytest.mark.parametrize('model,loss,bound', [
    ('gapnet_pl', 'nt_xent', 1e-6),
    pytest.param('gapnet_pl', 'sifloc', 1e-6, marks=pytest.mark.soak),
    pytest.param('fcn', 'sifloc', 1e-3, marks=pytest.mark.soak),
    pytest.param('gapnet_pl', 'arcface', 1e-6, marks=pytest.mark.soak),
])
def test_two_devices_train_as_one(tmp_path, model, loss, bound):
  records = _write(tmp_path, 12, num_folds=3)
  each = [
      _configure(records,
                 tmp_path / distribute,
                 model=model,
                 loss=loss,
                 identity='antibody' if loss == 'arcface' else '',
                 batch_size=8,
                 epochs=1,
                 learning_rate=0.1,
                 operations=1,
                 knn_epochs=0,
                 distribute=distribute) for distribute in ('cpu', 'mirrored')
  ]
  done = prestarted.run([
      '-c', _ON_DEVICES,
      json.dumps([dataclasses.asdict(settings) for settings in each])
  ])
  assert done.returncode == 0, done.stderr
  assert 'on the CPU;' in done.stdout and 'on 2 CPUs;' in done.stdout
  first, second = (runs.arrays(
      pathlib.Path(settings.workdir) / 'fold1' / 'checkpoints' /
      'epoch-00001.npz') for settings in each)
  for name in first.keys() - {'state'}:
    np.testing.assert_allclose(second[name], first[name], rtol=0, atol=bound)
  moved = max(
      np.abs(each).max()
      for name, each in first.items()
      if name.endswith('kernel_momentum'))
  assert moved > 10 * bound  # of gradients that went through an exchange
