"""manifest: its content, and detection of changed bytes."""

import json
import os
import pathlib

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from tests.support import fakes
from tests.support import forgery


@pytest.fixture(name='directory', scope='module')
def _directory(tmp_path_factory):
  folder = tmp_path_factory.mktemp('manifest')
  csv, images = fakes.write_source(folder)
  convert.convert(csv, images, str(folder / 'records'),
                  shard_plan.Settings(image_size=16), convert.How(workers=1))
  return folder / 'records'


@pytest.fixture(name='copy')
def _copy(directory, tmp_path):
  for path in directory.iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path


def test_load_gives_what_was_written(directory):
  found = manifest.load(str(directory))
  said = json.loads((directory / 'manifest.json').read_text())
  assert said.pop('sha256') == found.fingerprint
  assert said['num_records'] == found.num_records == 20
  assert [s['name'] for s in said['shards']] == [s.name for s in found.shards]
  assert (found.image_size, found.num_folds) == (16, 5)


def test_it_is_independent_of_the_machine(directory):
  text = (directory / 'manifest.json').read_text()
  assert str(directory) not in text and str(pathlib.Path.home()) not in text
  assert 'workers' not in text


def test_a_folder_without_manifest_is_no_dataset(tmp_path):
  with pytest.raises(errors.DataError, match='manifest.json is missing'):
    manifest.load(str(tmp_path))


@pytest.mark.parametrize(
    'old,new',
    [
        (b'"num_records": 20', b'"num_records": 21'),
        (b'"Nucleoli"', b'"Nucleolus"'),
        (b'{', b''),
        (b'"num_records": 20', b'"num_records":\t20'),  # the same content
        (b'"num_folds": 5', b'"num_folds": 0, "num_folds": 5'),
        (b'\n', b'\r'),
    ])
def test_a_changed_manifest_is_refused(copy, old, new):
  path = copy / 'manifest.json'
  data = path.read_bytes()
  assert old in data
  path.write_bytes(data.replace(old, new, 1))
  with pytest.raises(errors.DataError, match='manifest.json .*; convert'):
    manifest.load(str(copy))


def test_another_format_version_is_refused(copy):
  path = copy / 'manifest.json'
  path.write_text(path.read_text().replace('"format_version": 1',
                                           '"format_version": 2'))
  with pytest.raises(errors.DataError, match='record format 1, received 2'):
    manifest.load(str(copy))


def test_a_changed_or_missing_index_is_refused(copy):
  found = manifest.load(str(copy))
  path = copy / 'index.parquet'
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  with pytest.raises(errors.DataError, match='index .* was changed'):
    manifest.load_index(str(copy), found)
  path.unlink()
  with pytest.raises(errors.DataError, match='index.parquet is missing'):
    manifest.load_index(str(copy), found)


def test_a_cut_or_missing_shard_is_named(copy):
  found = manifest.load(str(copy))
  tfrecord.check_sizes(str(copy), found.shard_bytes)
  path = copy / found.shards[2].name
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(errors.DataError, match=f'at {path}'):
    tfrecord.check_sizes(str(copy), found.shard_bytes)
  path.unlink()
  with pytest.raises(errors.DataError, match=f'received no file at {path}'):
    tfrecord.check_sizes(str(copy), found.shard_bytes)
  path.mkdir()
  with pytest.raises(errors.DataError,
                     match=f'no regular file at {path}; remove'):
    tfrecord.check_sizes(str(copy), found.shard_bytes)


def _set(*keys_and_value):
  *keys, last, value = keys_and_value

  def edit(content):
    for key in keys:
      content = content[key]
    content[last] = value

  return edit


_FIRST = ('shards', 0)


@pytest.mark.parametrize('edit,message', [
    (_set(*_FIRST, 'name',
          '../fold0-00000-of-00001.tfrecord'), 'invalid shard name'),
    (_set(*_FIRST, 'name', '/etc/passwd'), 'invalid shard name'),
    (_set(*_FIRST, 'name',
          'Fold0-00000-of-00001.tfrecord'), 'invalid shard name'),
    (_set(*_FIRST, 'name', 'fold0-00000-of-00001.tfrecord\n'), r'name .*rd\\n'),
    (_set(*_FIRST, 'name',
          'fold1-00000-of-00001.tfrecord'), 'duplicate shard name'),
    (_set(*_FIRST, 'name', 3), 'name: received 3'),
    (_set(*_FIRST, 'bytes', -1), 'bytes of shards -1'),
    (_set(*_FIRST, 'bytes', 2**63), 'bytes of shards 9223'),
    (_set(*_FIRST, 'records', 1.0), 'records: received 1.0'),
    (_set(*_FIRST, 'sha256', 'A' * 64), 'invalid sha256'),
    (_set(*_FIRST, 'extra', 1), "unknown key 'extra'"),
    (lambda content: content['shards'][0].pop('bytes'), 'bytes: received None'),
    (_set('shards', None), 'shards: received None'),
    (_set('files', '../../x', '0' * 64), r"unknown file '../../x'"),
    (_set('files', 'manifest.json', '0' * 64), 'unknown file'),
    (_set('files', {}), 'the sha256 of index.parquet is missing'),
    (_set('files', 'features.json', 5), 'invalid sha256 5'),
    (_set('settings', 'num_folds', '5'), "num_folds.*'5'"),
    (_set('settings', 'num_folds', True), 'num_folds.*True'),
    (_set('settings', 'num_folds', 2 * 10**9), 'num_folds 2000000000'),
    (_set('settings', 'image_size', 10**6), 'image_size 1000000'),
    (_set('settings', 'encoding', 'gif'), "encoding 'gif'"),
    (_set('settings', 'seed', 2**63), 'seed 9223'),
    (_set('settings', 'balance_target', 'x'), 'balance_target'),
    (_set('settings', {}), 'setting image_size is missing'),
    (_set('settings', 'new', [1]), "setting 'new'"),
    (_set('settings', 'pattern', 'x' * 5000), 'more than 4096 characters'),
    (_set('class_counts', [[[]]]), 'received'),
    (_set('class_counts', [[-1]]), 'class_counts -1'),
    (_set('pixels', None), 'pixels: received None'),
    (_set('pixels', 'mean', [-1]), 'mean -1'),
    (_set('pixels', 'count', 2**60), 'pixels'),
    (_set('pixels', 'folds', None), 'folds of pixels: received None'),
    (_set('pixels', 'folds', [{}]), 'count: received None'),
    (_set('pixels', 'folds', 0, 'sum', [1.5]), 'sum: received 1.5'),
    (_set('pixels', 'folds', 0, 'sum', [-1]), 'sum of a fold -1'),
    (_set('pixels', 'folds', 0, 'mean', [1]), "unknown key 'mean'"),
    (_set('num_records', 0), 'num_records 0'),
    (_set('versions', 'numpy', 2), 'version of'),
    (_set('classes', 5), 'classes: received 5'),
    (_set('unheard', 1), "unknown key 'unheard', perhaps of a newer"),
    (lambda content: content.pop('channels'), 'channels is missing'),
    (_set('inputs', 'num_bytes', 10**400), 'num_bytes of inputs 1000'),
    (_set('inputs', 'num_files', 2**63), 'num_files of inputs 9223'),
    (_set('inputs', 'num_files', True), 'num_files of inputs: received True'),
    (_set('inputs', 'num_files', [1]), 'num_files of inputs: received .1.'),
    (_set('inputs', 'num_doubtful', 'x'), "num_doubtful of inputs.*'x'"),
    (_set('inputs', 'content_sha256', 'x'), "invalid sha256 'x'"),
    (_set('inputs', 'unheard', 1), "unknown key 'unheard'"),
    (_set('inputs', {}), 'num_files is missing'),
    (_set('inputs', None), 'inputs: received None'),
    (_set('inputs', 5), 'inputs: received 5'),
])
def test_invalid_values_are_refused(copy, edit, message):
  forgery.forge_content(copy, edit)
  with pytest.raises(errors.DataError, match=message) as told:
    manifest.load(str(copy))
  assert '\n' not in str(told.value)


def test_too_many_values_are_not_parsed(copy, monkeypatch):
  (copy / 'manifest.json').write_bytes(b'[' + b'[],' * 10**6 + b'[]]')
  monkeypatch.setattr(json_text, 'parse', None)
  with pytest.raises(errors.DataError, match='is damaged; convert'):
    manifest.load(str(copy))


def test_a_web_page_in_place_of_the_manifest_is_named(copy):
  (copy / 'manifest.json').write_bytes(b'\n<!DOCTYPE html><html>Sign in</html>')
  with pytest.raises(errors.DataError, match='is a web page, not a manifest'):
    manifest.load(str(copy))


@pytest.mark.parametrize('data', [b'[' * 10**5, b'[]', b'null', b'\xff', b''])
def test_other_json_is_refused(copy, data):
  (copy / 'manifest.json').write_bytes(data)
  with pytest.raises(errors.DataError, match='is damaged; convert'):
    manifest.load(str(copy))


@pytest.mark.parametrize('name', ['manifest.json', 'index.parquet'])
def test_a_too_large_file_is_not_read(copy, name):
  found = manifest.load(str(copy))
  with open(copy / name, 'ab') as file:
    file.truncate(2**40)
  with pytest.raises(errors.DataError,
                     match='too large: 1,099,511,627,776 bytes'):
    manifest.load(str(copy))
    manifest.load_index(str(copy), found)


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
def test_a_folder_in_place_of_the_manifest_is_refused(copy, make):
  (copy / 'manifest.json').unlink()
  make(copy / 'manifest.json')
  with pytest.raises(errors.DataError, match='json is not a regular file'):
    manifest.load(str(copy))


def test_settings_of_a_later_version_are_accepted(copy):
  forgery.forge_content(copy, _set('settings', 'later', 'x'))
  assert manifest.load(str(copy)).settings['later'] == 'x'
