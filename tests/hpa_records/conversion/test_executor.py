"""Failures of worker processes and Beam, and Ctrl-C."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from hpa_records.conversion import executor
from hpa_records.runtime import errors
from hpa_records.runtime import process_pool
from tests.support import fakes
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  return fakes.write_source(tmp_path_factory.mktemp('source'), 60)


def _command(source, output, *flags):
  return [
      sys.executable, 'tools/make_records.py', f'--csv={source[0]}',
      f'--images={source[1]}', f'--output={output}', '--image_size=300',
      '--shard_mb=1', *flags
  ]


@pytest.mark.parametrize('option,message', [
    ('--runner=Nope', 'Beam did not make all shards: ValueError'),
    ('--runner=FnApiRunner', 'File too large'),
    ('--nosuch=1', "Unknown option '--nosuch=1' in --beam_options"),
    ('--streaming=x', 'argument --streaming: ignored explicit argument'),
])
def test_a_failed_pipeline_is_a_one_line_error(source, tmp_path, option,
                                               message):
  limit = 'ulimit -f 400; exec "$@"'
  done = subprocess.run([
      'sh', '-c', limit, 'sh',
      *_command(source, tmp_path / 'records', '--runner=beam',
                f'--beam_options={option}')
  ],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2
  last, = done.stderr.splitlines()
  assert message in last and 'functools' not in last


@pytest.mark.parametrize('options,is_here', [
    ([], True),
    (['--runner=DirectRunner'], True),
    (['--runner=direct'], True),
    (['--runner=apache_beam.runners.direct.direct_runner.DirectRunner'], True),
    (['--runner=FnApiRunner'], True),
    (['--runner=PrismRunner'], False),
])
def test_by_default_beam_runs_in_this_process(monkeypatch, options, is_here):
  beam = pytest.importorskip('apache_beam')
  ran = []

  def run(pipeline, *_, **__):
    ran.append(type(pipeline.runner).__name__)
    raise ValueError('stopped')

  monkeypatch.setattr(beam.Pipeline, 'run', run)
  with pytest.raises(errors.DataError, match='stopped'):
    executor.run_beam(None, [], options)
  assert ran == ['FnApiRunner' if is_here else 'PrismRunner']


def _end(how):
  """Ends the process that it runs in, by a signal or with an exit code."""
  if how < 0:
    os.kill(os.getpid(), -how)
  os._exit(how)  # pylint: disable=protected-access


@pytest.mark.parametrize('how,message', [
    (-9, r'killed \(signal 9\), usually because memory ran out.*--workers'),
    (-7, r'killed \(signal 7, Bus error\)'),
    (3, 'ended with exit code 3'),
])
def test_a_killed_worker_is_named_with_its_signal(how, message):
  pool = process_pool.start(2)
  with pytest.raises(errors.DataError, match=message):
    with process_pool.translate_errors(multiprocessing.active_children()):
      try:
        pool.submit(_end, how).result()
      finally:
        process_pool.stop(pool)


def _signal(source, output, begun, send):
  """Starts a conversion with two workers, and signals it when it has begun.

  Args:
    source: of the conversion.
    output: its folder.
    begun: whether it has; asked over and over.
    send: sends the signal to a process.

  Returns:
    Its exit code and what it said.
  """
  with subprocess.Popen(_command(source, output, '--workers=2'),
                        cwd=_ROOT,
                        stderr=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        text=True,
                        start_new_session=True) as process:
    while not begun():
      assert process.poll() is None
      time.sleep(0.002)
    send(process)
    said = process.communicate()[1]
  assert 'Traceback' not in said
  return process.returncode, said


@pytest.mark.parametrize('wait_s', [0.0, 0.3, 0.8])
def test_ctrl_c_ends_all_in_one_line(source, tmp_path, wait_s):
  output = tmp_path / 'records'

  def send(process):
    time.sleep(wait_s)
    os.killpg(process.pid, signal.SIGINT)

  code, said = _signal(source, output,
                       (output / '.unfinished' / 'settings.json').exists, send)
  if (output / 'manifest.json').exists():  # it was faster
    return
  assert code == 130 and 'Interrupted;' in said


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_ends_in_one_line_too(source, tmp_path, number):
  output = tmp_path / 'records'
  code, said = _signal(source, output, lambda: list(output.glob('*.tfrecord')),
                       lambda process: process.send_signal(number))
  assert 'leaked' not in said
  if (output / 'manifest.json').exists():  # it was faster
    return
  assert code == 128 + number
  assert said.splitlines()[-1].startswith(f'{number.name}: Interrupted;')


def test_workers_that_are_stuck_end_with_sigterm(source, tmp_path):
  log = tmp_path / 'log'
  log.touch()
  with subprocess.Popen(_command(source, tmp_path / 'records', '--workers=2'),
                        cwd=_ROOT,
                        env=signalled.environment('*.tfrecord',
                                                  1,
                                                  signal.SIGSTOP,
                                                  log=str(log)),
                        stderr=subprocess.PIPE,
                        text=True) as process:
    while len(log.read_text('utf-8').splitlines()) < 2:
      assert process.poll() is None
      time.sleep(0.01)
    process.terminate()
    try:
      said = process.communicate(timeout=60)[1]
    finally:
      process.kill()  # then its workers end, too
  assert process.returncode == 128 + signal.SIGTERM
  assert said.splitlines()[-1].startswith('SIGTERM: Interrupted;')


_STARTS_WORKERS = """
import os, signal, sys, threading, time
from hpa_records.runtime import process_pool

def interrupt():
  time.sleep(float(sys.argv[1]))
  os.kill(os.getpid(), signal.SIGINT)

try:
  threading.Thread(target=interrupt).start()
  process_pool.stop(process_pool.start(2))
  time.sleep(60)
except KeyboardInterrupt:
  print('interrupted')
"""


def test_ctrl_c_while_workers_start_and_stop_reaches_only_the_parent():
  # The other thread takes the signal, which the main thread has blocked.
  for wait_ms in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 30, 60):
    done = subprocess.run(
        [sys.executable, '-c', _STARTS_WORKERS, f'{wait_ms / 1000}'],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False)
    assert (done.stdout, done.stderr) == ('interrupted\n', '')


def test_workers_that_cannot_start_are_a_one_line_error():
  # Files that are there take the lowest numbers.
  code = ('from hpa_records.runtime import process_pool; '
          'import resource; '
          'resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6)); '
          'process_pool.start(2)')
  done = subprocess.run([sys.executable, '-c', code],
                        check=False,
                        capture_output=True,
                        text=True)
  assert done.stderr.splitlines()[-1].startswith(
      'hpa_records.runtime.errors.DataError: Cannot start 2 worker processes: '
      'Too many')


@pytest.mark.skipif(sys.version_info < (3, 11),
                    reason='Python 3.10 has no PYTHONSAFEPATH')
@pytest.mark.parametrize('name', ['multiprocessing', 'signal', 'struct'])
def test_workers_import_no_module_of_the_current_folder(source, tmp_path, name):
  (tmp_path / f'{name}.py').write_text('import os; os._exit(7)')
  command = _command(source, tmp_path / 'records', '--workers=2')
  command[1] = str(_ROOT / command[1])
  environment = {**os.environ, 'PYTHONPATH': str(_ROOT)}
  environment.pop('PYTHONSAFEPATH', None)  # the command sets it itself
  done = subprocess.run(command,
                        cwd=tmp_path,
                        env=environment,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 0, done.stderr
