"""input_digest: a dataset is finished only for the images it was made from."""

import dataclasses
import os
import pathlib
import resource
import shutil

from PIL import Image
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.runtime import errors
from tests.support import fakes

_SETTINGS = shard_plan.Settings(image_size=16, pattern='{id}_{channel}.tif')


@pytest.fixture(name='source')
def _source(tmp_path):
  """Uncompressed images, all of one size, and their finished dataset."""
  csv, images = fakes.write_source(tmp_path, 8, 16)
  for path in pathlib.Path(images).iterdir():
    with Image.open(path) as image:
      image.save(path.with_suffix('.tif'))
    path.unlink()
  source = csv, images, str(tmp_path / 'records')
  _convert(source)
  return source


def _convert(source, **how):
  return convert.convert(*source, _SETTINGS, convert.How(**{
      'workers': 1,
      **how
  }))


def _swap(source, keep_time):
  """Has two images of one size, s1 and s2, change places."""
  one, two = (pathlib.Path(source[1]) / f's{i}_red.tif' for i in (1, 2))
  data, stat = one.read_bytes(), one.stat()
  one.write_bytes(two.read_bytes())
  two.write_bytes(data)
  if keep_time:
    for path in one, two:
      os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize('keep_time', [False, True])
def test_other_content_of_the_same_size_is_refused(source, keep_time):
  before = fakes.read_samples(pathlib.Path(source[2]))['s1'].image
  _swap(source, keep_time)
  for how in ({}, {'only_shard': 0}, {'on_error': 'skip'}):
    with pytest.raises(errors.DataError, match='same names and sizes.*other'):
      _convert(source, **how)
  with pytest.raises(errors.DataError, match='pass --overwrite|Pass --overw'):
    convert.describe(*source, _SETTINGS)
  assert fakes.read_samples(pathlib.Path(source[2]))['s1'].image == before
  _convert(source, overwrite=True)
  assert fakes.read_samples(pathlib.Path(source[2]))['s1'].image != before
  assert _convert(source).num_records == 8


def test_a_dataset_that_looks_newer_than_its_images_is_compared_too(source):
  # As a copy of it is; and images of a folder that was renamed look older.
  _swap(source, False)
  for path in pathlib.Path(source[2]).iterdir():
    later_ns = path.stat().st_mtime_ns + 10**12
    os.utime(path, ns=(later_ns, later_ns))
  with pytest.raises(errors.DataError, match='same names and sizes.*other'):
    _convert(source)


def test_the_message_says_how_old_differs_from_new(source):
  path = pathlib.Path(source[1]) / 's1_red.tif'
  path.write_bytes(path.read_bytes() + bytes(5000))
  with pytest.raises(errors.DataError) as told:
    _convert(source)
  assert str(told.value).count('32 files of') == 2
  assert '\n' not in str(told.value)


def test_digests_depend_only_on_names_and_bytes(source, tmp_path):
  made = manifest.load(source[2])
  assert made.inputs['num_files'] == 32
  moved = tmp_path / 'moved'
  os.rename(source[1], moved)
  again = convert.convert(source[0], str(moved), str(tmp_path / 'again'),
                          _SETTINGS, convert.How(workers=2))
  assert again.inputs == made.inputs and again == made


def test_a_skipped_sample_that_is_fixed_is_detected(source):
  path = pathlib.Path(source[1]) / 's3_green.tif'
  sound = path.read_bytes()
  path.write_bytes(b'damaged')
  _convert(source, overwrite=True, on_error='skip')
  assert _convert(source, on_error='skip').num_skipped == 1
  path.write_bytes(sound)
  with pytest.raises(errors.DataError, match='made from other image files'):
    _convert(source, on_error='skip')


def test_a_sparse_file_that_is_skipped_is_not_held_in_memory(source):
  os.truncate(os.path.join(source[1], 's3_red.tif'), 3 * 2**30)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  made = _convert(source, overwrite=True, on_error='skip')
  taken_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert made.num_records == 7 and taken_kib < 2**20


def test_a_dataset_of_an_earlier_version_is_kept(source):
  made = manifest.load(source[2])
  old = dataclasses.replace(made, inputs=None)
  manifest.write(source[2], old)
  text = (pathlib.Path(source[2]) / 'manifest.json').read_text()
  assert 'inputs' not in text and old.fingerprint in text
  assert manifest.load(source[2]) == old
  assert _convert(source) == old


def test_damaged_inputs_are_an_error(source):
  made = manifest.load(source[2])
  inputs = {**made.inputs, 'num_files': 'x'}
  manifest.write(source[2], dataclasses.replace(made, inputs=inputs))
  with pytest.raises(errors.DataError, match='num_files'):
    _convert(source)


def test_another_on_doubt_is_another_dataset(tmp_path):
  csv, images = fakes.write_source(tmp_path, 8, 16)
  shutil.copy(f'{images}/s1_red.png', f'{images}/s1_blue.png')
  hows = [{
      'on_error': 'skip',
      'on_doubt': each
  } for each in ('count', 'refuse')]
  for made, asked in (hows, hows[::-1]):
    output = str(tmp_path / made['on_doubt'])
    settings = shard_plan.Settings(image_size=16)
    for _ in range(2):
      convert.convert(csv, images, output, settings, convert.How(**made))
    with pytest.raises(errors.DataError, match='pass the same --on_doubt'):
      convert.convert(csv, images, output, settings, convert.How(**asked))
