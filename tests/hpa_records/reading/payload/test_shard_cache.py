"""shard_cache: what is kept, what is believed, and what is removed."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from hpa_records.format import tfrecord
from hpa_records.reading import dataset
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import remote_shards
from hpa_records.reading.payload import shard_cache
from hpa_records.reading.payload import shards as shards_lib
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import web_server

_ROOT = pathlib.Path(__file__).parents[4]
_SIZE = 32
_COUNT = 40
_ROWS = np.arange(_COUNT)
_MOST = 10**9


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return pathlib.Path(
      fakes.write_records(tmp_path_factory.mktemp('cache'), _COUNT, _SIZE))


@pytest.fixture(name='server')
def _server(folder):
  with web_server.serve(folder) as server:
    yield server


class _Reading:
  """A process's way to the records, with a cache, and how it reads them."""

  def __init__(self, server, cache_dir, most_bytes=_MOST):
    self.server = server
    self.records = dataset.load(server.address)
    places = record_places.RecordPlaces(self.records)
    self.cache = shard_cache.ShardCache(self.records, places, str(cache_dir),
                                        most_bytes)
    self.shards = remote_shards.RemoteShards(places, self.cache)
    self.folder = cache_dir / self.records.manifest.fingerprint

  def read(self, rows=_ROWS):
    """Reads rows, checks their pixels, returns the number of requests."""
    before = len(self.server.requests)
    out = np.zeros((len(rows), *self.records.spec.image_shape), np.uint8)
    self.shards.read(rows, out)
    right = np.empty_like(out)
    shards_lib.Shards(dataset.load(str(self.server.folder))).read(rows, right)
    np.testing.assert_array_equal(out, right)
    return len(self.server.requests) - before


def test_the_second_reading_makes_no_request(server, tmp_path):
  reading = _Reading(server, tmp_path)
  assert reading.read() > 0 == reading.read()
  again = _Reading(server, tmp_path)
  assert again.read() == 0


def test_a_record_is_kept_before_its_shard_is_complete(server, tmp_path):
  reading = _Reading(server, tmp_path)
  some = _ROWS[::3]
  assert reading.read(some) > 0 == reading.read(some)
  assert reading.read() > 0 == reading.read()


def test_a_complete_folder_has_the_shards_of_the_dataset(server, tmp_path):
  reading = _Reading(server, tmp_path)
  reading.read()
  names = {each.name for each in reading.folder.iterdir()}
  assert names == {each.name for each in reading.records.manifest.shards}
  for name in names:
    assert (reading.folder / name).read_bytes() == (server.folder /
                                                    name).read_bytes()


def _flip(path, place):
  data = bytearray(path.read_bytes())
  data[place] ^= 1
  path.write_bytes(data)


def _forge(path, reading):
  """Puts other pixels into the first record, with right checksums."""
  row = reading.records.index.iloc[0]
  data = bytearray(path.read_bytes())
  start, size = row['record_offset'], row['record_bytes']
  data[row['image_offset'] + 20] ^= 1
  body = bytes(data[start + tfrecord.FRAME_HEAD_BYTES:start + size - 4])
  data[start + size - 4:start + size] = tfrecord.checksum([body])
  path.write_bytes(data)


@pytest.mark.parametrize('change', [
    lambda path, _: _flip(path, 1000), _forge,
    lambda path, _: os.truncate(path, 1000),
    lambda path, _: path.write_bytes(b''), lambda path, _: os.unlink(path)
])
def test_a_changed_file_is_not_believed_by_the_next_process(
    server, tmp_path, change):
  first = _Reading(server, tmp_path)
  first.read()
  change(first.folder / first.records.index['shard'][0], first)
  again = _Reading(server, tmp_path)
  assert again.read() > 0 == again.read()
  assert _Reading(server, tmp_path).read() == 0


def test_a_shard_that_was_replaced_before_is_an_error(folder, tmp_path):
  origin = pathlib.Path(shutil.copytree(folder, tmp_path / 'origin'))
  with web_server.serve(origin) as server:
    reading = _Reading(server, tmp_path / 'cache')
    name = reading.records.index['shard'][0]
    _forge(origin / name, reading)
    out = np.zeros((_COUNT, *reading.records.spec.image_shape), np.uint8)
    with pytest.raises(errors.DataError,
                       match=f'{name}.*another sha256 than in the manifest'):
      reading.shards.read(_ROWS, out)
    assert not (reading.folder / name).exists()


@pytest.mark.parametrize('change', [lambda path, _: _flip(path, 300), _forge])
def test_a_changed_part_is_not_believed(server, tmp_path, change):
  reading = _Reading(server, tmp_path)
  name = reading.records.index['shard'][0]
  rows = np.flatnonzero(reading.records.index['shard'] == name)[:-1]
  reading.read(rows)
  change(reading.folder / f'{name}.part', reading)
  assert reading.read(rows) > 0 == reading.read(rows)
  change(reading.folder / f'{name}.part', reading)
  assert _Reading(server, tmp_path).read(rows) > 0


def test_a_complete_file_that_is_damaged_is_requested(server, tmp_path):
  reading = _Reading(server, tmp_path)
  reading.read()
  path = reading.folder / reading.records.index['shard'][0]
  with open(path, 'r+b') as file:
    file.seek(reading.records.index['image_offset'][0])
    file.write(b'\xff\0\xff')
  assert reading.read() == 1


@pytest.mark.parametrize('suffix', ['', '.part'])
@pytest.mark.parametrize('kind', ['link', 'pipe', 'folder'])
def test_other_kinds_of_files_are_refused(server, tmp_path, suffix, kind):
  mine = tmp_path / 'mine'
  mine.write_text('mine')
  reading = _Reading(server, tmp_path / 'cache')
  path = reading.folder / (reading.records.index['shard'][0] + suffix)
  make = {'link': lambda: path.symlink_to(mine), 'folder': path.mkdir}
  make.get(kind, lambda: os.mkfifo(path))()
  with pytest.raises(errors.DataError, match='Or choose another --cache_dir'):
    reading.read()
  assert mine.read_text() == 'mine'


def test_a_link_in_place_of_the_folder_is_refused(server, tmp_path):
  made = dataset.load(server.address).manifest.fingerprint
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'cache').mkdir()
  (tmp_path / 'cache' / made).symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(errors.DataError, match='--cache_dir'):
    _Reading(server, tmp_path / 'cache')


_KILLED = '''
import os, signal, sys
import numpy as np
from hpa_records.reading import dataset
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import remote_shards
from hpa_records.reading.payload import shard_cache
records = dataset.load(sys.argv[1])
places = record_places.RecordPlaces(records)
cache = shard_cache.ShardCache(records, places, sys.argv[2], 10**9)
keep, left = cache.keep, [25]
def keep_or_die(row, frame):
  left[0] -= 1
  if not left[0]:
    os.kill(os.getpid(), signal.SIGKILL)
  keep(row, frame)
cache.keep = keep_or_die
shape = (len(records.index), *records.spec.image_shape)
remote_shards.RemoteShards(places, cache).read(
    np.arange(len(records.index)), np.empty(shape, np.uint8))
'''


def test_after_a_kill_the_next_process_reads_the_same(server, tmp_path):
  killed = subprocess.run(
      [sys.executable, '-c', _KILLED, server.address,
       str(tmp_path)],
      cwd=_ROOT,
      check=False)
  assert killed.returncode == -signal.SIGKILL
  assert list(tmp_path.rglob('*.part'))
  reading = _Reading(server, tmp_path)
  assert reading.read() > 0 == reading.read()
  assert not list(tmp_path.rglob('*.part'))


def test_two_processes_use_one_folder(server, tmp_path):
  first, second = _Reading(server, tmp_path), _Reading(server, tmp_path)
  for rows in np.array_split(_ROWS, 4):
    first.read(rows)
    second.read(rows[::-1])
  assert first.read() == second.read() == 0
  assert _Reading(server, tmp_path).read() == 0


def _other(root, number, num_bytes):
  """Makes the cache of another dataset, older for a larger number."""
  folder = root / f'{number:064x}'
  folder.mkdir()
  (folder / 'fold0-00000-of-00001.tfrecord').write_bytes(bytes(num_bytes))
  os.utime(folder, (10**9 - number, 10**9 - number))
  return folder


def test_the_oldest_other_dataset_is_removed_first(server, tmp_path):
  needed = sum(dataset.load(server.address).manifest.shard_bytes.values())
  old, new = _other(tmp_path, 2, 10**6), _other(tmp_path, 1, 10**6)
  staged, staging = _other(tmp_path, 3, 10**4), _other(tmp_path, 4, 10**4)
  (staged / 'manifest.json').write_text('')
  pathlib.Path(f'{staging}.lock').touch()
  (tmp_path / 'mine').write_text('mine')
  reading = _Reading(server, tmp_path, int(1.1 * 10**6) + 2 * needed)
  assert reading.read() > 0 == reading.read()
  assert not old.exists() and new.exists()
  assert staged.exists() and staging.exists()
  assert (tmp_path / 'mine').exists()


def test_a_full_cache_keeps_what_it_has_and_says_so(server, tmp_path, capsys):
  needed = sum(dataset.load(server.address).manifest.shard_bytes.values())
  reading = _Reading(server, tmp_path, needed // 2)
  first, second = reading.read(), reading.read()
  assert 0 < second <= first == reading.read() + first - second
  said = capsys.readouterr().err
  assert said.count('keeps no more records') == 1 and '--cache_gb' in said
  used = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob('*.part'))
  assert used <= needed


def test_a_full_disk_keeps_what_came(server, tmp_path, monkeypatch, capsys):

  def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, 'pwrite', fail)
  assert _Reading(server, tmp_path).read() > 0
  assert os.strerror(errno.ENOSPC) in capsys.readouterr().err


def test_a_smaller_limit_removes_own_files(server, tmp_path):
  _Reading(server, tmp_path).read()
  reading = _Reading(server, tmp_path, 1)
  assert not list(reading.folder.glob('*.tfrecord'))
  assert reading.read() > 0


def test_a_staged_copy_is_a_full_cache(server, tmp_path):
  made = dataset.load(server.address).manifest.fingerprint
  shutil.copytree(server.folder, tmp_path / made)
  assert _Reading(server, tmp_path).read() == 0
