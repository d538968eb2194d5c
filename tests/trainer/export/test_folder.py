"""folder: only a whole export gets the name, and only exports are replaced."""

import fcntl
import os

import pytest

from hpa_records.runtime import errors
from trainer.export import folder
from trainer.model import model_file


def _fill(path):
  path.mkdir(exist_ok=True)
  (path / 'folds').mkdir()
  for name in ('README.md', 'model.json', 'folds/fold0.keras'):
    (path / name).write_text('old')


def _list(path):
  return sorted(os.listdir(path))


def test_the_folder_appears_when_it_is_whole(tmp_path):
  output = tmp_path / 'model'
  with folder.make(str(output), False) as directory:
    (tmp_path / directory / 'README.md').write_text('a')
    assert not output.exists()
  assert _list(tmp_path) == ['model'] and _list(output) == ['README.md']


def test_what_fails_leaves_nothing(tmp_path):
  with pytest.raises(KeyError), folder.make(str(tmp_path / 'model'), False):
    raise KeyError
  assert not _list(tmp_path)


def test_what_a_killed_export_left_is_replaced(tmp_path):
  _fill(tmp_path / 'model')
  _fill(tmp_path / 'model.unfinished')
  _fill(tmp_path / 'model.replaced')
  (tmp_path / 'model.unfinished/lock').touch()
  (tmp_path / 'model.unfinished/model.json.01234567.tmp').touch()
  with folder.make(str(tmp_path / 'model'), True) as directory:
    assert _list(directory) == ['lock']
    with pytest.raises(errors.DataError, match='not a whole exported model'):
      model_file.load(directory)
  assert _list(tmp_path) == ['model'] and not _list(tmp_path / 'model')


def test_the_old_model_that_a_killed_export_left_alone_is_not_lost(tmp_path):
  _fill(tmp_path / 'model.replaced')
  with (pytest.raises(errors.DataError, match='has an exported model; choose'),
        folder.make(str(tmp_path / 'model'), False)):
    pass
  assert _list(tmp_path) == ['model']
  assert (tmp_path / 'model/README.md').read_text() == 'old'


def test_the_old_model_stays_where_the_new_one_cannot_have_its_name(
    tmp_path, monkeypatch):
  _fill(tmp_path / 'model')
  rename = os.rename

  def fail(old, new):
    if old.endswith('.unfinished'):
      raise KeyboardInterrupt
    rename(old, new)

  monkeypatch.setattr(os, 'rename', fail)
  with (pytest.raises(KeyboardInterrupt),
        folder.make(str(tmp_path / 'model'), True)):
    pass
  assert _list(tmp_path) == ['model']
  assert (tmp_path / 'model/README.md').read_text() == 'old'


def test_all_is_on_disk_before_it_has_its_name_which_is_locked(
    tmp_path, monkeypatch):
  flushed, fsync, rename = [], os.fsync, os.rename

  def flush(file):
    flushed.append(os.readlink(f'/proc/self/fd/{file}'))
    fsync(file)

  def check(old, new):
    wanted = {str(path) for path in (tmp_path / 'model.unfinished').rglob('*')}
    assert len(wanted) == 5 and wanted <= set(flushed)
    rename(old, new)
    with open(os.path.join(new, 'lock'), 'rb') as lock:
      with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

  monkeypatch.setattr(os, 'fsync', flush)
  monkeypatch.setattr(os, 'rename', check)
  with folder.make(str(tmp_path / 'model'), False) as directory:
    _fill(tmp_path / directory)
  assert flushed[-1] == str(tmp_path)
  assert len(_list(tmp_path / 'model')) == 3


@pytest.mark.parametrize('place', ['model', 'model.unfinished'])
@pytest.mark.parametrize('name', ['.git/HEAD', '.gitignore', 'lost+found/a'])
def test_a_repository_is_never_replaced(tmp_path, place, name):
  path = tmp_path / place / name
  path.parent.mkdir(parents=True)
  path.write_text('mine')
  _try_to_make(tmp_path, 'not a file of an exported model')
  assert path.read_text() == 'mine'


@pytest.mark.parametrize('ending', ['unfinished', 'replaced'])
def test_a_link_and_a_folder_of_the_user_s_are_no_export_s(tmp_path, ending):
  place = tmp_path / f'model.{ending}'
  _fill(tmp_path / 'precious')
  place.symlink_to('precious')
  _try_to_make(tmp_path, 'in the way, and no export left it')
  assert len(_list(tmp_path / 'precious')) == 3
  place.unlink()
  place.mkdir()
  (place / 'README.md').write_text('mine')
  _try_to_make(tmp_path, 'in the way, and no export left it')
  assert (place / 'README.md').read_text() == 'mine'


def _try_to_make(tmp_path, message):
  with (pytest.raises(errors.DataError,
                      match=message), folder.make(str(tmp_path / 'model'),
                                                  True)):
    pass


def test_what_a_system_leaves_is_no_file_of_the_user_s(tmp_path):
  _fill(tmp_path / 'model')
  (tmp_path / 'model/.DS_Store').touch()
  (tmp_path / 'model/folds/._fold0.keras').touch()
  with folder.make(str(tmp_path / 'model'), True):
    pass
  assert not _list(tmp_path / 'model')


def test_an_exported_model_is_replaced_only_if_asked(tmp_path):
  output = tmp_path / 'model'
  _fill(output)
  with pytest.raises(errors.DataError, match='has an exported model; choose'):
    folder.refuse(str(output), False)
  folder.refuse(str(output), True)
  (output / 'model.json').unlink()
  with pytest.raises(errors.DataError, match='parts of an exported model but'):
    folder.refuse(str(output), False)
  with folder.make(str(output), True) as directory:
    (tmp_path / directory / 'README.md').write_text('new')
    assert (output / 'README.md').read_text() == 'old'
  assert _list(tmp_path) == ['model'] and _list(output) == ['README.md']
  assert (output / 'README.md').read_text() == 'new'


@pytest.mark.parametrize('name', ['mine.txt', 'folds/mine.keras'])
@pytest.mark.parametrize('place', ['model', 'model.unfinished'])
def test_files_of_the_users_are_never_replaced(tmp_path, name, place):
  _fill(tmp_path / place)
  (tmp_path / place / name).write_text('mine')
  with pytest.raises(errors.DataError, match=f'{name}.*not a file of an exp'):
    folder.refuse(str(tmp_path / 'model'), True)
    with folder.make(str(tmp_path / 'model'), True):
      pass
  assert (tmp_path / place / name).read_text() == 'mine'


def test_a_file_and_a_broken_link_are_refused(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.DataError, match='is a file'):
    folder.refuse(str(tmp_path / 'file'), True)
  (tmp_path / 'link').symlink_to('missing')
  with pytest.raises(errors.DataError, match='Cannot write'):
    folder.refuse(str(tmp_path / 'link'), True)


def test_an_empty_folder_and_one_behind_a_link_are_filled(tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'link').symlink_to('empty')
  folder.refuse(str(tmp_path / 'link'), False)
  with folder.make(str(tmp_path / 'link'), False) as directory:
    (tmp_path / directory / 'README.md').touch()
  assert _list(tmp_path / 'empty') == ['README.md']
  assert (tmp_path / 'link').is_symlink()


def test_two_exports_to_one_folder_are_refused(tmp_path):
  (tmp_path / 'model.unfinished').mkdir()
  with open(tmp_path / 'model.unfinished/lock', 'wb') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with (pytest.raises(errors.DataError, match='Another export to'),
          folder.make(str(tmp_path / 'model'), False)):
      pass
