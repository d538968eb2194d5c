"""manifest: what it says, and that a changed byte is found."""

import json
import pathlib

import numpy as np
import pytest

from hpa_records import convert
from hpa_records import manifest
from hpa_records import schema
from hpa_records import shard_plan
from tests import fakes


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


def test_nothing_of_this_machine_stands_in_it(directory):
  text = (directory / 'manifest.json').read_text()
  assert str(directory) not in text and str(pathlib.Path.home()) not in text
  assert 'workers' not in text


def test_pixel_statistics_are_those_of_the_pixels():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (50, 4))
  found = manifest.pixel_statistics(50, pixels.sum(axis=0),
                                    (pixels**2).sum(axis=0))
  np.testing.assert_allclose(found['mean'], pixels.mean(axis=0), rtol=1e-12)
  np.testing.assert_allclose(found['std'], pixels.std(axis=0), rtol=1e-12)
  assert found['sum'] == pixels.sum(axis=0).tolist()
  assert found['count'] == 50


def test_a_folder_without_manifest_is_no_dataset(tmp_path):
  with pytest.raises(schema.DataError, match='without manifest.json'):
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
  with pytest.raises(schema.DataError, match='manifest.json; convert'):
    manifest.load(str(copy))


def test_another_format_version_is_refused(copy):
  path = copy / 'manifest.json'
  path.write_text(path.read_text().replace('"format_version": 1',
                                           '"format_version": 2'))
  with pytest.raises(schema.DataError, match='record format 1, received 2'):
    manifest.load(str(copy))


def test_a_changed_or_missing_index_is_refused(copy):
  found = manifest.load(str(copy))
  path = copy / 'index.parquet'
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  with pytest.raises(schema.DataError, match='index whose sha256'):
    manifest.load_index(str(copy), found)
  path.unlink()
  with pytest.raises(schema.DataError, match='Expected index.parquet'):
    manifest.load_index(str(copy), found)


def test_a_cut_or_missing_shard_is_named(copy):
  found = manifest.load(str(copy))
  manifest.check_shards(str(copy), found)
  path = copy / found.shards[2].name
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(schema.DataError, match=f'at {path}'):
    manifest.check_shards(str(copy), found)
  path.unlink()
  with pytest.raises(schema.DataError, match=f'received none at {path}'):
    manifest.check_shards(str(copy), found)
