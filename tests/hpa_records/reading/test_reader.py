"""reader: the batches of every way to read, compared with the records."""

import collections
import gc
import os
import shutil

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import spec as spec_lib
from hpa_records.images import pixel_codec
from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from hpa_records.reading.payload import buffers as buffers_lib
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import filesystem
from tests.support import fakes
from tests.support import plain_dataset
from tests.support import specs

_SIZE = 200  # six a shard of 1 MiB
_SAMPLE_BYTES = _SIZE * _SIZE * 4
_WAYS = {
    'indexed': ('raw', how_lib.How()),
    'indexed, crc': ('raw', how_lib.How(check='crc')),
    'streaming raw': ('raw', how_lib.How(reader='streaming', shuffle_mb=64)),
    'streaming png': ('png', how_lib.How(reader='streaming', shuffle_mb=64)),
    'indexed png': ('png', how_lib.How()),
    'indexed png, crc': ('png', how_lib.How(check='crc')),
    'address': ('raw', how_lib.How()),
    'address, png': ('png', how_lib.How()),
    'host, raw': ('raw', how_lib.How(cache='host')),
    'host, png': ('png', how_lib.How(cache='host')),
}
_INDEXED = [name for name in _WAYS if not name.startswith('streaming')]


@pytest.fixture(name='folders', scope='module')
def _folders(tmp_path_factory):
  """A dataset of each encoding, with balanced repeats, several shards a fold.
  """
  folder = tmp_path_factory.mktemp('reader')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=_SIZE)
  for encoding in spec_lib.ENCODINGS:
    settings = shard_plan.Settings(image_size=_SIZE,
                                   shard_mb=1,
                                   encoding=encoding,
                                   balance='hybrid',
                                   balance_target=9)
    convert.convert(csv, images, str(folder / encoding), settings,
                    convert.How(workers=1))
  return folder


class _Way:
  """One way to read one dataset, fold 1 held out."""

  def __init__(self, folder, how, fold=1):
    self.records, self.fold = dataset.load(str(folder)), fold
    self.reader = reader.Reader(self.records, fold, how)

  def shuffled(self, number=0, augment='copies'):
    key = epoch_plan.Key(0, number, self.fold)
    return key, epoch_plan.shuffle(self.records.repeats(self.fold), key,
                                   augment)

  def evaluate(self, fold, batch_size):
    return self.reader.evaluation(self.records.rows(fold),
                                  epoch_plan.Share(batch_size))

  def train(self,
            number=0,
            share=epoch_plan.Share(7),
            augment='copies',
            first=0):
    """Returns the planned epoch and its batches from step `first` on."""
    key, epoch = self.shuffled(number, augment)
    batches = self.reader.training(epoch, key, share, first)
    return epoch, list(batches.as_numpy_iterator())


def _open(folders, name):
  encoding, how = _WAYS[name]
  folder = folders / encoding
  if name.startswith('address'):
    folder = f'memory://reader{folder}'
    for path in (folders / encoding).iterdir():
      filesystem.write_atomically(f'{folder}/{path.name}', path.read_bytes())
  return _Way(folder, how)


@pytest.fixture(name='way', params=_WAYS)
def _way(folders, request):
  return _open(folders, request.param)


@pytest.fixture(name='indexed', params=_INDEXED)
def _indexed(folders, request):
  return _open(folders, request.param)


_SAMPLES = {fakes.image(i, _SIZE).tobytes(): i for i in range(40)}


def _sample_of(pixels):
  """Number of the sample that made an image: its planes name it."""
  return _SAMPLES[pixels.tobytes()]


def _real(batches, name):
  return np.concatenate([b[name][b['weight'] == 1] for b in batches])


def _numbers(batches):
  return [_sample_of(pixels) for pixels in _real(batches, 'image')]


def _planned(way, rows):
  return [int(way.records.index['id'][row][1:]) for row in rows]


def test_an_epoch_draws_each_record_its_number_of_times(way):
  epoch, batches = way.train()
  planned = collections.Counter(_planned(way, epoch.record))
  assert collections.Counter(_numbers(batches)) == planned
  assert max(planned.values()) > 1


@pytest.mark.parametrize(
    'name', ['indexed', 'streaming raw', 'address, png', 'host, raw'])
def test_memory_of_an_epoch_and_its_reader_is_freed(folders, name):

  def count():
    gc.collect()
    return sum(
        isinstance(each, (epoch_plan.Epoch, buffers_lib.Buffers))
        for each in gc.get_objects())

  before = count()
  _open(folders, name).train()
  assert count() == before


@pytest.mark.parametrize('kind', ['streaming', 'indexed'])
def test_png_records_are_the_same_on_many_cores(folders, monkeypatch, kind):
  """There other libraries decode them, which release the GIL."""
  _, few = _Way(folders / 'png', how_lib.How(kind)).train()
  monkeypatch.setattr(host, 'num_cores', lambda: 8)
  _, many = _Way(folders / 'png', how_lib.How(kind)).train()
  for batch, other in zip(few, many, strict=True):
    for name, value in batch.items():
      np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize('by_tensorflow', [False, True])
def test_the_streaming_pipeline_is_traced_once(folders, monkeypatch,
                                               by_tensorflow):
  way = _Way(folders / 'png',
             how_lib.How('streaming', by_tensorflow=by_tensorflow))
  made, real = [], batching.Batcher.finish

  def count(*args, **kwargs):
    made.append(args)
    return real(*args, **kwargs)

  monkeypatch.setattr(batching.Batcher, 'finish', count)

  def read(number):
    return _numbers(way.train(number)[1])

  orders = [read(0)]
  traced = len(made)
  orders += [read(1), read(2)]
  assert len(made) == traced == 1
  assert orders[0] != orders[1] != orders[2]


def test_labels_and_transforms_belong_to_their_images(way):
  epoch, batches = way.train()
  numbers = _numbers(batches)
  for number, labels in zip(numbers, _real(batches, 'labels')):
    want = {number % 5} | ({5 + number % 7} if number % 3 == 0 else set())
    assert set(np.flatnonzero(labels)) == want
  planned = collections.Counter(
      zip(_planned(way, epoch.record), epoch.element.tolist()))
  assert collections.Counter(zip(numbers, _real(batches, 'element'))) == planned


@pytest.mark.parametrize('name', ['streaming raw', 'streaming png'])
def test_a_folder_whose_name_is_not_utf8_is_streamed(folders, tmp_path, name):
  encoding, how = _WAYS[name]
  copy = os.fsdecode(os.fsencode(tmp_path) + b'/\xff')
  shutil.copytree(folders / encoding, copy)
  way = _Way(copy, how)
  epoch, batches = way.train()
  assert sorted(_numbers(batches)) == sorted(_planned(way, epoch.record))
  assert len(_numbers(way.evaluate(None, 8))) == 40


def test_batches_have_static_shapes_and_the_last_is_padded(way):
  epoch, batches = way.train(share=epoch_plan.Share(11))
  assert len(batches) == epoch_plan.num_steps(len(epoch), 11)
  for batch in batches:
    assert batch['image'].shape == (11, _SIZE, _SIZE, 4)
    assert batch['image'].dtype == np.uint8
    assert batch['labels'].shape == (11, 28)
    assert batch['labels'].dtype == np.float32
    assert batch['slot'].tolist() == list(range(11))
  weights = np.concatenate([b['weight'] for b in batches])
  assert weights.tolist(
  ) == [1] * len(epoch) + [0] * (len(weights) - len(epoch))


def test_blanks_are_black_and_without_labels(way):
  _, batches = way.train(share=epoch_plan.Share(11))
  blank = batches[-1]['weight'] == 0
  assert blank.any()
  assert not batches[-1]['image'][blank].any()
  assert not batches[-1]['labels'][blank].any()


def test_order_is_a_function_of_seed_and_epoch(way):
  orders = [_numbers(way.train(number)[1]) for number in (0, 0, 1)]
  assert orders[0] == orders[1]
  assert orders[0] != orders[2]


def test_the_shuffle_buffer_has_the_size_of_the_flag(folders):

  def order_with(size_mb):
    how = how_lib.How(reader='streaming', shuffle_mb=size_mb)
    return _numbers(_Way(folders / 'raw', how).train()[1])

  stream, near, far = order_with(0), order_with(1), order_with(64)

  def come_from(order, held):
    """Whether each draw was among so many that the stream had given."""
    return all(
        collections.Counter(order[:i]) <= collections.Counter(stream[:i + held])
        for i in range(1, len(order)))

  held = 2**20 // _SAMPLE_BYTES
  assert come_from(near, held) and not come_from(near, 0)
  assert not come_from(far, held)


def test_the_indexed_order_is_the_plan(indexed):
  epoch, batches = indexed.train()
  assert _numbers(batches) == _planned(indexed, epoch.record)
  np.testing.assert_array_equal(_real(batches, 'element'), epoch.element)


@pytest.mark.parametrize('first', [1, 4])
def test_a_resumed_epoch_has_the_same_batches(way, first):
  _, whole = way.train()
  _, rest = way.train(first=first)
  assert len(rest) == len(whole) - first > 0
  for batch, other in zip(whole[first:], rest):
    for name, value in batch.items():
      np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize('replicas,pipelines', [(2, 1), (4, 1), (2, 2), (4, 2)])
def test_global_batches_are_the_same_for_any_replicas(way, replicas, pipelines):
  _, whole = way.train(share=epoch_plan.Share(8))
  count = replicas // pipelines
  parts = [
      way.train(share=epoch_plan.Share(8, replicas, i * count, count))[1]
      for i in range(pipelines)
  ]
  for step, batch in enumerate(whole):
    mine = [each[step * count + i] for each in parts for i in range(count)]
    for name, value in batch.items():
      together = np.concatenate([part[name] for part in mine])
      np.testing.assert_array_equal(together, value)


def test_training_opens_no_file_of_the_held_out_fold(way, tmp_path):
  if way.reader.kind == 'indexed' and way.reader.holds_pixels:
    pytest.skip('the host cache holds the fold that is scored, too')
  if filesystem.is_remote(way.records.directory):
    pytest.skip('the copy is local')
  shutil.copytree(way.records.directory, tmp_path / 'copy')
  copy = _Way(tmp_path / 'copy', how_lib.How(reader=way.reader.kind))
  for path in (tmp_path / 'copy').glob('fold1-*'):
    path.unlink()
  epoch, batches = copy.train()
  assert len(_real(batches, 'image')) == len(epoch)


@pytest.mark.parametrize('batch_size', [1, 3, 100])
def test_evaluation_reads_every_record_once_in_order(way, batch_size):
  rows = way.records.rows(2)
  batches = list(way.evaluate(2, batch_size).as_numpy_iterator())
  assert _numbers(batches) == _planned(way, rows)
  np.testing.assert_array_equal(_real(batches, 'labels'),
                                way.records.labels[rows])
  assert not _real(batches, 'element').any()
  assert len(batches) == -(-len(rows) // batch_size)


@pytest.mark.parametrize('name', [*_WAYS, 'by TensorFlow'])
def test_evaluation_reads_any_rows_of_any_folds(folders, name):
  if name in _WAYS:
    way = _open(folders, name)
  else:
    way = _Way(folders / 'png', how_lib.How('streaming', by_tensorflow=True))
  rows = np.flatnonzero(np.arange(40) % 3 == 1)[:-1]
  share = epoch_plan.Share(5)
  batches = list(way.reader.evaluation(rows, share).as_numpy_iterator())
  assert _numbers(batches) == _planned(way, rows)
  np.testing.assert_array_equal(_real(batches, 'labels'),
                                way.records.labels[rows])


def test_batches_have_the_stored_pixels(way):
  row = way.records.index.iloc[0]
  with filesystem.open_read(f'{way.records.directory}/{row["shard"]}') as file:
    file.seek(row['image_offset'])
    data = file.read(row['image_bytes'])
  encoding = way.records.manifest.settings['encoding']
  pixels = pixel_codec.decode(data, encoding, _SIZE, 4)
  np.testing.assert_array_equal(pixels, fakes.image(int(row['id'][1:]), _SIZE))


def test_all_images_are_read_once(way):
  rows, numbers = [], []
  for part, pixels in way.reader.images([0, 3]):
    rows += part.tolist()
    numbers += [_sample_of(each) for each in pixels]
  index = way.records.index['fold']
  assert rows == [*np.flatnonzero(index == 0), *np.flatnonzero(index == 3)]
  assert numbers == _planned(way, rows)


def test_batches_have_rows_instead_of_images_with_a_device_cache(folders):
  way = _Way(folders / 'raw', how_lib.How(cache='device'))
  epoch, batches = way.train(share=epoch_plan.Share(11))
  assert 'image' not in batches[0]
  assert _real(batches, 'row').tolist() == epoch.record.tolist()
  assert (
      batches[-1]['row'][batches[-1]['weight'] == 0] == epoch_plan.BLANK).all()


@pytest.mark.parametrize('encoding,how,message', [
    ('png', how_lib.How(cache='disk', cache_dir='cache'),
     '--cache=disk keeps records of an address, received the local folder'),
    ('raw', how_lib.How(reader='streaming', cache='host'),
     '--reader=streaming excludes --cache=host'),
])
def test_options_that_exclude_each_other_are_refused(folders, encoding, how,
                                                     message):
  with pytest.raises(errors.DataError, match=message):
    _Way(folders / encoding, how)


def test_a_cache_that_does_not_fit_is_refused_with_the_figures():
  with pytest.raises(errors.DataError,
                     match='--cache=device: 31,072 images of 299x299x4 take '
                     '11.1 GB, 8.6 GB are free'):
    reader.check_fits((31072, 299, 299, 4), 2**33, 'device')
  reader.check_fits((31072, 299, 299, 4), 2**34, 'device')
  reader.check_fits((31072, 299, 299, 4), None, 'device')


def test_a_host_cache_that_does_not_fit_is_refused(folders, monkeypatch):
  monkeypatch.setattr(host, 'free_memory_bytes', lambda: 2**20)
  with pytest.raises(errors.DataError,
                     match='--cache=host: 40 images of 200x200x4 take 6.4 MB, '
                     '1.0 MB are free'):
    _Way(folders / 'png', how_lib.How(cache='host'))


class _Copy:
  """A copy of a dataset, a reader that has begun, and what it says at the end.
  """

  def __init__(self, folders, tmp_path, how):
    shutil.copytree(folders / 'raw', tmp_path / 'copy')
    self.way = _Way(tmp_path / 'copy', how)
    index = self.way.records.index
    self.row = index[index['fold'] == 3].iloc[1]
    self.path = tmp_path / 'copy' / self.row['shard']

  def read_twice(self, damage):
    """Reads an epoch, does damage, reads another as the loop does."""
    self.way.train()
    damage(self)
    key, epoch = self.way.shuffled(1)
    with self.way.reader.translate_errors():
      for _ in self.way.reader.training(epoch, key, epoch_plan.Share(7)):
        pass


def _cut(copy):
  os.truncate(copy.path, copy.row['image_offset'] + 5)


def _cut_between_records(copy):
  os.truncate(copy.path, copy.row['record_offset'])


def _touch(copy):
  os.utime(copy.path, ns=(1, 1))


def _flip(copy, place=None):
  """Changes a byte, of the image, and hides it from the file's time."""
  before = os.stat(copy.path)
  with open(copy.path, 'r+b') as file:
    file.seek(copy.row['image_offset'] + 1000 if place is None else place)
    byte = file.read(1)[0]
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte ^ 1]))
  os.utime(copy.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(copy):
  """Puts a sound shard of as many bytes in its place."""
  shards = copy.way.records.manifest.shards
  own = next(each for each in shards if each.name == copy.row['shard'])
  other = next(each for each in shards
               if each.bytes == own.bytes and each.name != own.name)
  shutil.copyfile(copy.path.with_name(other.name), copy.path)


@pytest.mark.parametrize('how,damage,message', [
    (how_lib.How(), _cut, ' bytes in the file, received'),
    (how_lib.How(), _cut_between_records, ' bytes in the file, received'),
    (how_lib.How(), lambda copy: copy.path.unlink(), ': No such file'),
    (how_lib.How(), _touch, 'the file was changed'),
    (how_lib.How(), _replace, 'the file was changed'),
    (how_lib.How(check='crc'), _cut, ' bytes in the file, received'),
    (how_lib.How(check='crc'), _cut_between_records,
     ' bytes in the file, received'),
    (how_lib.How(check='crc'), lambda copy: copy.path.unlink(),
     ': No such file'),
    (how_lib.How(check='crc'), _touch, 'the file was changed'),
    (how_lib.How(check='crc'), _flip, 'its CRC-32C is'),
    (how_lib.How(check='crc'),
     lambda copy: _flip(copy, copy.row['record_offset']),
     'its frame does not start with the length'),
    (how_lib.How(check='crc'),
     lambda copy: _flip(copy, copy.row['record_offset'] + 11),
     'its frame does not start with the length'),
])
def test_a_shard_that_is_damaged_while_training_is_named(
    folders, tmp_path, how, damage, message):
  copy = _Copy(folders, tmp_path, how)
  with pytest.raises(errors.DataError, match=message) as caught:
    copy.read_twice(damage)
  assert str(copy.path) in str(caught.value)
  ids = copy.way.records.index.set_index('id')['shard']
  named = str(caught.value).split('record of ')[1].split()[0]
  assert ids[named] == copy.row['shard']
  assert '\n' not in str(caught.value)


def test_a_flipped_byte_is_named_with_its_record(folders, tmp_path):
  copy = _Copy(folders, tmp_path, how_lib.How(check='crc'))
  with pytest.raises(errors.DataError, match=f'record of {copy.row["id"]} at'):
    copy.read_twice(_flip)


def test_a_shard_missing_at_the_first_read_is_named(folders, tmp_path):
  copy = _Copy(folders, tmp_path, how_lib.How())
  copy.path.unlink()
  with pytest.raises(errors.DataError, match=': No such file'):
    with copy.way.reader.translate_errors():
      copy.way.train()


@pytest.mark.parametrize('by_tensorflow', [False, True])
@pytest.mark.parametrize('damage,message', [
    (_cut, 'invalid record of {id} at byte {offset}; copy'),
    (_cut_between_records, 'invalid record of {id} at byte '
     '{offset}; copy'),
    (_flip, 'record of {id} at byte {offset}{end}'),
    (lambda copy: copy.path.unlink(), 'does not exist; copy'),
    (_replace, ' instead of '),
])
def test_streaming_stops_at_a_damaged_shard_and_names_it(
    folders, tmp_path, damage, message, by_tensorflow):
  copy = _Copy(folders, tmp_path,
               how_lib.How(reader='streaming', by_tensorflow=by_tensorflow))
  with pytest.raises(errors.DataError) as caught:
    copy.read_twice(damage)
  said = str(caught.value)
  assert str(copy.path) in said and '\n' not in said
  # TensorFlow does not say what is wrong.
  end = '; copy' if by_tensorflow else f' of {copy.path}: its CRC-32C is'
  assert message.format(id=copy.row['id'],
                        offset=copy.row['record_offset'],
                        end=end) in said


def test_a_pipeline_is_read_twice_and_again_after_a_part(way):
  batches = way.evaluate(2, 3)
  whole = _numbers(list(batches.as_numpy_iterator()))
  next(iter(batches))
  assert _numbers(list(batches.as_numpy_iterator())) == whole
  assert _numbers(list(batches.as_numpy_iterator())) == whole


def test_batches_are_not_overwritten_while_referenced(folders):
  way = _Way(folders / 'raw', how_lib.How())
  key, epoch = way.shuffled()
  held = list(way.reader.training(epoch, key, epoch_plan.Share(2)))
  numbers = [
      _sample_of(each) for batch in held for each in batch['image'].numpy()
  ]
  assert numbers[:len(epoch)] == _planned(way, epoch.record)


def test_unused_places_do_not_change_a_shuffle():
  # streaming leaves them out, as TensorFlow takes memory for them.
  exact, large = (list(
      tf.data.Dataset.range(50).shuffle(
          places, seed=5, reshuffle_each_iteration=False).as_numpy_iterator())
                  for places in (50, 5000))
  assert exact == large != sorted(exact)


@pytest.mark.parametrize('name', _WAYS)
@pytest.mark.parametrize('num_channels,num_classes', [(1, 1), (3, 65), (5, 200),
                                                      (16, 1138)])
def test_batches_of_any_channels_and_classes(tmp_path, name, num_channels,
                                             num_classes):
  encoding, how = _WAYS[name]
  if encoding not in pixel_codec.encodings(num_channels):
    encoding = 'raw'
  spec = specs.make(9, num_channels, num_classes, encoding)
  labels = [[i * 5 % num_classes] for i in range(11)]
  plain_dataset.write(tmp_path, spec, labels)
  way = _Way(tmp_path, how)
  numbers = [int(name[1:]) for name in way.records.index['id']]
  share, seen = epoch_plan.Share(4), 0
  evaluated = way.evaluate(None, 4).as_numpy_iterator()
  for batch in (*evaluated, *way.train(share=share, augment='none')[1]):
    assert batch['image'].shape == (4, *spec.image_shape)
    assert batch['labels'].shape == (4, num_classes)
    assert batch['labels'].dtype == np.float32
    for pixels, hot, weight in zip(batch['image'], batch['labels'],
                                   batch['weight']):
      if not weight:
        assert not pixels.any() and not hot.any()
        continue
      found = [
          i for i in numbers
          if np.array_equal(pixels, plain_dataset.image(i, spec))
      ]
      assert np.array_equal(hot, spec.multi_hot([labels[found[0]]])[0])
      seen += 1
  assert seen == len(labels) + 6  # all, then those of fold 0
