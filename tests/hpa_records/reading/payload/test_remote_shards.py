"""remote_shards: the same batches as from disk, and shards that change."""

import pathlib
import shutil

import numpy as np
import pytest

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import remote_shards
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from tests.support import web_server

_SIZE = 32
_COUNT = 40


@pytest.fixture(name='folders', scope='module')
def _folders(tmp_path_factory):
  return {
      encoding:
          pathlib.Path(
              fakes.write_records(tmp_path_factory.mktemp(encoding),
                                  _COUNT,
                                  _SIZE,
                                  encoding=encoding))
      for encoding in spec_lib.ENCODINGS
  }


@pytest.fixture(name='server', params=spec_lib.ENCODINGS)
def _server(folders, tmp_path, request):
  shutil.copytree(folders[request.param], tmp_path / 'copy')
  with web_server.serve(tmp_path / 'copy') as server:
    yield server


def _epoch(directory, number=0, first=0, how=how_lib.How()):
  """The batches of an epoch from a step on, fold 1 held out."""
  records = dataset.load(str(directory))
  way = reader.Reader(records, 1, how)
  key = epoch_plan.Key(0, number, 1)
  epoch = epoch_plan.shuffle(records.repeats(1), key)
  with way.translate_errors():
    return list(
        way.training(epoch, key, epoch_plan.Share(6),
                     first).as_numpy_iterator())


def _are_same(batches, others):
  assert len(batches) == len(others)
  for batch, other in zip(batches, others):
    for name, value in batch.items():
      np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize('first', [0, 3])
def test_an_epoch_is_that_of_the_disk_in_every_bit_from_any_step(server, first):
  _are_same(_epoch(server.address, first=first),
            _epoch(server.folder, first=first))


def test_a_batch_is_requested_together_before_it_is_read(server):
  records = dataset.load(server.address)
  shards = remote_shards.RemoteShards(record_places.RecordPlaces(records))
  before = len(server.requests)
  rows = np.array([3, epoch_plan.BLANK, 30, 3])
  begun = shards.prefetch(rows)
  while len(server.requests) < before + 2:
    pass
  out = np.full((4, *records.spec.image_shape), 9, np.uint8)
  shards.read(rows, out, begun)
  assert len(server.requests) == before + 2  # a record once
  np.testing.assert_array_equal(out[0], out[3])
  assert out[0].any() and not out[1].any()


def _fails(server, message):
  """The error of an epoch, one line that names a record and its shard."""
  with pytest.raises(errors.DataError, match=message) as caught:
    _epoch(server.address)
  said = str(caught.value)
  assert '\n' not in said
  name = said.split('record of ')[1].split()[0]
  index = dataset.load(str(server.folder)).index.set_index('id')
  assert f'{server.address}/{index["shard"][name]}' in said
  return name


def test_a_refused_request_names_the_record(server):
  server.fault = lambda path, number: 403 if path.endswith('.tfrecord') else 0
  _fails(server, 'is denied .HTTP 403')


def test_a_failing_server_is_asked_again(server):
  seen = set()

  def fail_once(path, number):
    del number
    is_new = path.endswith('.tfrecord') and path not in seen
    seen.add(path)
    return 503 if is_new else 0

  server.fault = fail_once
  _are_same(_epoch(server.address), _epoch(server.folder))
  assert seen


def test_a_flipped_byte_names_the_record(server):
  row = dataset.load(server.address).index.iloc[0]
  path = server.folder / row['shard']
  data = bytearray(path.read_bytes())
  data[row['image_offset'] + 20] ^= 1
  path.write_bytes(data)
  assert _fails(server, 'its CRC-32C is') == row['id']


def test_another_record_in_a_place_is_noticed(server):
  index = dataset.load(server.address).index
  path = server.folder / index['shard'][0]
  rows = index[index['shard'] == path.name]
  pair = next((i, j)
              for i in range(len(rows))
              for j in range(i)
              if rows['record_bytes'].iloc[i] == rows['record_bytes'].iloc[j])
  data = bytearray(path.read_bytes())
  places = [
      slice(row['record_offset'], row['record_offset'] + row['record_bytes'])
      for row in (rows.iloc[i] for i in pair)
  ]
  data[places[0]], data[places[1]] = data[places[1]], data[places[0]]
  path.write_bytes(data)
  assert _fails(server, 'another record is in its place') in set(
      rows['id'].iloc[list(pair)])


def test_a_shard_removed_during_the_run_is_named(server):
  name = dataset.load(server.address).index['shard'][0]
  server.fault = lambda path, number: 404 if path == f'/{name}' else 0
  _fails(server, f'{name} does not exist')


def test_a_shard_that_was_replaced_is_noticed_by_its_version(server):
  records = dataset.load(server.address)
  shards = remote_shards.RemoteShards(record_places.RecordPlaces(records))
  out = np.empty((1, *records.spec.image_shape), np.uint8)
  shards.read(np.array([0]), out)
  shards.check_unchanged()
  path = server.folder / records.index['shard'][0]
  path.write_bytes(path.read_bytes()[:-1] + b'?')
  with pytest.raises(errors.DataError, match=f'{path.name} was changed during'):
    shards.check_unchanged()
