"""checked_table: jobs that make one shard each share the first one's checks."""

import pathlib

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.runtime import errors
from tests.support import fakes

_SETTINGS = shard_plan.Settings(image_size=16)


@pytest.fixture(name='source')
def _source(tmp_path):
  """A CSV, images and an output where the first job has run."""
  source = *fakes.write_source(tmp_path), str(tmp_path / 'records')
  _convert(source, 0)
  return source


def _convert(source, shard, settings=_SETTINGS):
  convert.convert(*source, settings, convert.How(workers=1, only_shard=shard))


def _checked(source):
  return pathlib.Path(source[2]) / '.unfinished' / 'checked.json'


def _break_heads(source):
  """Damages the head of every image; returns how they were."""
  kept = {}
  for path in pathlib.Path(source[1]).iterdir():
    kept[path] = path.read_bytes()
    path.write_bytes(b'damaged')
  return kept


def test_the_second_job_reads_only_headers_of_its_shard(source):
  kept = _break_heads(source)
  with pytest.raises(errors.DataError, match=r'\. 4 issues'):
    _convert(source, 1)  # its own four samples, not all 20
  for path, data in kept.items():
    path.write_bytes(data)
  for shard in range(5):
    _convert(source, shard)
  made = convert.convert(*source, _SETTINGS, convert.How(workers=1))
  assert made.num_records == 20
  assert not _checked(source).exists()


def test_jobs_give_the_bytes_of_one_conversion(source, tmp_path):
  for shard in range(1, 5):
    _convert(source, shard)
  made = convert.convert(*source, _SETTINGS, convert.How(workers=1))
  whole = convert.convert(source[0], source[1], str(tmp_path / 'whole'),
                          _SETTINGS, convert.How(workers=1))
  assert made == whole == manifest.load(source[2])


@pytest.mark.parametrize('data', [b'', b'{}', b'0\n{}'])
def test_a_damaged_file_is_replaced(source, data):
  sound = _checked(source).read_bytes()
  _checked(source).write_bytes(data)
  _convert(source, 1)
  assert _checked(source).read_bytes() == sound


def test_another_list_of_images_is_checked_again(source):
  (pathlib.Path(source[1]) / 's3_green.png').unlink()
  with pytest.raises(errors.DataError, match='s3_green.png'):
    _convert(source, 1)


def test_another_conversion_in_the_folder_is_refused(source):
  before = _checked(source).read_bytes()
  with pytest.raises(errors.DataError, match='num_folds 5, requested 3'):
    _convert(source, 0, shard_plan.Settings(image_size=16, num_folds=3))
  assert _checked(source).read_bytes() == before


def test_a_shard_number_out_of_range_is_refused(source):
  with pytest.raises(errors.DataError, match='0..4, received 5'):
    _convert(source, 5)
