"""shards: pixels of rows, and errors of reading."""

import os
import pathlib
import shutil
import threading

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.reading.payload import shards as shards_lib
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes

_SIZE = 64
_COUNT = 40
_ROWS = np.array([7, epoch_plan.BLANK, 0, _COUNT - 1, 7])
_CHECKS = ('none', 'crc')


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return fakes.write_records(tmp_path_factory.mktemp('shards'), _COUNT, _SIZE)


@pytest.fixture(name='records')
def _records(folder, tmp_path):
  """A copy, to damage."""
  return dataset.load(shutil.copytree(folder, tmp_path / 'copy'))


def _read(shards, rows):
  out = np.full((len(rows), _SIZE, _SIZE, 4), 9, np.uint8)
  shards.read(rows, out)
  return out


def _images(records, rows):
  return [
      np.zeros((_SIZE, _SIZE, 4), np.uint8) if row == epoch_plan.BLANK else
      fakes.image(int(records.index['id'][row][1:]), _SIZE) for row in rows
  ]


def _path(records, row):
  return pathlib.Path(records.directory) / records.index['shard'][row]


@pytest.mark.parametrize('check', _CHECKS)
@pytest.mark.parametrize('prefetches', [False, True])
def test_rows_are_read_in_the_requested_order(records, check, prefetches):
  shards = shards_lib.Shards(records, check)
  if prefetches:
    shards.prefetch(_ROWS)
  np.testing.assert_array_equal(_read(shards, _ROWS), _images(records, _ROWS))


@pytest.mark.parametrize('check', _CHECKS)
def test_a_partial_read_is_continued(records, check, monkeypatch):
  whole = os.preadv  # a real one gives 2 GiB at most
  monkeypatch.setattr(
      os, 'preadv',
      lambda file, buffers, offset: whole(file, [buffers[0][:1000]], offset))
  shards = shards_lib.Shards(records, check)
  np.testing.assert_array_equal(_read(shards, _ROWS), _images(records, _ROWS))


@pytest.mark.parametrize('check', _CHECKS)
@pytest.mark.parametrize('seed', range(10))
def test_a_shard_truncated_while_threads_read_is_named(records, check, seed):
  shards = shards_lib.Shards(records, check)
  path = _path(records, 0)
  rows = np.flatnonzero(records.index['shard'] == path.name)
  reads, said = threading.Semaphore(0), []

  def read():
    try:
      while True:
        _read(shards, rows)
        reads.release()
    except errors.DataError as error:
      said.append(str(error))

  threads = [threading.Thread(target=read) for _ in range(3)]
  for each in threads:
    each.start()
  reads.acquire()  # pylint: disable=consider-using-with
  size = path.stat().st_size
  os.truncate(path, int(np.random.default_rng(seed).integers(size)))
  for each in threads:
    each.join(240)
  assert len(said) == 3
  for each in said:
    assert ' bytes in the file, received ' in each and 'record of s' in each


def test_a_file_that_ends_before_its_size_is_named(records, monkeypatch):
  # As on a network disk whose sizes are older than its content.
  monkeypatch.setattr(os, 'preadv', lambda file, buffers, offset: 0)
  row = records.index.iloc[7]
  with pytest.raises(errors.DataError) as caught:
    _read(shards_lib.Shards(records), _ROWS)
  assert (f'record of {row["id"]} at byte {row["record_offset"]} of '
          f'{_path(records, 7)}: the file ended at byte {row["image_offset"]} '
          'while it was read') in str(caught.value)


def test_a_disk_error_is_named_with_its_record(records, monkeypatch):

  def fail(*_):
    raise OSError(5, os.strerror(5))

  monkeypatch.setattr(os, 'preadv', fail)
  with pytest.raises(errors.DataError, match=f'record of .* {os.strerror(5)}'):
    _read(shards_lib.Shards(records), _ROWS)


def test_a_shard_that_is_missing_is_named_by_prefetch(records):
  _path(records, 7).unlink()
  with pytest.raises(errors.DataError, match='No such file'):
    shards_lib.Shards(records).prefetch(_ROWS)


def test_files_are_closed_with_their_reader(records):
  shards = shards_lib.Shards(records)
  before = set(os.listdir('/proc/self/fd'))
  _read(shards, np.arange(_COUNT))
  opened = set(os.listdir('/proc/self/fd')) - before
  assert len(opened) == records.index['shard'].nunique()
  del shards
  assert not opened & set(os.listdir('/proc/self/fd'))
