"""device_cache: all pixels and the rows of the batches, on the device."""

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from trainer import memory
from trainer import strategy as strategy_lib
from trainer.training import device_cache

_SIZE, _B = 16, 8


@pytest.fixture(name='records', scope='module', params=['raw', 'png'])
def _records(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp('cache')
  return dataset.load(
      fakes.write_records(folder, 80, _SIZE, encoding=request.param))


def _cache(records):
  strategy = strategy_lib.make('cpu')
  reader = reader_lib.Reader(records, 2, how_lib.How(cache='device'))
  return device_cache.DeviceCache(strategy, reader, records)


def test_each_row_has_its_pixels_and_labels_and_a_blank_is_black(records):
  index = records.index
  rows = np.random.default_rng(0).permutation(len(index))
  names = [int(name[1:]) for name in index['id'].iloc[rows]]
  want = np.stack([fakes.image(name, _SIZE) for name in names])
  images, labels = tf.function(_cache(records).look_up)(tf.constant(
      [*rows, len(index)]))
  np.testing.assert_array_equal(images[:-1], want)
  np.testing.assert_array_equal(labels[:-1], records.labels[rows])
  assert images.dtype == tf.uint8
  assert not images[-1].numpy().any() and not labels[-1].numpy().any()


@pytest.mark.parametrize('num_channels', [1, 3, 6])
def test_other_channels_and_classes_are_kept(tmp_path, num_channels):
  records = dataset.load(
      fakes.write_records(tmp_path,
                          20,
                          _SIZE,
                          description=fakes.describe(num_channels)))
  images, labels = _cache(records).look_up(tf.range(21))
  names = [int(name[1:]) for name in records.index['id']]
  want = [fakes.image(name, _SIZE, num_channels) for name in names]
  np.testing.assert_array_equal(images[:-1], np.stack(want))
  assert labels.shape == (21, 12) and not labels[-1].numpy().any()
  np.testing.assert_array_equal(labels[:-1], records.labels)


@pytest.mark.parametrize('kind', ['CPU', 'GPU'])
def test_batches_are_those_of_the_plan(records, kind, monkeypatch):
  monkeypatch.setattr(memory, 'find_device', lambda _: (kind, 0))
  monkeypatch.setattr(memory, 'free_bytes', lambda _: None)
  strategy, key = strategy_lib.make('cpu'), epoch_plan.Key(0, 1, 2)
  repeats = np.where(records.index['fold'] == 2, 0, 1.3)
  plan = epoch_plan.shuffle(repeats, key, 'all')
  steps = epoch_plan.num_steps(len(plan), _B)
  cached = device_cache.CachedBatches(_cache(records), _B, steps + 2)
  cached.load(epoch_plan.once(np.arange(len(records.index))))
  cached.load(plan)
  reader = reader_lib.Reader(records, 2, how_lib.How(cache='host'))
  want = list(
      reader.training(plan, key, epoch_plan.Share(_B)).as_numpy_iterator())
  assert len(want) == steps and want[-1]['weight'].min() == 0
  for number, batch in enumerate(want):
    found = strategy.run(cached.take, args=(tf.constant(number, tf.int64),))
    assert found.keys() == batch.keys()
    for name, values in batch.items():
      np.testing.assert_array_equal(found[name], values, name)
  left = strategy.run(cached.take, args=(tf.constant(steps, tf.int64),))
  assert not left['weight'].numpy().any()


def test_what_does_not_fit_is_refused_with_the_figures(records, monkeypatch):
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**10)
  with pytest.raises(errors.DataError,
                     match='--cache=device: .* 1.0 kB are free'):
    _cache(records)
