"""dataset: batches that tf.data makes, against the records they come from."""

import collections

import numpy as np
import pytest

from hpa_records import balance
from hpa_records import convert
from hpa_records import dataset
from hpa_records import image
from hpa_records import plan
from hpa_records import schema
from hpa_records import shard_plan
from hpa_records.backend import tf
from tests import fakes

_SIZE = 200  # six a shard of 1 MiB


@pytest.fixture(name='folders', scope='module')
def _folders(tmp_path_factory):
  """A dataset of each encoding, with balanced repeats, several shards a fold.
  """
  folder = tmp_path_factory.mktemp('dataset')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=_SIZE)
  for encoding in schema.ENCODINGS:
    settings = shard_plan.Settings(image_size=_SIZE,
                                   shard_mb=1,
                                   encoding=encoding,
                                   balance='hybrid',
                                   balance_target=9)
    convert.convert(csv, images, str(folder / encoding), settings,
                    convert.How(workers=1))
  return folder


@pytest.fixture(name='records', params=schema.ENCODINGS)
def _records(folders, request):
  return dataset.load(str(folders / request.param))


@pytest.mark.parametrize('policy', balance.POLICIES)
def test_balance_from_the_index_is_what_the_converter_would_store(
    records, tmp_path, policy):
  asked = balance.Balance(policy, target=7, tolerance=0.1)
  made = tmp_path / 'made'
  settings = shard_plan.Settings(image_size=_SIZE,
                                 balance=policy,
                                 balance_target=7,
                                 balance_tolerance=0.1)
  csv, images = fakes.write_source(tmp_path, num_samples=40, size_px=_SIZE)
  convert.convert(csv, images, str(made), settings, convert.How(workers=1))
  stored = dataset.load(str(made))
  assert stored.index['id'].tolist() == records.index['id'].tolist()
  for fold in range(5):
    np.testing.assert_array_equal(records.repeats(fold, asked),
                                  stored.repeats(fold))


def _train(records, fold=1, epoch_number=0, batch_size=7, augment='copies'):
  key = plan.Key(0, epoch_number, fold)
  epoch = plan.expand(records.repeats(fold), key, augment)
  batches = dataset.training_batches(records, fold, epoch, batch_size, 64, key)
  return epoch, list(batches.as_numpy_iterator())


_SAMPLES = {fakes.image(i, _SIZE).tobytes(): i for i in range(40)}


def _sample_of(pixels):
  """Number of the sample that made an image: its planes name it."""
  return _SAMPLES[pixels.tobytes()]


def _real(batches, name):
  return np.concatenate([b[name][b['weight'] == 1] for b in batches])


def test_an_epoch_draws_each_record_its_number_of_times(records):
  epoch, batches = _train(records)
  drawn = collections.Counter(map(_sample_of, _real(batches, 'image')))
  planned = collections.Counter(
      int(records.index['id'][row][1:]) for row in epoch.record)
  assert drawn == planned
  assert max(planned.values()) > 1


def test_labels_and_transforms_go_with_their_images(records):
  epoch, batches = _train(records)
  numbers = [_sample_of(p) for p in _real(batches, 'image')]
  for number, labels in zip(numbers, _real(batches, 'labels')):
    want = {number % 5} | ({5 + number % 7} if number % 3 == 0 else set())
    assert set(np.flatnonzero(labels)) == want
  rows = {f's{number}': number for number in range(40)}
  planned = collections.Counter((rows[records.index['id'][r]], e)
                                for r, e in zip(epoch.record, epoch.element))
  assert collections.Counter(zip(numbers, _real(batches, 'element'))) == planned


def test_batches_are_static_and_the_last_is_filled_with_weight_0(records):
  epoch, batches = _train(records, batch_size=11)
  assert len(batches) == plan.num_steps(len(epoch), 11)
  for batch in batches:
    assert batch['image'].shape == (11, _SIZE, _SIZE, 4)
    assert batch['image'].dtype == np.uint8
    assert batch['labels'].shape == (11, 28)
    assert batch['slot'].tolist() == list(range(11))
  weights = np.concatenate([b['weight'] for b in batches])
  assert weights.tolist(
  ) == [1] * len(epoch) + [0] * (len(weights) - len(epoch))


def test_order_is_a_function_of_seed_and_epoch(records):
  orders = []
  for epoch_number in (0, 0, 1):
    _, batches = _train(records, epoch_number=epoch_number, augment='none')
    orders.append([_sample_of(p) for p in _real(batches, 'image')])
  assert orders[0] == orders[1]
  assert orders[0] != orders[2]


def test_training_opens_no_file_of_the_held_out_fold(folders, tmp_path):
  for path in (folders / 'raw').iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  records = dataset.load(str(tmp_path))
  for path in tmp_path.glob('fold1-*'):
    path.unlink()
  epoch, batches = _train(records, fold=1)
  assert len(_real(batches, 'image')) == len(epoch)


def test_evaluation_gives_every_record_once_in_order(records):
  rows = records.rows(2)
  batches = list(dataset.evaluation_batches(records, 2, 3).as_numpy_iterator())
  numbers = [_sample_of(p) for p in _real(batches, 'image')]
  assert [f's{n}' for n in numbers] == records.index['id'].iloc[rows].tolist()
  np.testing.assert_array_equal(_real(batches, 'labels'),
                                records.multi_hot(rows))
  assert len(batches) * 3 >= len(rows) > (len(batches) - 1) * 3


def test_a_shard_that_lost_its_tail_stops_the_epoch(folders, tmp_path):
  for path in (folders / 'raw').iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  records = dataset.load(str(tmp_path))
  name = records.manifest.shards[-1].name
  last = records.index[records.index['shard'] == name].iloc[-1]
  with open(tmp_path / name, 'r+b') as file:
    file.truncate(last['record_offset'])
  with pytest.raises(tf.errors.FailedPreconditionError, match='contained only'):
    _train(records)
  with pytest.raises(schema.DataError, match=name):
    dataset.load(str(tmp_path))


def test_blank_record_is_black_and_without_labels(records):
  _, batches = _train(records, batch_size=11)
  blank = batches[-1]['weight'] == 0
  assert blank.any()
  assert not batches[-1]['image'][blank].any()
  assert not batches[-1]['labels'][blank].any()


def test_stored_pixels_are_what_the_reader_gives(records):
  row = records.index.iloc[0]
  with open(f'{records.directory}/{row["shard"]}', 'rb') as file:
    file.seek(row['image_offset'])
    data = file.read(row['image_bytes'])
  pixels = image.decode(data, records.manifest.settings['encoding'], _SIZE)
  np.testing.assert_array_equal(pixels, fakes.image(int(row['id'][1:]), _SIZE))
