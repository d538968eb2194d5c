"""fold_lock: one trainer in a folder; what cannot be written is one line."""

import errno
import os
import subprocess
import sys

import pytest

from hpa_records.runtime import errors
from trainer.run import fold_lock

_HOLD = '''
import sys
from trainer.run import fold_lock
with fold_lock.hold(sys.argv[1]):
  print('held', flush=True)
  sys.stdin.read()
'''


def test_a_second_trainer_is_refused_until_the_first_ends(tmp_path):
  folder = str(tmp_path / 'run' / 'fold0')
  with subprocess.Popen([sys.executable, '-c', _HOLD, folder],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE) as first:
    assert first.stdout.readline() == b'held\n'
    with pytest.raises(errors.DataError, match='Another training is running'):
      with fold_lock.hold(folder):
        pass
    first.communicate()
  with fold_lock.hold(folder):
    pass
  assert not os.path.exists(folder)  # nothing was written


@pytest.mark.parametrize('is_taken', [False, True])
def test_a_folder_that_was_moved_is_not_written(tmp_path, is_taken):
  folder = tmp_path / 'fold0'
  with fold_lock.hold(str(folder)):
    folder.rename(tmp_path / 'moved')
    folder.mkdir()
    if is_taken:
      (folder / 'lock').touch()
    with pytest.raises(errors.DataError, match='was moved or removed'):
      with fold_lock.translate_write_errors(str(folder)):
        pytest.fail('was let write')
  assert (folder / 'lock').exists() == is_taken


def test_what_killed_trainers_began_is_removed_and_nothing_else(tmp_path):
  checkpoints = tmp_path / 'fold0' / 'checkpoints'
  checkpoints.mkdir(parents=True)
  begun = [
      checkpoints / 'epoch-00001.npz.0123abcd.tmp',
      checkpoints / 'epoch-00001-step-0000005.npz.0123abcd.tmp',
      tmp_path / 'fold0' / 'metrics.json.0123abcd.tmp',
  ]
  kept = [
      checkpoints / 'epoch-00001.npz',
      checkpoints / 'epoch-00001.npz.tmp',
      checkpoints / 'mine.npz.0123abcd.tmp',
      tmp_path / 'fold0' / 'notes.json.0123abcd.tmp',
  ]
  for path in begun + kept:
    path.touch()
  link = checkpoints / 'epoch-00002.npz.0123abcd.tmp'
  link.symlink_to(kept[0])
  with fold_lock.hold(str(tmp_path / 'fold0')):
    assert not any(path.exists() for path in begun)
  assert all(path.exists() for path in kept) and link.is_symlink()


def test_a_linked_folder_is_not_tidied(tmp_path):
  (tmp_path / 'other').mkdir()
  begun = tmp_path / 'other' / 'epoch-00001.npz.0123abcd.tmp'
  begun.touch()
  (tmp_path / 'fold0').mkdir()
  (tmp_path / 'fold0' / 'checkpoints').symlink_to(tmp_path / 'other')
  with fold_lock.hold(str(tmp_path / 'fold0')):
    assert begun.exists()


@pytest.mark.parametrize('place,reason', [
    ('file/run', 'Not a directory'),
    ('file', 'Not a directory'),
    ('link', 'is a link to .*which does not exist'),
    ('/proc/run', 'No such file'),
])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, place, reason):
  (tmp_path / 'file').touch()
  (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
  with pytest.raises(errors.DataError, match=f'Cannot write to .*{reason}'):
    with fold_lock.hold(str(tmp_path / place / 'fold0')):
      pass


def test_a_file_of_the_users_named_lock_is_told_and_kept(tmp_path):
  (tmp_path / 'lock').write_text('mine')
  with pytest.raises(errors.DataError,
                     match=rf'name exists: .*\({tmp_path}/lock\)'):
    with fold_lock.hold(str(tmp_path)):
      pass
  assert (tmp_path / 'lock').read_text() == 'mine'


def test_a_full_disk_is_told_with_what_is_kept():
  with pytest.raises(errors.DataError,
                     match='Cannot write to run/fold0: No space left .* kept'):
    with fold_lock.translate_write_errors('run/fold0'):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
