"""image_folder: links, litter, and unreadable as opposed to missing files.

Real files, links and pipes.
"""

import os
import socket
import unicodedata

import pytest

from hpa_records.format import spec
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from tests.hpa_records.ingest import test_sample_table
from tests.support import tables

_FLAT = test_sample_table.PATTERN
_DEEP = '{id}/{channel}.png'


@pytest.fixture(name='images')
def _images(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for sample_id in ('a', 'b'):
    test_sample_table.write_set(folder, sample_id)
  return folder


@pytest.fixture(name='folders')
def _folders(images, tmp_path):
  """The samples in folders of their own, which links in `linked` lead to."""
  linked = tmp_path / 'linked'
  linked.mkdir()
  for sample_id in ('a', 'b'):
    (images / sample_id).mkdir()
    for channel in spec.CHANNELS:
      name = f'{sample_id}_{channel}.png'
      (images / name).rename(images / sample_id / f'{channel}.png')
    (linked / sample_id).symlink_to(images / sample_id)
  return linked


def _load(images, pattern=_FLAT, csv='', **options):
  return tables.load(csv,
                     str(images),
                     pattern=pattern,
                     unlabelled=True,
                     **options)


def _ids(*args, **options):
  return _load(*args, **options).table['id'].tolist()


def _refusal(*args, **options):
  with pytest.raises(errors.DataError) as caught:
    _load(*args, **options)
  return str(caught.value)


def test_linked_sample_folders_are_read(folders):
  assert _ids(folders, _DEEP) == ['a', 'b']
  (folders / 'a' / 'red.png').write_bytes(b'')
  assert 'row 2, a/red.png: expected a PNG' in _refusal(folders, _DEEP)


def test_circular_links_end(folders):
  (folders / 'self').symlink_to('.')
  (folders / 'a' / 'up').symlink_to('..')
  assert _ids(folders, _DEEP) == ['a', 'b']


def test_dangling_links_are_named_and_may_be_skipped(folders):
  (folders / 'c').symlink_to('gone')
  (folders / 'b' / 'red.png').unlink()
  (folders / 'b' / 'red.png').symlink_to('../far.png')
  message = _refusal(folders, _DEEP)
  assert ('b/red.png: not a file but a link to ../far.png, which '
          'does not exist') in message
  assert 'c/blue.png: not a file but a link to gone' in message
  found = _load(folders, _DEEP, on_error='skip')
  assert found.table['id'].tolist() == ['a']
  assert {each.kind for each in found.issues} == {issue.MISSING}


def test_links_to_devices_are_issues(folders):
  (folders / 'b' / 'red.png').unlink()
  (folders / 'b' / 'red.png').symlink_to('/dev/null')
  assert 'b/red.png: not a file but a device' in _refusal(folders, _DEEP)


def test_folders_need_no_utf8_in_their_names(images):
  other = os.fsencode(images) + b'\xff'
  os.rename(images, other)
  assert _ids(os.fsdecode(other)) == ['a', 'b']


@pytest.mark.parametrize('name,of', [('b', 'b/red.png'),
                                     ('b/red.png', 'b/red.png')])
def test_a_link_that_cannot_be_followed_is_never_skipped(folders, name, of):
  path = folders / name
  if path.is_symlink():
    path.unlink()
  else:
    path = path.resolve()
    path.unlink()
  path.symlink_to(path)  # ELOOP
  message = _refusal(folders, _DEEP, on_error='skip')
  assert message.startswith('Cannot read all files')
  assert f'{of}: cannot be read: Too many levels of symbolic links' in message
  csv = folders.parent / 'ids.csv'
  csv.write_text('Id\na\n')  # who does not want it does not miss it
  assert _ids(folders, _DEEP, str(csv), on_error='skip') == ['a']


@pytest.mark.skipif(os.getuid() == 0, reason='root reads everything')
def test_a_folder_that_cannot_be_listed_is_never_skipped(folders):
  (folders / 'b').chmod(0)
  try:
    message = _refusal(folders, _DEEP, on_error='skip')
  finally:
    (folders / 'b').chmod(0o700)
  assert 'b/red.png: cannot be read: Permission denied' in message


def test_an_error_while_listing_is_never_skipped(folders, monkeypatch):
  real = os.scandir

  def fail(path):
    if str(path).endswith('/b'):
      raise OSError(116, 'Stale file handle')
    return real(path)

  monkeypatch.setattr(os, 'scandir', fail)  # no disk here fails like that
  message = _refusal(folders, _DEEP, on_error='skip')
  assert 'b/red.png: cannot be read: Stale file handle' in message


def test_folders_that_are_all_unread_are_not_called_empty(tmp_path):
  (tmp_path / 'red').symlink_to('red')
  message = _refusal(tmp_path, '{channel}/{id}.png')
  assert message.startswith('Cannot read all files')
  assert '  red: cannot be read: Too many levels' in message


def test_pipes_folders_and_sockets_are_named(images, monkeypatch):
  for name, make in (('a_red.png', os.mkfifo), ('a_blue.png', os.mkdir)):
    (images / name).unlink()
    make(images / name)
  (images / 'b_red.png').unlink()
  with socket.socket(socket.AF_UNIX) as made:
    monkeypatch.chdir(images)  # such a path has to be short
    made.bind('b_red.png')
    message = _refusal(images)
  assert 'a_red.png: not a file but a named pipe' in message
  assert 'a_blue.png: not a file but a folder' in message
  assert 'b_red.png: not a file but a socket' in message


def test_litter_is_no_sample_but_ids_of_a_table_are(images):
  for name in ('._a_red.png', '.DS_Store', 'Thumbs.db', 'desktop.ini'):
    (images / name).write_bytes(b'\0\5\x16\7')
  assert _ids(images) == ['a', 'b']
  csv = images.parent / 'ids.csv'
  csv.write_text('Id\n._a\n')
  message = _refusal(images, csv=str(csv))
  assert '._a_red.png: expected a PNG (from the extension), received an' in (
      message)
  test_sample_table.write_set(images, '._a')
  assert _ids(images, csv=str(csv)) == ['._a']


@pytest.mark.parametrize('forms', [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_a_name_that_looks_the_same_is_named(images, forms):
  asked, there = (unicodedata.normalize(form, 'é') for form in forms)
  test_sample_table.write_set(images, there)
  csv = images.parent / 'ids.csv'
  csv.write_text(f'Id\n{asked}\n')
  assert (f'looks the same but is spelled otherwise (Unicode {forms[1]})'
          in _refusal(images, csv=str(csv)))


def test_a_name_of_other_cases_is_named(images):
  for channel in spec.CHANNELS:
    path = images / f'b_{channel}.png'
    path.rename(path.with_suffix('.PNG'))
  message = _refusal(images)
  assert "'b_red.PNG' is there, whose name differs in upper and lo" in message
  assert '4 issues' in message


def test_a_name_that_is_not_utf8_is_an_issue_of_its_own(images):
  for channel in spec.CHANNELS:
    path = os.fsencode(images / f'b_{channel}.png')
    os.rename(path, path.replace(b'/b_', b'/\xe9_'))
  message = _refusal(images)
  assert "row 3: expected an Id that is a plain name" in message
  assert message.isprintable() or message.replace('\n', '').isprintable()
  found = _load(images, on_error='skip')
  assert found.table['id'].tolist() == ['a']
  issue.write(found.issues, str(images / 'skipped.csv'))
  text = (images / 'skipped.csv').read_text('utf-8')
  assert text.splitlines()[1].startswith('3,\\udce9,,')


def test_a_folder_or_table_that_is_a_dangling_link_is_named(tmp_path):
  path = tmp_path / 'link'
  path.symlink_to('gone')
  assert 'link is a link to gone, which does not exist' in _refusal(path)
  with pytest.raises(errors.DataError, match='a link to gone, which does'):
    csv_table.read(str(path))


def test_an_example_is_found_without_listing_everything(tmp_path):
  (tmp_path / 'x' / 'y').mkdir(parents=True)
  (tmp_path / 'x' / 'y' / 'z.tif').write_bytes(b'')
  (tmp_path / '.DS_Store').write_bytes(b'')
  listing = image_folder.scan(str(tmp_path), ['a_red.png'])
  assert image_folder.find_example(str(tmp_path), listing) == 'x/y/z.tif'


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
  file = tmp_path / 'file'
  file.touch()
  for path in (file, file / 'below'):
    with pytest.raises(errors.DataError,
                       match='Not a directory; pass the folder of '
                       'images.$'):
      image_folder.scan(str(path), ['a_red.png'])


def test_files_that_do_not_fit_the_pattern_are_counted(images, capsys):
  for name in ('.DS_Store', '._a_red.png'):
    (images / name).touch()
  assert _ids(images) == ['a', 'b']
  assert 'Ignored' not in capsys.readouterr().err
  for channel in spec.CHANNELS:
    (images / f'b_{channel}.png').rename(images / f'b_{channel}.tif')
  (images / 'a_red (1).png').touch()
  assert _ids(images) == ['a']
  assert capsys.readouterr().err.splitlines()[0] == (
      f'Ignored 5 files in {images} that do not match --pattern={_FLAT} (such '
      'as a_red (1).png). Rename those that are images of samples.')


def test_files_beside_a_csv_of_ids_are_not_counted(images, capsys):
  (images / 'a_red (1).png').touch()
  csv = images.parent / 'ids.csv'
  csv.write_text('Id\na\nb\n')
  assert _ids(images, csv=str(csv)) == ['a', 'b']
  assert 'Ignored' not in capsys.readouterr().err
