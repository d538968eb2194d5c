"""device_cache: the pixels to train on, by row of the index, on the device."""

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
from trainer import strategy as strategy_lib
from trainer.training import device_cache

_SIZE = 16


@pytest.fixture(name='records', scope='module', params=['raw', 'png'])
def _records(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp('cache')
  return dataset.load(
      fakes.write_records(folder, 80, _SIZE, encoding=request.param))


def _cache(records, fold):
  reader = reader_lib.Reader(records, fold, how_lib.How(cache='device'))
  return device_cache.DeviceCache(strategy_lib.make('cpu'), reader, records,
                                  fold)


def test_each_row_has_its_pixels_and_a_blank_is_black(records):
  cache, index = _cache(records, 2), records.index
  rows = np.flatnonzero(index['fold'] != 2)
  rows = np.random.default_rng(0).permutation(rows)
  names = [int(name[1:]) for name in index['id'].iloc[rows]]
  want = np.stack([fakes.image(name, _SIZE) for name in names])
  rows = tf.constant([*rows, epoch_plan.BLANK], tf.int32)
  found = tf.function(cache.images)(rows).numpy()
  np.testing.assert_array_equal(found[:-1], want)
  assert found.dtype == np.uint8 and not found[-1].any()


def test_the_held_out_fold_is_not_there(records):
  rows = tf.constant(records.rows(2), tf.int32)
  assert not _cache(records, 2).images(rows).numpy().any()


def test_what_does_not_fit_is_refused_with_the_figures(records, monkeypatch):
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**10)
  with pytest.raises(errors.DataError,
                     match='--cache=device: .* 1.0 kB are free'):
    _cache(records, 0)
