"""benchmark convert: every row is there, and all did the same work.

Never how fast.
"""

import copy
import json
import math
import pathlib

from benchmarks.conversion import convert
from benchmarks import table
import pytest

from hpa_records.runtime import errors
from hpa_records.synthetic import generator
from tests.support import prestarted

# Whole measurements take minutes.
pytestmark = pytest.mark.soak

_ROOT = pathlib.Path(__file__).parents[4]
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
  return prestarted.run([_ROOT / 'tools' / 'benchmark.py', *words])


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
  finished, report, _ = done
  for row in [*report['peers'].values(), *report['steps']]:
    assert f'\n| {row["title"]} | ' in finished.stdout
  assert finished.stdout.splitlines()[-1].startswith('One core converts ')


def test_five_16_bit_tiffs_are_converted_beside_tifffile(done):
  pytest.importorskip('tifffile')
  finished, report, _ = done
  peers = report['tiff']['peers']
  assert set(peers) == {'tiff_ours', 'tifffile'}
  for peer in peers.values():
    assert peer['num_records'] == _NUM_SAMPLES
    assert peer['mean_difference'] < 0.01  # Pillow's filter is the same
    assert f'\n| {peer["title"]} | ' in finished.stdout


def test_nothing_is_left_behind(done):
  assert not list((done[2] / 'work').iterdir())


def test_only_the_converter_with_two_workers_has_workers(done):
  workers = {k: p['worker_mib'] for k, p in done[1]['peers'].items()}
  if not pathlib.Path('/proc/self/status').exists():
    pytest.skip('memory of workers is told apart where there is /proc')
  assert {key for key, mib in workers.items() if mib} == {'ours_2'}


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
    convert.read_samples(str(tmp_path / 'a.csv'), str(tmp_path), 0)


def test_a_rate_that_the_start_hides_is_left_out(done):
  report = copy.deepcopy(done[1])
  report['peers']['ours']['steady'] = 100.0
  report['peers']['ours_2']['steady'] = 150.0
  assert '1.50 without what' in table.format_convert(report)
  report['peers']['ours_2']['steady'] = None
  assert 'not measured: too few' in table.format_convert(report)
