"""Fixtures of all tests."""

import pathlib

import pytest

from hpa_records import process
from tests import object_store

# As in a command, before a test imports TensorFlow.
process.take()

_ROOT = pathlib.Path(__file__).parent.parent

# Files that take minutes: first, so that none is left alone at the end.
_LONG = ('test_tpu_environment', 'test_loop', 'test_data_service',
         'test_io_environment', 'test_run_paper', 'test_distribution')


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first."""
  items.sort(key=lambda item: _LONG.index(item.path.stem)
             if item.path.stem in _LONG else len(_LONG))


def pytest_terminal_summary(terminalreporter):
  """Says how long each environment took to make, some of them by tests."""
  for stamp in sorted(_ROOT.glob('.venv*/.installed*')):
    terminalreporter.write_line(
        f'{stamp.parent.name}: made in {stamp.read_text().strip() or "?"} s')


def find_shared_data() -> pathlib.Path:
  """Returns the folder of real data beside the checkout; skips without it."""
  path = _ROOT.parent / 'shared'
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
