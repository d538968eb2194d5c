"""filesystem: whole files or none."""

import pytest

from hpa_records import filesystem
from hpa_records import schema


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / 'file'
  filesystem.write_atomically(str(path), b'old')
  with pytest.raises(KeyboardInterrupt):
    with filesystem.atomic_writer(str(path)) as file:
      file.write(b'half')
      raise KeyboardInterrupt
  assert [p.name for p in tmp_path.iterdir()] == ['file']
  assert path.read_bytes() == b'old'


def test_the_name_appears_when_the_block_ends(tmp_path):
  path = tmp_path / 'file'
  with filesystem.atomic_writer(str(path)) as file:
    file.write(b'new')
    assert not path.exists()
  assert path.read_bytes() == b'new'


@pytest.mark.parametrize('path,message', [
    ('', 'pass --output=PATH'),
    ('gs://bucket/folder', 'received --output=gs://bucket/folder'),
])
def test_only_local_paths(path, message):
  with pytest.raises(schema.DataError, match=message):
    filesystem.require_local(path, 'output')
  assert filesystem.require_local('a/b/', 'output') == 'a/b'
