"""memory: a cache and batches that fit."""

import dataclasses

import pytest

from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import errors
from hpa_records.runtime import host
from tests.support import fakes
from tests.support import specs
from trainer import config as config_lib
from trainer import memory
from trainer import strategy as strategy_lib

_SIZE, _COUNT = 16, 40
_PIXELS = _COUNT * _SIZE**2 * 4  # bytes
_CONFIG = config_lib.Config('', '', batch_size=8, cache='auto')


@pytest.fixture(name='records', scope='module', params=['raw', 'png'])
def _records(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp('memory')
  return dataset.load(
      fakes.write_records(folder, _COUNT, _SIZE, encoding=request.param))


@pytest.mark.parametrize('free_bytes,cache', [
    (2**40, 'device'),
    (2 * _PIXELS, 'host'),
    (2 * _PIXELS - 1, 'none'),
    (None, 'none'),
])
def test_pixels_are_kept_where_they_fit(records, monkeypatch, free_bytes,
                                        cache):
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: free_bytes)
  how = memory.choose_cache(_CONFIG, records, strategy_lib.make('cpu'), '')
  assert how == dataclasses.replace(_CONFIG.reading, cache=cache)
  assert reader_lib.Reader(records, 0, how).kind in how_lib.READERS


@pytest.mark.parametrize('changes', [{
    'data_service': 'grpc://127.0.0.1:1'
}, {
    'reader': 'streaming'
}, {
    'records': 'gs://bucket/records',
    'distribute': 'tpu',
    'tpu': 'elsewhere'
}, {
    'cache': 'none'
}])
def test_auto_gives_way_to_what_excludes_a_cache(records, changes):
  config = dataclasses.replace(_CONFIG, **changes)
  how = memory.choose_cache(config, records, strategy_lib.make('cpu'), '')
  assert how.cache == 'none'
  assert reader_lib.choose(records, how) in how_lib.READERS


def test_a_run_that_is_continued_keeps_its_reader(records, monkeypatch):
  strategy = strategy_lib.make('cpu')
  streams = memory.choose_cache(_CONFIG, records, strategy, 'streaming')
  assert streams.cache == 'none'
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**10)
  how = memory.choose_cache(_CONFIG, records, strategy, 'indexed')
  assert reader_lib.choose(records, how) == 'indexed'


def test_the_host_of_a_remote_tpu_reads_by_itself(records):
  config = dataclasses.replace(_CONFIG,
                               records='gs://bucket/records',
                               distribute='tpu',
                               tpu='elsewhere')
  how = memory.choose_cache(config, records, strategy_lib.make('cpu'), '')
  assert reader_lib.choose(records, how) == 'streaming' and how.by_tensorflow


def test_a_cache_in_the_memory_of_a_tpu_is_refused(records, monkeypatch):
  strategy = strategy_lib.make('cpu')  # no TPU is here
  monkeypatch.setattr(memory, 'find_device', lambda _: ('TPU', 0))
  config = dataclasses.replace(_CONFIG, cache='device')
  with pytest.raises(errors.DataError, match='not for TPUs'):
    memory.choose_cache(config, records, strategy, '')
  assert memory.choose_cache(_CONFIG, records, strategy, '').cache == 'host'


def test_the_control_group_s_limit_counts(records, monkeypatch, tmp_path):
  # The files of a container with 64 MB, of which 63 are used.
  group = tmp_path / 'sys/fs/cgroup'
  group.mkdir(parents=True)
  (group / 'memory.max').write_text(str(64 * 10**6))
  (group / 'memory.current').write_text(str(64 * 10**6 - _PIXELS))
  proc = tmp_path / 'proc/self'
  proc.mkdir(parents=True)
  (proc / 'cgroup').write_text('0::/\n')
  (tmp_path / 'proc/meminfo').write_text('MemAvailable: 8000000 kB\n')
  free = host.free_memory_bytes
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: free(str(tmp_path)))
  how = memory.choose_cache(_CONFIG, records, strategy_lib.make('cpu'), '')
  assert how.cache == 'none'


@pytest.mark.parametrize('model,size,count', [
    ('gapnet_pl', 299, 32),
    ('gapnet_pl', 16, 1024),
    ('densenet121', 299, 16),
])
def test_evaluation_takes_the_largest_batch_that_fits(model, size, count):
  strategy = strategy_lib.make('cpu')
  config = dataclasses.replace(_CONFIG, model=model)
  spec = specs.make(size)
  assert memory.choose_eval_batch(config, spec, strategy) == count
  given = dataclasses.replace(config, eval_batch_size=7)
  assert memory.choose_eval_batch(given, spec, strategy) == 7


def test_evaluation_takes_less_of_images_with_more_channels():
  strategy = strategy_lib.make('cpu')
  one, four, sixteen = (memory.choose_eval_batch(_CONFIG,
                                                 specs.make(180, channels),
                                                 strategy)
                        for channels in (1, 4, 16))
  assert one == four == 2 * sixteen == 128


def test_a_batch_that_no_memory_holds_is_refused(records, monkeypatch):
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**13)
  with pytest.raises(errors.DataError, match='Not enough memory for --batch_'):
    memory.check_batch(_CONFIG, records, strategy_lib.make('cpu'))


def test_a_part_of_a_batch_takes_less_memory(records, monkeypatch):
  strategy = strategy_lib.make('cpu')
  whole = dataclasses.replace(_CONFIG, batch_size=64, eval_batch_size=1)
  parts = dataclasses.replace(whole, accumulate=16)
  free = 64 * records.spec.raw_bytes * 2
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: free)
  memory.check_batch(parts, records, strategy)
  with pytest.raises(errors.DataError, match='--batch_size=64'):
    memory.check_batch(whole, records, strategy)
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**23)
  found = [
      memory.choose_cache(each, records, strategy, '').cache
      for each in (whole, parts)
  ]
  assert found == ['host', 'device']
