"""benchmark: every row is there, and all did the same work. Never how fast."""

import copy
import json
import math
import os
import pathlib
import subprocess
import sys
import threading
import time

import benchmark_check
import benchmark_convert
import benchmark_peer
import benchmark_process
import benchmark_table
import numpy as np
import pytest

from hpa_records.format import example
from hpa_records.format import tfrecord
from hpa_records.runtime import errors
from hpa_records.synthetic import generator
from tests.support import fakes

_ROOT = pathlib.Path(__file__).parents[2]
_PEERS = {'ours', 'ours_2', 'pillow', 'graph', 'opencv', 'inflate'}
_STEPS = {
    'read', 'inflate, zlib', 'decode, kornia_rs', 'decode, OpenCV',
    'decode, Pillow', 'decode, tf.io', 'resize, OpenCV LINEAR, aliases',
    'resize, OpenCV AREA', 'resize, Pillow BILINEAR, 4 planes',
    'resize, Pillow BOX, 4 planes', 'resize, cykooz_resizer bilinear',
    'resize, tf.image antialias', 'histogram, cv2.calcHist', 'sha256', 'crc32c'
}
_NUM_SAMPLES = 6


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  folder = tmp_path_factory.mktemp('source')
  generator.make(str(folder), _NUM_SAMPLES + 2, size_px=128, workers=1)
  return str(folder / 'train.csv'), str(folder / 'train')


@pytest.fixture(name='done', scope='module')
def _done(source, tmp_path_factory):
  """One real run: (the finished process, the numbers, its folder)."""
  folder = tmp_path_factory.mktemp('benchmark')
  done = _run('convert', f'--csv={source[0]}', f'--images={source[1]}',
              f'--limit={_NUM_SAMPLES}', '--image_size=48', '--repeats=1',
              f'--workdir={folder / "work"}', f'--json={folder / "all.json"}')
  assert done.returncode == 0, done.stderr
  return done, json.loads((folder / 'all.json').read_text()), folder


def _run(*words):
  return subprocess.run(
      [sys.executable, _ROOT / 'tools' / 'benchmark.py', *words],
      check=False,
      capture_output=True,
      text=True)


def _numbers(value):
  """Yields all numbers of a JSON value with their keys."""
  items = value.items() if isinstance(value, dict) else enumerate(value)
  for key, inside in items:
    if isinstance(inside, (dict, list)):
      yield from _numbers(inside)
    elif isinstance(inside, (int, float)):
      yield key, inside


def test_all_rows_are_there_with_as_many_records(done):
  _, report, _ = done
  assert set(report['peers']) == _PEERS
  assert _STEPS <= {step['title'] for step in report['steps']}
  for peer in report['peers'].values():
    assert peer['num_records'] == _NUM_SAMPLES


def test_numbers_are_positive_and_finite(done):
  found = list(_numbers(done[1]))
  assert len(found) > 100
  for key, number in found:
    assert math.isfinite(number), key
    may_be_zero = key in ('mean_difference', 'worker_mib')
    assert number >= 0 if may_be_zero else number > 0, key


def test_both_tables_name_every_row_and_the_last_line_says_the_result(done):
  process, report, _ = done
  for row in [*report['peers'].values(), *report['steps']]:
    assert f'\n| {row["title"]} | ' in process.stdout
  assert process.stdout.splitlines()[-1].startswith('One core converts ')


def test_nothing_is_left_behind(done):
  assert not list((done[2] / 'work').iterdir())


def test_only_the_converter_with_two_workers_has_workers(done):
  workers = {k: p['worker_mib'] for k, p in done[1]['peers'].items()}
  if not pathlib.Path('/proc/self/status').exists():
    pytest.skip('memory of workers is told apart where there is /proc')
  assert {key for key, mib in workers.items() if mib} == {'ours_2'}


@pytest.mark.parametrize('words,received', [
    ([], 'received none'),
    (['convert', '--csv=none.csv', '--images=none'], 'none.csv'),
    (['convert', '--repeats=0'], 'repeats=0'),
    (['train', '--seconds=nan'], 'at most 86400'),
    (['train', '--peer=none.py'], 'none.py'),
    (['convert', '--limit=4'], 'at least 5, one sample a fold, received 4'),
])
def test_wrong_use_ends_with_one_line(words, received):
  done = _run(*words)
  assert (done.returncode, done.stdout) == (2, '')
  assert received in done.stderr and done.stderr.count('\n') == 1


def test_what_the_converter_refuses_is_told_in_its_line(source, tmp_path):
  csv = tmp_path / 'train.csv'
  rows = pathlib.Path(source[0]).read_text(encoding='utf-8').splitlines()
  csv.write_text('\n'.join(rows[:5]))
  done = _run('convert', f'--csv={csv}', f'--images={source[1]}')
  assert done.returncode == 2
  assert 'Traceback' not in done.stderr
  assert done.stderr.splitlines()[-1].startswith('Expected at least 5 samples')


def test_a_table_without_its_columns_is_refused(tmp_path):
  (tmp_path / 'a.csv').write_text('Name,Target\na,1\n')
  with pytest.raises(errors.DataError, match='columns Id,Target in row 1'):
    benchmark_convert.read_samples(str(tmp_path / 'a.csv'), str(tmp_path), 0)


def test_inflating_ends_with_a_filter_byte_a_row(source):
  sample = benchmark_convert.read_samples(*source, 1)[0]
  data = pathlib.Path(sample['files'][0]).read_bytes()
  assert len(benchmark_peer.inflate(data)) == 128 * 129


class _Memory(benchmark_process._Memory):  # pylint: disable=protected-access
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
  monkeypatch.setattr(benchmark_process, '_Memory', _Memory)
  code = ('import subprocess, sys; held = bytearray(30 << 20); '
          'code = "import sys, time; held = bytearray(90 << 20); '
          'time.sleep(0.5); open(sys.argv[1]).read()"; '
          'subprocess.run([sys.executable, "-c", code, sys.argv[1]]); '
          'print("said")')
  command = [sys.executable, '-c', code, str(_Memory.pipe)]
  finished = benchmark_process.run(command, 1)
  assert finished.stdout == 'said\n'
  assert finished.wall_s > 0.5 and 0 < finished.cpu_s < finished.wall_s
  if pathlib.Path('/proc/self/status').exists():
    assert 30 < finished.parent_mib < 90 < finished.worker_mib < 150


@pytest.mark.parametrize('code,error', [(1, RuntimeError),
                                        (2, errors.DataError)])
def test_a_command_that_fails_passes_on_what_it_said(code, error):
  text = f'import sys; print("why", file=sys.stderr); sys.exit({code})'
  with pytest.raises(error, match='why'):
    benchmark_process.run([sys.executable, '-c', text], 1)


def test_a_command_that_cannot_start_is_told(tmp_path):
  (tmp_path / 'python').touch()
  with pytest.raises(errors.DataError, match='Cannot start .*python: Perm'):
    benchmark_process.run([str(tmp_path / 'python')], 1)


def _write_record(path, sample_id, num_bytes):
  pixels = np.zeros(num_bytes, np.uint8)
  head = example.encode_head(example.Sample(sample_id, pixels))
  tfrecord.write(str(path), [(head, pixels)])


@pytest.mark.parametrize('sample_id,num_bytes', [('b', 16), ('a', 15)])
def test_records_of_other_work_are_found(tmp_path, sample_id, num_bytes):
  path = tmp_path / 'records'
  _write_record(path, 'a', 16)
  count, pixels = benchmark_check.read(str(path), 'a', 2)
  assert (count, pixels.shape) == (1, (2, 2, 4))
  _write_record(path, sample_id, num_bytes)
  with pytest.raises(RuntimeError, match='Expected a with .* among the 1 rec'):
    benchmark_check.read(str(path), 'a', 2)


def test_other_pixels_or_swapped_channels_are_found():
  ours = fakes.image(0)
  for same in (ours, np.zeros_like(ours)):
    assert benchmark_check.compare({'b': same, 'a': same}, 'b')['a'] == 0
  faint = ours // 64  # its channels lie less than 4 apart
  for image, other in ((ours, ours // 2), (ours, ours.swapaxes(0, 1)),
                       (faint, faint[..., [1, 0, 2, 3]])):
    with pytest.raises(RuntimeError, match='pixels of a within 4.0 of b'):
      benchmark_check.compare({'b': image, 'a': other}, 'b')


def test_a_rate_that_the_start_hides_is_left_out(done):
  report = copy.deepcopy(done[1])
  report['peers']['ours']['steady'] = 100.0
  report['peers']['ours_2']['steady'] = 150.0
  assert '1.50 without what' in benchmark_table.format_convert(report)
  report['peers']['ours_2']['steady'] = None
  assert 'not measured: too few' in benchmark_table.format_convert(report)
