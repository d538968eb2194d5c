"""process: a command is measured with its workers, and fails in words."""

import os
import pathlib
import sys
import threading
import time

from benchmarks import process
import pytest

from hpa_records.runtime import errors


class _Memory(process._Memory):  # pylint: disable=protected-access
  """Lets a worker go on, through a pipe, when its memory has been seen."""
  pipe = None

  def __enter__(self):
    threading.Thread(target=self._let_go).start()
    return super().__enter__()

  def _let_go(self):
    deadline = time.monotonic() + 240
    while self.worker_kib < 90 * 1024 and time.monotonic() < deadline and (
        pathlib.Path('/proc/self/status').exists()):
      time.sleep(0.02)
    self.pipe.write_text('')


def test_a_command_is_measured_with_its_workers(tmp_path, monkeypatch):
  _Memory.pipe = tmp_path / 'pipe'
  os.mkfifo(_Memory.pipe)
  monkeypatch.setattr(process, '_Memory', _Memory)
  code = ('import subprocess, sys; held = bytearray(30 << 20); '
          'code = "import sys, time; held = bytearray(90 << 20); '
          'time.sleep(0.5); open(sys.argv[1]).read()"; '
          'subprocess.run([sys.executable, "-c", code, sys.argv[1]]); '
          'print("said")')
  command = [sys.executable, '-c', code, str(_Memory.pipe)]
  finished = process.run(command, 1)
  assert finished.stdout == 'said\n'
  assert finished.wall_s > 0.5 and 0 < finished.cpu_s < finished.wall_s
  if pathlib.Path('/proc/self/status').exists():
    assert 30 < finished.parent_mib < 90 < finished.worker_mib < 150


@pytest.mark.parametrize('code,error', [(1, RuntimeError),
                                        (2, errors.DataError)])
def test_a_command_that_fails_passes_on_what_it_said(code, error):
  text = f'import sys; print("why", file=sys.stderr); sys.exit({code})'
  with pytest.raises(error, match='why'):
    process.run([sys.executable, '-c', text], 1)


def test_a_command_that_cannot_start_is_told(tmp_path):
  (tmp_path / 'python').touch()
  with pytest.raises(errors.DataError, match='Cannot start .*python: Perm'):
    process.run([str(tmp_path / 'python')], 1)


@pytest.mark.skipif(sys.version_info < (3, 11),
                    reason='the current folder is searched before 3.11')
def test_a_module_is_found_from_any_folder(tmp_path, monkeypatch):
  for name in ('benchmarks', 'numpy'):
    (tmp_path / f'{name}.py').write_text('raise SystemExit(2)')
  monkeypatch.chdir(tmp_path)
  with pytest.raises(RuntimeError, match='ValueError: not enough'):
    process.run_module('reader', [], 1)
