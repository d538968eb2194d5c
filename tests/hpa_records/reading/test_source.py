"""source: samples and batches by index, in any process, without TensorFlow."""

from concurrent import futures
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import hpa_records
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs

_COUNT, _SIZE = 40, 64
_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return fakes.write_records(tmp_path_factory.mktemp('source'), _COUNT, _SIZE)


@pytest.fixture(name='source', scope='module')
def _source(folder):
  return hpa_records.open(folder)


def _images(source, index):
  """The pixels that records should have, [b, H, W, C]."""
  return np.stack(
      [fakes.image(int(name[1:]), _SIZE) for name in source.ids[index]])


def _check(source, batch, index):
  np.testing.assert_array_equal(batch['image'], _images(source, index))
  assert batch['image'].dtype == np.uint8
  for name in ('id', 'fold', 'labels', 'repeats'):
    table = getattr(source, f'{name}s'.replace('ss', 's'))
    np.testing.assert_array_equal(batch[name], table[index], err_msg=name)


def _run(code, folder):
  """Output of code in a process of its own, whose argument is the folder."""
  done = subprocess.run([sys.executable, '-W', 'error', '-c', code, folder],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_tables_are_those_that_were_converted(source, folder):
  stored = fakes.read_samples(pathlib.Path(folder))
  assert len(source) == _COUNT and set(source.ids) == set(stored)
  for i, name in enumerate(source.ids):
    assert source.folds[i] == stored[name].fold
    np.testing.assert_array_equal(source.labels[i], stored[name].labels)
    np.testing.assert_array_equal(source.repeats[i], stored[name].repeats)
  assert source.spec.channel_names == specs.CHANNELS


@pytest.mark.parametrize('index', [0, 7, -1, np.int64(3), -_COUNT])
def test_an_integer_gives_a_sample(source, index):
  sample = source[index]
  assert list(sample) == ['image', 'id', 'labels', 'fold', 'repeats']
  assert (type(sample['id']), type(sample['fold'])) == (str, int)
  batch = {name: [value] for name, value in sample.items()}
  _check(source, batch | {'image': sample['image'][None]}, [index])


@pytest.mark.parametrize('index', [
    [3, 1, 3, -1],
    np.array([5, 0], np.int32),
    range(4, 9),
    slice(2, None, 5),
    slice(-2, None),
    np.arange(_COUNT) % 3 == 0,
    [],
])
def test_several_give_a_batch_in_their_order(source, index):
  index = list(index) if isinstance(index, range) else index
  batch = source[index]
  assert batch['image'].shape == (len(source.ids[index]), _SIZE, _SIZE, 4)
  if batch['image'].size:
    _check(source, batch, index)


@pytest.mark.parametrize('index', [
    _COUNT, -_COUNT - 1, [0, _COUNT], 1.5, 'a', None, (0, 1), [[0, 1]], True,
    np.ones(3, bool)
])
def test_other_indices_are_index_errors(source, index):
  with pytest.raises(IndexError):
    _ = source[index]


def test_iteration_ends(source):
  assert [each['id'] for each in source] == source.ids.tolist()


def test_a_batch_is_the_callers(source):
  before = source[[0, 1]]
  for name, value in source[[0, 1]].items():
    value[...] = 'x' if name == 'id' else 9
  sample = source[0]
  for name in ('image', 'labels', 'repeats'):
    sample[name][...] = 9
  after = source[[0, 1]]
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value)


def test_samples_that_are_fetched_together_share_one_array(source):
  samples = source.__getitems__([4, 0, 4])
  assert [each['id'] for each in samples] == source.ids[[4, 0, 4]].tolist()
  np.testing.assert_array_equal([each['image'] for each in samples],
                                _images(source, [4, 0, 4]))
  assert len({id(each['image'].base) for each in samples}) == 1


def test_a_split_parts_the_records_by_fold(source):
  training, held_out = source.split(2)
  assert set(held_out.folds) == {2} and 2 not in training.folds
  assert sorted([*training.ids, *held_out.ids]) == sorted(source.ids)
  _check(held_out, held_out[:], slice(None))
  assert (held_out.repeats[:, 2] == 0).all()
  assert (training.repeats[:, 2] > 0).all()
  assert 'without fold 2' in repr(training) and ', fold 2' in repr(held_out)


@pytest.mark.parametrize('fold', [-1, 5, 'a'])
def test_a_fold_that_does_not_exist_is_refused(source, fold):
  with pytest.raises(errors.DataError, match=f'of 0..4, received {fold}'):
    source.split(fold)


def test_unlabelled_records_have_image_and_id(tmp_path):
  forgery.write_unlabelled(tmp_path)
  source = hpa_records.open(tmp_path)
  assert list(source[0]) == list(source[:2]) == ['image', 'id']
  assert source.labels is source.folds is source.repeats is None
  with pytest.raises(errors.DataError, match='received unlabelled ones at'):
    source.split(0)


def test_pngs_give_the_same_pixels(tmp_path):
  spec = specs.make(24, num_channels=3, num_classes=5, encoding='png')
  plain_dataset.write(tmp_path, spec, [[i % 5] for i in range(10)])
  source = hpa_records.open(tmp_path, check='crc')
  np.testing.assert_array_equal(
      source[:]['image'],
      [plain_dataset.image(int(name[1:]), spec) for name in source.ids])


def test_a_batch_of_several_threads_is_whole(tmp_path):
  spec = specs.make(400, num_classes=5)  # 640 kB each, so some a thread
  plain_dataset.write(tmp_path, spec, [[i % 5] for i in range(12)])
  source = hpa_records.open(tmp_path)
  index = [11, 3, 0, 7, 8, 2, 10]
  expected = [
      plain_dataset.image(int(name[1:]), spec) for name in source.ids[index]
  ]
  for _ in range(3):
    np.testing.assert_array_equal(source[index]['image'], expected)


def test_a_pickled_copy_reads_the_same(source):
  source[0]  # pylint: disable=pointless-statement
  copy = pickle.loads(pickle.dumps(source))
  assert repr(copy) == repr(source)
  _check(copy, copy[[1, 5]], [1, 5])


def test_threads_read_at_the_same_time(folder):
  source = hpa_records.open(folder)  # so that they also open files together
  with futures.ThreadPoolExecutor(8) as pool:
    batches = list(pool.map(lambda i: source[[i, (7 * i) % _COUNT]], range(40)))
  for i, batch in enumerate(batches):
    _check(source, batch, [i, (7 * i) % _COUNT])


def test_it_works_without_tensorflow_and_imports_little(folder):
  out = _run(
      'import sys; sys.modules["tensorflow"] = None\n'
      'import hpa_records\n'
      'print("numpy" in sys.modules)\n'
      'source = hpa_records.open(sys.argv[1])\n'
      'print(len(source), source[[0, 3]]["image"].shape)\n', folder)
  assert out.splitlines() == ['False', f'{_COUNT} (2, {_SIZE}, {_SIZE}, 4)']


_WORKERS = '''
import multiprocessing, sys, threading
import hpa_records

def total(source, index):
  return source[index]['image'].astype(int).sum(axis=(1, 2, 3)).tolist()

def read(source, index, queue):
  queue.put(total(source, index))

if __name__ == '__main__':
  source, method = hpa_records.open(sys.argv[1]), sys.argv[2]
  own = total(source, slice(None))
  stop = threading.Event()
  def go_on():
    while not stop.is_set():
      source[[0, 9, 20, 30]]
  # Others read while the process is forked. A spawned one takes seconds.
  threads = [threading.Thread(target=go_on) for _ in range(2)]
  for each in threads if method == 'fork' else []:
    each.start()
  context = multiprocessing.get_context(method)
  queue = context.Queue()
  for i in range(4 if method == 'fork' else 1):
    context.Process(target=read, args=(source, slice(i, None, 2), queue),
                    daemon=True).start()
    assert queue.get(timeout=120) == own[i::2]
  stop.set()
'''


def _run_workers(address, method, tmp_path, environment):
  script = tmp_path / 'workers.py'  # which spawned processes import
  script.write_text(_WORKERS)
  done = subprocess.run([sys.executable, script, address, method],
                        check=False,
                        capture_output=True,
                        text=True,
                        env=os.environ | {'PYTHONPATH': str(_ROOT)} |
                        environment)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_of_multiprocessing_read_the_same(folder, method, tmp_path):
  _run_workers(folder, method, tmp_path, {})


def test_a_bucket_gives_the_same(source, folder, store, tmp_path, monkeypatch):
  for name, value in store.environment.items():
    monkeypatch.setenv(name, value)
  address = store.upload(pathlib.Path(folder), 'source-test')
  remote = hpa_records.open(address)
  index = [7, 0, 7, _COUNT - 1]
  _check(source, remote[index], index)
  _check(source, pickle.loads(pickle.dumps(remote))[index], index)
  _run_workers(address, 'fork', tmp_path, store.environment)
  remote.check_unchanged()
  key = 'records/fold0-00000-of-00001.tfrecord'
  store.client().put_object(Bucket='source-test', Key=key, Body=b'other')
  with pytest.raises(errors.DataError, match='fold0-.* was changed'):
    remote.check_unchanged()
  store.client().delete_object(Bucket='source-test', Key=key)
  with pytest.raises(errors.DataError, match='fold0-.* does not exist'):
    remote[:]  # pylint: disable=pointless-statement


@pytest.mark.parametrize('check', ['none', 'crc'])
def test_a_damaged_or_replaced_shard_is_named(folder, tmp_path, check):
  source = hpa_records.open(shutil.copytree(folder, tmp_path / 'copy'), check)
  source[:]  # pylint: disable=pointless-statement
  path = next((tmp_path / 'copy').glob('*.tfrecord'))
  other = tmp_path / 'other'
  shutil.copy(path, other)
  os.replace(other, path)
  with pytest.raises(errors.DataError,
                     match=f'{path.name}: the file was chang'):
    source[:]  # pylint: disable=pointless-statement
  with open(path, 'r+b') as file:
    file.truncate(1000)
  with pytest.raises(errors.DataError, match='expected .* received 1000'):
    pickle.loads(pickle.dumps(source))[:]  # pylint: disable=expression-not-assigned


def test_a_wrong_byte_is_found_by_its_checksum(folder, tmp_path):
  source = hpa_records.open(shutil.copytree(folder, tmp_path / 'copy'), 'crc')
  path = next((tmp_path / 'copy').glob('*.tfrecord'))
  with open(path, 'r+b') as file:
    file.seek(-100, os.SEEK_END)
    file.write(b'wrong')
  with pytest.raises(errors.DataError, match=f'{path.name}: its CRC-32C is'):
    source[:]  # pylint: disable=pointless-statement


def test_a_folder_without_records_is_named(tmp_path):
  with pytest.raises(errors.DataError, match='No finished dataset'):
    hpa_records.open(tmp_path)
