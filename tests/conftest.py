"""Fixtures of all tests."""

import pathlib

import pytest

from tests import object_store


def find_shared_data() -> pathlib.Path:
  """Returns the folder of real data beside the checkout; skips without it."""
  path = pathlib.Path(__file__).parent.parent.parent / 'shared'
  if not (path / 'hpa').is_dir():
    pytest.skip('the real data is not beside this checkout')
  return path


@pytest.fixture(name='shared_data')
def _shared_data() -> pathlib.Path:
  return find_shared_data()


@pytest.fixture(name='store', scope='session')
def _store():
  with object_store.serve() as store:
    yield store
