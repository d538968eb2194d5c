"""record_check: records that contradict the index or manifest are named."""

import numpy as np
import pytest

from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.inspection import verify
from tests.support import forgery

_OTHER_LABELS = np.eye(28, dtype=np.int64)[27]


@pytest.mark.parametrize('field,value', [
    ('fold', 3),
    ('labels', _OTHER_LABELS),
    ('repeats', np.array([0, 1, 1, 1, 2], np.float32)),
    ('repeats', np.array([0, 1, 1, 1, np.nan], np.float32)),
    ('id', None),
])
def test_deep_finds_a_record_that_contradicts_the_index(copy, field, value):
  name = forgery.list_shards(copy)[0].name
  if field == 'id':
    index = manifest.load_index(str(copy), manifest.load(str(copy)))
    value = f'S{index["id"][0][1:]}'
  forgery.forge_record(copy, **{field: value})
  verify.verify(str(copy), workers=1)  # hashes and tables are right
  issues = forgery.list_issues(copy, deep=True)
  assert len(issues) == 1
  assert issues[0].startswith(f'{name}: record 0 at byte 0 (s')
  assert f'expected {field} ' in issues[0]


def test_deep_finds_pixels_that_are_not_the_manifests(copy):
  forgery.forge_record(copy, image=b'x' * 16 * 16 * 4)
  verify.verify(str(copy), workers=1)
  issue, = forgery.list_issues(copy, deep=True)
  assert issue.startswith('manifest.json: expected pixels with sum')


def test_deep_finds_pixel_sums_of_another_fold(copy):

  def move(said):
    for fold, change in ((1, 1), (2, -1)):
      totals = said['pixels']['folds'][fold]['sum']
      totals[0] += change

  forgery.forge_content(copy, move)
  verify.verify(str(copy), workers=1)  # they add up
  issue, = forgery.list_issues(copy, deep=True)
  assert issue.startswith('manifest.json: expected pixels of fold 1 with sum')


def test_deep_accepts_records_of_an_earlier_version(copy):
  forgery.forge_content(copy, lambda said: said['pixels'].pop('folds'))
  verify.verify(str(copy), deep=True, workers=1)


def test_deep_finds_an_invalid_png(tmp_path):
  folder = forgery.write_dataset(tmp_path, 'png')
  verify.verify(str(folder), deep=True, workers=1)
  made = manifest.load(str(folder))
  size = int(manifest.load_index(str(folder), made)['image_bytes'][0])
  forgery.forge_record(folder, image=b'x' * size)
  verify.verify(str(folder), workers=1)
  issue, = forgery.list_issues(folder, deep=True)
  assert 'record 0 at byte 0' in issue and 'not a png image' in issue


def test_deep_finds_an_image_elsewhere_in_its_record(copy):

  def move(index):
    return index.assign(image_offset=index['image_offset'] - 1)

  forgery.forge_index(copy, move)
  verify.verify(str(copy), workers=1)
  issues = forgery.list_issues(copy, deep=True)
  assert len(issues) == 20
  assert all('expected an image of 1024 bytes' in line for line in issues)


def test_deep_finds_a_wrong_checksum(copy):
  data = bytearray(forgery.list_shards(copy)[0].read_bytes())
  data[-1] ^= 1
  forgery.forge_shard(copy, bytes(data))
  verify.verify(str(copy), workers=1)
  issue, = forgery.list_issues(copy, deep=True)
  assert 'damaged record at byte' in issue


def test_deep_finds_exchanged_records(copy):
  path = forgery.list_shards(copy)[0]
  records = [data for _, data in tfrecord.read(str(path))]
  sizes = [len(data) for data in records]
  a, b = next((a, b)
              for a in range(len(sizes))
              for b in range(a)
              if sizes[a] == sizes[b])
  records[a], records[b] = records[b], records[a]
  tfrecord.write(str(path), [[data] for data in records])
  forgery.forge_shard(copy, path.read_bytes())
  issues = forgery.list_issues(copy, deep=True)
  assert len(issues) == 2 and all(': expected id s' in f for f in issues)


def test_deep_finds_frames_cut_elsewhere(copy):
  path = forgery.list_shards(copy)[0]
  size = path.stat().st_size
  tfrecord.write(str(path), [[bytes(size - tfrecord.FRAME_BYTES)]])
  forgery.forge_shard(copy, path.read_bytes())
  verify.verify(str(copy), workers=1)
  issues = forgery.list_issues(copy, deep=True)
  assert len(issues) == 1 and issues[0].startswith(f'{path.name}: damaged ')


def test_deep_names_the_damaged_place_of_a_shard(copy):
  path = forgery.list_shards(copy)[1]
  data = bytearray(path.read_bytes())
  data[40] ^= 1
  path.write_bytes(data)
  forgery.list_shards(copy)[2].unlink()
  issues = forgery.list_issues(copy, deep=True)
  assert len(issues) == 3
  assert 'at byte 0 of' in issues[2] and path.name in issues[2]


def test_deep_in_two_processes_finds_the_same(copy):
  forgery.forge_record(copy, labels=_OTHER_LABELS)
  assert forgery.list_issues(copy, True,
                             workers=2) == forgery.list_issues(copy,
                                                               True,
                                                               workers=1)
