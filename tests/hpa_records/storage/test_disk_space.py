"""disk_space: free space at existing and future folders."""

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import disk_space


def test_a_future_folder_has_the_space_of_its_disk(tmp_path):
  assert disk_space.free(str(tmp_path / 'none' / 'below')) > 0
  assert disk_space.free('gs://bucket/folder') is None


def test_too_little_space_is_refused_with_both_numbers(tmp_path):
  disk_space.require_room(str(tmp_path), 1)
  disk_space.require_room('gs://bucket/folder', 2**60)
  with pytest.raises(errors.DataError, match=r'TB are needed, .* are free'):
    disk_space.require_room(str(tmp_path), 2**60)
