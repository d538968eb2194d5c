"""Fixtures of the tests of inspection."""

import pytest

from hpa_records.format import manifest
from tests.support import forgery


@pytest.fixture(name='dataset', scope='session')
def _dataset(tmp_path_factory):
  """(manifest, index) of a sound dataset."""
  folder = str(forgery.write_dataset(tmp_path_factory.mktemp('index')))
  made = manifest.load(folder)
  return made, manifest.load_index(folder, made)


@pytest.fixture(name='sound', scope='module')
def _sound(tmp_path_factory):
  return forgery.write_dataset(tmp_path_factory.mktemp('verify'))


@pytest.fixture(name='copy')
def _copy(sound, tmp_path):
  for path in sound.iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path
