"""file_lock: one process at a time in a folder."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import file_lock

_HOLD = '''
import sys
from hpa_records.storage import file_lock
with file_lock.hold(sys.argv[1], 'busy', shared=len(sys.argv) > 2):
  print('held', flush=True)
  sys.stdin.read()
'''


def _start_holder(path, *shared):
  holder = subprocess.Popen(  # pylint: disable=consider-using-with
      [sys.executable, '-c', _HOLD, path, *shared],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True)
  assert holder.stdout.readline() == 'held\n'
  return holder


def test_a_lock_is_held_by_one_process_until_it_dies(tmp_path):
  path = str(tmp_path / 'new' / 'lock')
  with _start_holder(path) as holder:
    with pytest.raises(errors.DataError, match='busy.*lock'):
      with file_lock.hold(path, 'busy'):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with file_lock.hold(path, 'busy'):
      pass


def test_a_stopped_process_keeps_its_lock(tmp_path):
  path = str(tmp_path / 'lock')
  with _start_holder(path) as holder:
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(errors.DataError, match='busy'):
      with file_lock.hold(path, 'busy'):
        pass
    os.kill(holder.pid, signal.SIGKILL)


def test_shared_locks_exclude_only_exclusive_ones(tmp_path):
  path = str(tmp_path / 'lock')
  with _start_holder(path, 'shared') as holder:
    with file_lock.hold(path, 'busy', shared=True):
      pass
    with pytest.raises(errors.DataError, match='busy'):
      with file_lock.hold(path, 'busy'):
        pass
    holder.stdin.close()


def test_a_link_in_place_of_the_lock_is_refused(tmp_path):
  (tmp_path / 'target').write_text('mine')
  (tmp_path / 'lock').symlink_to(tmp_path / 'target')
  with pytest.raises(OSError):
    with file_lock.hold(str(tmp_path / 'lock'), 'busy'):
      pass


def test_a_file_of_the_users_in_place_of_the_lock_is_refused(tmp_path):
  (tmp_path / 'lock').write_text('mine')
  with pytest.raises(FileExistsError, match='lock'):
    with file_lock.hold(str(tmp_path / 'lock'), 'busy'):
      pass


def test_a_folder_below_a_dangling_link_is_refused_at_once(tmp_path):
  (tmp_path / 'disk').symlink_to(tmp_path / 'not-mounted')
  with pytest.raises(OSError):
    with file_lock.hold(str(tmp_path / 'disk' / 'x' / 'lock'), 'busy'):
      pass


def test_the_holder_may_remove_the_file(tmp_path):
  path = str(tmp_path / 'lock')
  with file_lock.hold(path, 'busy'):
    os.remove(path)
  with file_lock.hold(path, 'busy'):
    assert os.path.exists(path)


def test_a_waiting_process_gets_the_lock_when_it_is_free(tmp_path):
  path = str(tmp_path / 'lock')
  # Not capsys: what a thread writes while it is read may be lost.
  with _start_holder(path) as holder, contextlib.redirect_stderr(
      io.StringIO()) as said:

    def wait():
      with file_lock.hold(path, 'waiting', waits=True):
        pass

    waiter = threading.Thread(target=wait)
    waiter.start()
    while 'waiting' not in said.getvalue():
      assert waiter.is_alive()
      time.sleep(0.01)
    holder.communicate()
    waiter.join()
