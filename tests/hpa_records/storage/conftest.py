"""Fixtures of the tests of storage."""

import pytest

from hpa_records.runtime import tensorflow
from hpa_records.storage import folders


@pytest.fixture(name='folder', params=['local', 'ram'])
def _folder(request, tmp_path):
  """A folder on disk, and one that TensorFlow's filesystems keep in memory."""
  if request.param == 'local':
    yield str(tmp_path)
  else:
    path = f'ram://test{tmp_path}'
    folders.make(path)
    yield path
    tensorflow.tf.io.gfile.rmtree(path)
