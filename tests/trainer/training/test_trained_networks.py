"""Every kind of network, loss, channels, classes and image size trains."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.runtime import errors
from hpa_records.synthetic import generator
from tests.support import fakes
from tests.support import runs
from trainer.training import loop


def test_it_learns_from_real_images(shared_data, tmp_path):
  hpa = shared_data / 'hpa'
  settings = shard_plan.Settings(image_size=96)
  convert.convert(str(hpa / 'fields.csv'), str(hpa / 'fields'),
                  str(tmp_path / 'records'), settings, convert.How(workers=2))
  summary = loop.train(
      runs.configure(str(tmp_path / 'records'),
                     tmp_path / 'run',
                     fold=0,
                     epochs=8))
  # Answering "0 and 25" to every image gives 0.71.
  assert summary['f1_micro'] > 0.75


@pytest.mark.parametrize('variant,size,activation,precision',
                         [('kaggle', 160, 'relu', 'float32'),
                          ('original', 32, 'elu', 'bfloat16'),
                          ('original', 32, 'selu', 'float32')])
def test_every_kind_of_network_trains(tmp_path, variant, size, activation,
                                      precision):
  records = fakes.write_records(tmp_path, 15, size, encoding='png')
  config = runs.configure(records,
                          tmp_path / 'run',
                          epochs=1,
                          batch_size=6,
                          variant=variant,
                          activation=activation,
                          precision=precision,
                          augment='all',
                          input_scaling='image')
  summary = loop.train(config)
  assert np.isfinite(summary['loss'])


@pytest.mark.parametrize('num_channels,cache,reader', [
    (1, 'none', 'indexed'),
    (2, 'none', 'streaming'),
    (5, 'device', 'auto'),
    (6, 'host', 'auto'),
])
def test_any_channels_and_classes_train(tmp_path, num_channels, cache, reader):
  described = fakes.describe(num_channels)
  records = fakes.write_records(tmp_path, 40, 32, description=described)
  config = runs.configure(records,
                          tmp_path / 'run',
                          epochs=2,
                          augment='all',
                          cache=cache,
                          reader=reader)
  summary = loop.train(config)
  assert np.isfinite(summary['loss'])
  fold = tmp_path / 'run' / 'fold1'
  assert runs.arrays(fold / 'predictions.npz')['predictions'].shape == (8, 12)
  with np.load(fold / 'checkpoints' / 'epoch-00002.npz') as file:
    sizes = [
        value.size for name, value in file.items() if name.startswith('model/')
    ]
  network = json.loads((fold / 'network.json').read_text('utf-8'))
  count = 621_728 + 1184 + 288 * num_channels + 257 * 12
  assert network['parameters'] == count == sum(sizes)
  # The device's memory gives the bits of the disk.
  if cache == 'device':
    loop.train(
        dataclasses.replace(config,
                            workdir=str(tmp_path / 'read'),
                            cache='none'))
    for name in ('predictions.npz', 'checkpoints/epoch-00002.npz'):
      for key, value in runs.arrays(fold / name).items():
        other = runs.arrays(tmp_path / 'read' / 'fold1' / name)[key]
        if key != 'state':
          np.testing.assert_array_equal(value, other)


@pytest.fixture(name='sample_images', scope='module')
def _sample_images(tmp_path_factory):
  folder = tmp_path_factory.mktemp('sample')
  generator.make(str(folder), 15, size_px=128, workers=1)
  return folder


@pytest.mark.soak
@pytest.mark.parametrize('model, size, loss', [
    ('densenet121', 64, 'bce'),
    ('resnet50', 64, 'focal'),
    ('xception', 71, 'focal_lovasz'),
])
def test_every_network_and_loss_trains(sample_images, tmp_path, model, size,
                                       loss):
  records = str(tmp_path / 'records')
  convert.convert(f'{sample_images}/train.csv', f'{sample_images}/train',
                  records, shard_plan.Settings(image_size=size),
                  convert.How(workers=1))
  config = runs.configure(records,
                          tmp_path / 'run',
                          epochs=2,
                          batch_size=6,
                          model=model,
                          loss=loss,
                          learning_rate=0.001)
  runs.go_on(config, 'model', 'loss', 'learning_rate')
  history = pd.read_csv(tmp_path / 'run' / 'fold1' / 'history.csv')
  assert history['loss'][1] < history['loss'][0]


def _convert_single(folder, others=()):
  """Records of one label each, but for those of other labels by row."""
  csv, images = fakes.write_source(folder, 40, 32)
  head, *rows = pathlib.Path(csv).read_text('utf-8').splitlines()
  rows = [row.partition(' ')[0] for row in rows]
  for row, label in dict(others).items():
    rows[row] += f' {label}'
  pathlib.Path(csv).write_text('\n'.join([head, *rows]) + '\n', 'utf-8')
  records = str(folder / 'records')
  convert.convert(csv, images, records, shard_plan.Settings(image_size=32),
                  convert.How(workers=1))
  return records


def test_single_labels_train_with_softmax(tmp_path):
  config = runs.configure(_convert_single(tmp_path),
                          tmp_path / 'run',
                          epochs=2,
                          batch_size=8,
                          loss='softmax')
  summary = loop.train(config)
  arrays = runs.arrays(tmp_path / 'run' / 'fold1' / 'predictions.npz')
  predictions = arrays['predictions']
  np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-5)
  hits = arrays['labels'][np.arange(8), predictions.argmax(axis=1)]
  assert summary['accuracy_argmax'] == pytest.approx(hits.mean())
  best = json.loads(
      (tmp_path / 'run' / 'fold1' / 'best_metrics.json').read_text('utf-8'))
  assert 'best accuracy_argmax' in best['note']
  with pytest.raises(errors.DataError, match="loss 'softmax', not 'bce'"):
    loop.train(dataclasses.replace(config, loss='bce'))


def test_softmax_refuses_records_of_other_than_one_label(tmp_path):
  records = _convert_single(tmp_path, {3: 7, 20: 9})
  config = runs.configure(records, tmp_path / 'run', loss='softmax')
  done = runs.call(*runs.list_words(config), '--loss=softmax')
  assert done.returncode == 2
  line, = done.stderr.splitlines()
  assert re.search(
      'received 2 of 40 with another number, such as .?s(3|20).? with 2; '
      'pass --loss=bce', line)
  assert not (tmp_path / 'run').exists()


def test_large_images_train(tmp_path):
  records = fakes.write_records(tmp_path, 10, 1024)
  config = runs.configure(records,
                          tmp_path / 'run',
                          epochs=1,
                          batch_size=4,
                          eval_batch_size=2)
  runs.go_on(config, 'eval_batch_size')
  history = pd.read_csv(tmp_path / 'run' / 'fold1' / 'history.csv')
  assert np.isfinite(history['loss']).all()


def test_a_batch_that_no_memory_holds_is_refused(tmp_path):
  csv, images = fakes.write_source(tmp_path, num_samples=4)
  convert.convert(
      csv, images, str(tmp_path / 'records'),
      shard_plan.Settings(image_size=4096, encoding='png', num_folds=2),
      convert.How(workers=1))
  with pytest.raises(errors.DataError,
                     match='--batch_size=1024: its images of 4096x4096x4 take '
                     '343.6 GB, .* are free; pass a smaller --batch_size'):
    loop.train(
        runs.configure(str(tmp_path / 'records'), tmp_path, batch_size=1024))
