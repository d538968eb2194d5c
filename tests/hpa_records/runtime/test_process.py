"""process: what the library leaves alone in the program that calls it."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[3]
# Prints what differs in the process after body, which may use folder.
_PROGRAM = '''
import logging, os, pathlib, signal, sys, threading
import cv2
folder = pathlib.Path(sys.argv[1])
def state():
  return {{
      'environment': dict(os.environ), 'threads': cv2.getNumThreads(),
      'stderr': os.readlink('/proc/self/fd/2'),
      'mask': signal.pthread_sigmask(signal.SIG_BLOCK, []),
      'handler': signal.getsignal(signal.SIGINT),
      'excepthook': sys.excepthook, 'stdout': sys.stdout,
      'levels': [logging.getLogger(name).level for name in ('absl', 's3fs')],
  }}
if __name__ == '__main__':
  from tests.support import fakes
  cv2.setNumThreads(3)
  {setup}
  before = state()
  {body}
  after = state()
  print(*[name for name in before if before[name] != after[name]])
'''
_CONVERT = ('from hpa_records.conversion import convert; '
            'from hpa_records.conversion import shard_plan; '
            'csv, images = '
            'fakes.write_source(folder, 40); convert.convert(csv, images, '
            'str(folder / "records"), shard_plan.Settings(image_size=24, '
            'num_folds=2), convert.How(workers={}))')


def _run(tmp_path, body, setup='pass'):
  path = tmp_path / 'program.py'  # spawned workers import it
  path.write_text(_PROGRAM.format(body=body, setup=setup))
  return subprocess.run(
      [sys.executable, str(path), str(tmp_path)],
      cwd=_ROOT,
      env={
          'PATH': '/usr/bin:/bin',
          'PYTHONPATH': str(_ROOT)
      },
      capture_output=True,
      text=True,
      check=False)


@pytest.mark.parametrize('body,setup', [
    (_CONVERT.format(1), 'pass'),
    (_CONVERT.format(2), 'pass'),
    (_CONVERT.format(2), 'signal.pthread_sigmask(signal.SIG_BLOCK, {2})'),
    (_CONVERT.format(2), 'signal.signal(2, lambda *_: None)'),
    ('from hpa_records.synthetic import generator; '
     'generator.make(str(folder), 3, '
     'size_px=64, workers=1)', 'pass'),
    ('from hpa_records.runtime import cli; '
     'from hpa_records.reading import download; '
     'from trainer import main', 'pass'),
])
def test_a_function_of_the_library_leaves_the_process_as_it_was(
    tmp_path, body, setup):
  done = _run(tmp_path, body, setup)
  assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr


def test_importing_tensorflow_sets_nothing_but_what_tensorflow_does(tmp_path):
  done = _run(tmp_path, 'from hpa_records.runtime import tensorflow',
              'import tensorflow, keras')
  assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr


def test_a_thread_may_convert(tmp_path):
  body = ('from hpa_records.conversion import convert; '
          'from hpa_records.conversion import shard_plan; '
          'csv, images = fakes.write_source(folder, 40); '
          'thread = threading.Thread(target=convert.convert, args=(csv, '
          'images, str(folder / "records"), shard_plan.Settings(image_size=24, '
          'num_folds=2), convert.How(workers=2))); thread.start(); '
          'thread.join()')
  done = _run(tmp_path, body)
  assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr
  assert (tmp_path / 'records' / 'manifest.json').exists()


def test_a_command_makes_its_settings():
  code = ('import os, sys; from hpa_records.runtime import cli; '
          'from hpa_records.runtime import process; '
          'cli.run(lambda: print(process.is_ours(), '
          'os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["KERAS_BACKEND"], '
          'os.environ["MPLBACKEND"]))')
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        env={
                            'MPLBACKEND': 'none_such',
                            'KERAS_BACKEND': 'torch'
                        },
                        capture_output=True,
                        text=True,
                        check=True)
  assert done.stdout.split() == ['True', '3', 'tensorflow', 'agg']


def test_a_command_runs_where_no_disk_can_be_written():
  code = ('import tempfile; tempfile._candidate_tempdir_list = lambda: []; '
          'from hpa_records.runtime import process; '
          'process.take(); '
          'tempfile.TemporaryFile().close()')
  subprocess.run([sys.executable, '-c', code], cwd=_ROOT, check=True)


def test_a_wrong_flag_of_xla_is_shown():
  code = ('import os; from hpa_records.runtime import process; '
          'process.take()\n'
          'with process.quiet():\n'
          '  os.write(2, b"Unknown flag in XLA_FLAGS")\n'
          '  os._exit(1)')
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        env={'XLA_FLAGS': '--none_such'},
                        capture_output=True,
                        check=False)
  assert b'XLA_FLAGS' in done.stderr


@pytest.mark.parametrize('value,kept', [
    ('3', '3'),
    ('-1', None),
    pytest.param('x', None, marks=pytest.mark.soak),
])
def test_numbers_of_threads_that_end_tensorflow_are_dropped(value, kept):
  code = ('from hpa_records.runtime import process; process.take(); '
          'from hpa_records.runtime.tensorflow import tf; import os; '
          'tf.zeros(1); print(os.environ.get("TF_NUM_INTRAOP_THREADS"))')
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        env=os.environ | {'TF_NUM_INTRAOP_THREADS': value},
                        check=False,
                        capture_output=True,
                        text=True)
  assert (done.returncode, done.stdout) == (0, f'{kept}\n')
