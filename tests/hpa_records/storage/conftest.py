"""Fixtures of the tests of storage."""

import pytest

from hpa_records.runtime import tensorflow
from hpa_records.storage import folders


@pytest.fixture(name='folder', params=['local', 'ram'])
def _folder(request, tmp_path):
  """Returns a local folder, and one at ram:// (TensorFlow, in memory)."""
  if request.param == 'local':
    yield str(tmp_path)
  else:
    path = f'ram://test{tmp_path}'
    folders.make(path)
    yield path
    tensorflow.tf.io.gfile.rmtree(path)
