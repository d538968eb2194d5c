"""Fixtures of all tests."""

import pathlib

import pytest


@pytest.fixture(name='shared_data')
def _shared_data() -> pathlib.Path:
  """The folder of real data beside the checkout; skips where it is not."""
  path = pathlib.Path(__file__).parent.parent.parent / 'shared'
  if not (path / 'hpa').is_dir():
    pytest.skip('the real data is not beside this checkout')
  return path
