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
