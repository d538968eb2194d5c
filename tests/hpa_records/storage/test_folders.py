"""folders: listing, creating and removing, local and at an address."""

import os

import pytest

from hpa_records.storage import filesystem
from hpa_records.storage import folders


def test_lists_are_recursive_on_request(folder):
  below = os.path.join(folder, 'b', 'c')
  folders.make(below)
  filesystem.write_atomically(os.path.join(folder, 'a'), b'')
  filesystem.write_atomically(os.path.join(below, 'd'), b'')
  assert folders.list_names(folder) == ['a']
  assert folders.list_names(folder, recursive=True) == ['a', 'b/c/d']


def test_only_wanted_files_are_removed_and_only_empty_folders(folder):
  below = os.path.join(folder, 'b')
  folders.make(below)
  for name in ('mine', 'yours'):
    filesystem.write_atomically(os.path.join(below, name), b'')
  folders.remove_files(below, 'mine'.__eq__)
  folders.remove_empty(below)
  assert folders.list_names(folder, recursive=True) == ['b/yours']
  folders.remove_files(below, 'yours'.__eq__)
  folders.remove_empty(below)
  assert folders.list_names(folder, recursive=True) == []


def test_an_unreadable_subfolder_is_an_error(tmp_path):
  (tmp_path / 'a' / 'b').mkdir(parents=True)
  os.chmod(tmp_path / 'a' / 'b', 0)
  try:
    if os.access(tmp_path / 'a' / 'b', os.R_OK):
      pytest.skip('root may list every folder')
    with pytest.raises(OSError):
      folders.list_names(str(tmp_path), recursive=True)
  finally:
    os.chmod(tmp_path / 'a' / 'b', 0o700)


def test_links_are_followed_on_request_but_not_in_circles(tmp_path):
  top = tmp_path / 'top'
  for name in ('top/a', 'top/b', 'disk/c'):
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / 'file').write_text('')
  for name, target in (('linked', tmp_path / 'disk'), ('a/b', top / 'b'),
                       ('b/a', top / 'a'), ('b/self', top / 'b'),
                       ('up', tmp_path), ('a/lost', tmp_path / 'none')):
    (top / name).symlink_to(target)
  for folder in (str(top), f'{top}/'):
    assert folders.list_names(folder,
                              recursive=True) == ['a/file', 'a/lost', 'b/file']
    assert folders.list_names(folder, recursive=True, follow_links=True) == [
        'a/b/file', 'a/file', 'a/lost', 'b/a/file', 'b/a/lost', 'b/file',
        'linked/c/file'
    ]


def test_system_folders_are_skipped(tmp_path, monkeypatch):
  for name in ('lost+found', 'a/.Trashes', 'a/b'):
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / 'file').touch()
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) in ('lost+found', '.Trashes'):
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)
  assert folders.list_names(str(tmp_path), recursive=True) == ['a/b/file']
