"""filesystem: complete files or none, local and at an address."""

import os

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from hpa_records.storage import folders


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


@pytest.mark.parametrize('flushed', [True, False])
def test_pieces_larger_and_smaller_than_the_buffer_are_written(
    tmp_path, flushed):
  path = str(tmp_path / 'a')
  pieces = [b'a' * 5, b'b' * 5 * 2**20, b'c' * 3 * 2**20, b'd' * 3 * 2**20]
  with filesystem.atomic_writer(path, flushed=flushed) as file:
    for piece in pieces:
      file.write(piece)
  assert filesystem.read_bytes(path) == b''.join(pieces)


def test_a_pipe_is_refused(tmp_path):
  path = str(tmp_path / 'pipe')
  os.mkfifo(path)
  for read in (filesystem.open_read, filesystem.read_bytes, filesystem.sha256):
    with pytest.raises(OSError, match='a pipe or a device'):
      read(path)


def test_a_file_that_is_too_large_is_not_read(folder):
  path = os.path.join(folder, 'file')
  filesystem.write_atomically(path, b'0123456789')
  assert filesystem.read_bytes(path, 10) == b'0123456789'
  with pytest.raises(OSError, match='too large'):
    filesystem.read_bytes(path, 9)


def test_files_are_written_read_and_removed(folder):
  path = os.path.join(folder, 'file')
  assert filesystem.size(path) is None
  filesystem.write_atomically(path, b'0123456789')
  assert filesystem.size(path) == 10 and filesystem.size(folder) is None
  filesystem.write_atomically(path, b'abc')
  assert folders.list_names(folder) == ['file']
  assert filesystem.read_bytes(path) == b'abc'
  filesystem.remove(path)
  filesystem.remove(path)
  assert folders.list_names(folder) == []


def test_a_file_is_read_from_anywhere_in_it(folder):
  data = bytes(range(256)) * 10_000
  path = os.path.join(folder, 'file')
  filesystem.write_atomically(path, data)
  with filesystem.open_read(path) as file:
    assert file.read(5) == data[:5]
    assert file.seek(2_000_000) == 2_000_000
    assert file.read(300) == data[2_000_000:2_000_300]
    assert file.tell() == 2_000_300
    assert file.seek(-10, os.SEEK_END) == len(data) - 10
    assert file.read() == data[-10:] and file.read(1) == b''
    assert file.seek(0) == 0 and file.read() == data


def test_a_failed_write_leaves_nothing_new(folder):
  path = os.path.join(folder, 'file')
  for before in ([], ['file']):
    with pytest.raises(KeyboardInterrupt):
      with filesystem.atomic_writer(path) as file:
        file.write(b'half')
        raise KeyboardInterrupt
    assert folders.list_names(folder) == before
    filesystem.write_atomically(path, b'old')
  assert filesystem.read_bytes(path) == b'old'


def test_a_missing_file_is_an_os_error(folder):
  with pytest.raises(OSError, match='none'):
    filesystem.read_bytes(os.path.join(folder, 'none'))


@pytest.mark.parametrize('name,size', [('a', 1), ('none', None), ('a/b', None),
                                       ('x' * 300, None), ('loop', None)])
def test_a_missing_file_has_no_size(tmp_path, name, size):
  (tmp_path / 'a').write_bytes(b'1')
  (tmp_path / 'loop').symlink_to('loop')
  assert filesystem.size(str(tmp_path / name)) == size


def test_a_folder_without_permission_is_an_error(tmp_path):
  (tmp_path / 'a').mkdir(mode=0)
  user = os.geteuid()
  os.seteuid(user or 65534)  # root enters every folder
  try:
    with pytest.raises(errors.DataError, match='Permission denied; check the'):
      filesystem.size(str(tmp_path / 'a' / 'b'))
  finally:
    os.seteuid(user)
