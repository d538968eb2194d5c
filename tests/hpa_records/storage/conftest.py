"""Fixtures of the tests of storage."""

import pytest

from hpa_records.storage import folders


@pytest.fixture(name='folder', params=['local', 'memory'])
def _folder(request, tmp_path):
  """Returns a local folder, and one at memory://."""
  if request.param == 'local':
    yield str(tmp_path)
  else:
    path = f'memory://test{tmp_path}'
    yield path
    folders.remove_files(path, lambda name: True)
