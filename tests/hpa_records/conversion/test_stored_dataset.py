"""Datasets of Kaggle's images made before descriptions existed.

data/hpa2018.zip has four of them, and the source `in` that the same version
wrote with fakes.write_source(folder, 10, 12) and converted with the settings
below. It is never written again.
"""

import json
import pathlib
import zipfile

import pandas as pd
import pytest

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.format import manifest
from hpa_records.inspection import verify
from hpa_records.reading import dataset
from hpa_records.storage import filesystem

_DATA = pathlib.Path(__file__).parents[2] / 'data' / 'hpa2018.zip'
_SETTINGS = {
    'raw': {
        'image_size': 8,
        'num_folds': 2,
        'balance': 'hybrid',
        'balance_target': 3
    },
    'png': {
        'image_size': 12,
        'num_folds': 3,
        'encoding': 'png',
        'seed': 5,
        'balance': 'exact',
        'balance_target': 4,
        'shard_mb': 1
    },
    'area': {
        'image_size': 5,
        'num_folds': 2,
        'resize': 'area',
        'limit': 8,
        'balance': 'table'
    },
    'test': {
        'image_size': 8,
        'unlabelled': True,
        'pattern': '{id}_{channel}.png'
    }
}


@pytest.fixture(name='stored')
def _stored(tmp_path):
  with zipfile.ZipFile(_DATA) as archive:
    archive.extractall(tmp_path / 'stored')
  return tmp_path / 'stored'


def _convert(stored, name, output):
  csv = '' if name == 'test' else str(stored / 'in' / 'train.csv')
  return convert.make(
      conversion_input.Source(csv, str(stored / 'in' / 'train')), str(output),
      shard_plan.Settings(**_SETTINGS[name]), convert.How(workers=1))


def _read_manifest(folder):
  content = json.loads((folder / manifest.MANIFEST_NAME).read_bytes())
  for key in ('versions', 'sha256'):
    del content[key]
  return content


@pytest.mark.parametrize('name', _SETTINGS)
def test_the_same_source_gives_the_same_bytes(stored, tmp_path, name):
  made, old = tmp_path / 'made', stored / name
  _convert(stored, name, made)
  assert {each.name for each in made.iterdir()
         } == {each.name for each in old.iterdir()}
  for each in sorted(old.iterdir()):
    if each.name not in (manifest.MANIFEST_NAME, manifest.INDEX_NAME):
      assert (made / each.name).read_bytes() == each.read_bytes(), each.name
  found, wanted = _read_manifest(made), _read_manifest(old)
  # All that the manifest has gained.
  folds = found['pixels'].pop('folds', None)
  assert (folds is None) == (name == 'test')
  now, then = manifest.load(str(made)), manifest.load(str(old))
  if now.versions['pyarrow'] == then.versions['pyarrow']:
    assert (made / manifest.INDEX_NAME).read_bytes() == (
        old / manifest.INDEX_NAME).read_bytes()
  else:  # which writes its version into the index
    pd.testing.assert_frame_equal(manifest.load_index(str(made), now),
                                  manifest.load_index(str(old), then))
    for content in (found, wanted):
      del content['files'][manifest.INDEX_NAME]
  assert found == wanted


@pytest.mark.parametrize('name', _SETTINGS)
def test_a_stored_dataset_opens_unchanged(stored, name):
  folder = stored / name
  before = {each.name: each.read_bytes() for each in folder.iterdir()}
  verify.verify(str(folder), deep=True, workers=1)  # raises
  records = dataset.load(str(folder), allow_unlabelled=True)
  size_px = _SETTINGS[name]['image_size']
  encoding = _SETTINGS[name].get('encoding', 'raw')
  assert records.spec == description.default().spec(size_px, encoding)
  assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


@pytest.mark.parametrize('name', _SETTINGS)
def test_a_stored_dataset_is_complete(stored, name):
  """The converter compares settings, files and the digests of all images."""
  folder = stored / name
  digest = filesystem.sha256(str(folder / manifest.MANIFEST_NAME))
  found = _convert(stored, name, folder)
  assert not found.is_new and found.manifest == manifest.load(str(folder))
  assert filesystem.sha256(str(folder / manifest.MANIFEST_NAME)) == digest
