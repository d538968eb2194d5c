"""benchmark device: every row is measured on the CPU too. Never how fast."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parents[4]
_LINE = 'PT bn={} amp=1 default B={:4d} {} img/s 3.3 ms/step compile 1.0s'
_SAID = [
    _LINE.format(norm, batch, 10 * batch) for norm in (1, 0) for batch in (4, 8)
]
_BATCHES = [
    f'{kind}_{batch}{norm}' for norm in ('', '_norm') for batch in (4, 8)
    for kind in ('resident', 'memory')
]
_SMALL = ('--limit=40', '--image_size=16', '--batch_sizes=4,8', '--seconds=0.1',
          '--steps_per_call=2')


def _words(folder, said, then, *words):
  """The command, with a peer that prints lines and then runs code."""
  peer = folder / 'peer.py'
  peer.write_text(f'print({chr(10).join(said)!r}, flush=True)\n{then}\n')
  return [
      _ROOT / 'tools' / 'benchmark.py', 'device', *_SMALL, f'--peer={peer}',
      f'--output={folder / "all.json"}', f'--workdir={folder / "work"}',
      '--peers_python=', *words
  ]


def _run(folder, *arguments):
  """Returns (exit code, stdout, stderr, rows)."""
  done = prestarted.run(_words(folder, *arguments))
  return done.returncode, done.stdout, done.stderr, _read(folder)


def _read(folder):
  path = folder / 'all.json'
  return json.loads(path.read_text())['rows'] if path.exists() else {}


def _measure(folder, *words):
  """One real run, without limits: (stdout, rows, folder)."""
  code, out, err, rows = _run(folder, _SAID, '', '--budget_s=50000', *words)
  assert code == 0, err + out
  return out, rows, folder


@pytest.fixture(name='few', scope='module')
def _few(tmp_path_factory):
  """A run of a few steps, each of another kind."""
  return _measure(tmp_path_factory.mktemp('few'),
                  '--only=resident_4,peer,trained')


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  """A run of everything, which starts a dozen processes."""
  return _measure(tmp_path_factory.mktemp('whole'))


@pytest.fixture(name='done',
                params=['few',
                        pytest.param('whole', marks=pytest.mark.soak)])
def _done(request):
  return request.getfixturevalue(request.param)


@pytest.mark.soak
def test_every_row_is_measured_and_printed_as_its_own_line(whole):
  out, rows, _ = whole
  assert sorted(rows) == sorted(_BATCHES + [
      'data', 'peer', 'peer_4', 'peer_8', 'peer_4_norm', 'peer_8_norm',
      'device_cache', 'evaluation', 'epoch', 'fed', 'kernels', 'bfloat16',
      'deterministic'
  ])
  _assert_printed(out, rows)


def _assert_printed(out, rows):
  """Each row has a line, and none failed."""
  lines = [line.partition('] ')[2] for line in out.splitlines() if '] ' in line]
  assert [line.partition(':')[0] for line in lines] == list(rows)
  assert not {'failed', 'left_out'
             } & {key for row in rows.values() for key in row}


def test_the_rows_of_chosen_steps_are_printed_as_lines(few):
  out, rows, _ = few
  assert sorted(rows) == sorted([
      'resident_4', 'memory_4', 'data', 'peer', 'peer_4', 'peer_8',
      'peer_4_norm', 'peer_8_norm', 'device_cache', 'evaluation', 'epoch'
  ])
  _assert_printed(out, rows)


_RATES = [
    *(name for name in _BATCHES if name.startswith('resident')), 'device_cache',
    'evaluation', 'fed', 'deterministic'
]


def test_rates_are_positive(done):
  rows = [done[1][name] for name in _RATES if name in done[1]]
  assert len(rows) in (3, len(_RATES))
  assert all(0 < row['images_per_s'] < 1e6 for row in rows)


@pytest.mark.parametrize('row,key,above,below', [
    ('peer_4', 'ours_over_peer', 'resident_4', 'peer_4'),
    ('device_cache', 'part_of_resident', 'device_cache', 'resident_4'),
])
def test_like_is_compared_with_like(done, row, key, above, below):
  rows = done[1]
  assert rows[row][key] == pytest.approx(rows[above]['images_per_s'] /
                                         rows[below]['images_per_s'])


@pytest.mark.soak
@pytest.mark.parametrize('row,key,above,below', [
    ('peer_8', 'ours_over_peer', 'resident_8', 'peer_8'),
    ('resident_4_norm', 'over_peer', 'resident_4_norm', 'peer_4_norm'),
    ('resident_8_norm', 'over_peer', 'resident_8_norm', 'peer_8_norm'),
    ('fed', 'part_of_device_cache', 'fed', 'device_cache'),
    ('deterministic', 'part_of_device_cache', 'deterministic', 'device_cache'),
])
def test_like_is_compared_with_like_in_all_rows(whole, row, key, above, below):
  test_like_is_compared_with_like(whole, row, key, above, below)


def test_an_epoch_has_all_images_and_its_parts(done):
  row = done[1]['epoch']
  assert row['images_trained'] + row['images_evaluated'] == 40
  assert 0 < row['steps_s'] and 0 < row['evaluation_s'] and row['seconds'] > 0
  assert len(row['all_seconds']) == 3
  assert row['seconds'] == pytest.approx(row['steps_s'] + row['evaluation_s'] +
                                         row['rest_s'])
  assert row['paper_minutes'] == pytest.approx(row['seconds'] * 800 / 60)


def test_memory_is_plausible(done):
  found = [
      done[1][name]['peak_mb']
      for name in _BATCHES
      if name.startswith('memory') and name in done[1]
  ]
  assert len(found) in (1, 4) and all(100 < each < 1e5 for each in found)


@pytest.mark.soak
def test_numbers_are_plausible(whole):
  rows = whole[1]
  for key in ('loss', 'val_loss'):
    assert rows['bfloat16'][key] == pytest.approx(
        rows['bfloat16'][f'{key}_float32'], rel=0.2)
  for key in ('f1_macro', 'f1_micro'):
    assert 0 <= rows['bfloat16'][key] <= 1
  assert rows['deterministic']['same_bits']
  assert rows['deterministic']['arrays'] == rows['deterministic'][
      'arrays_equal'] > 30


@pytest.mark.soak
def test_the_profile_is_of_the_training_and_each_kernel_has_a_line(whole):
  out, rows, _ = whole
  kernels = rows['kernels']['kernels']
  assert len(kernels) == 15 and rows['kernels']['busy_ms'] > 0
  assert [each[1] for each in kernels] == sorted((each[1] for each in kernels),
                                                 reverse=True)
  assert any('train' in name for name, _, _ in kernels)
  assert all(f'  {name}\n' in out for name, _, _ in kernels)


def test_nothing_is_left_behind(done):
  assert not list((done[2] / 'work').iterdir())


def test_a_peer_that_fails_leaves_the_other_rows(tmp_path):
  code, out, err, rows = _run(tmp_path, _SAID[:3], 'raise ValueError("odd")',
                              '--only=peer,data')
  assert code == 1 and err.count('\n') == 1
  assert err.startswith('Rows that failed: peer, peer_8; ')
  assert rows['data']['samples'] == 40
  assert rows['peer']['failed'] == 'exit code 1: ValueError: odd'
  assert rows['peer_4']['images_per_s'] == 40
  assert rows['peer_8']['failed'] == rows['peer']['failed']
  assert 'peer_8: failed exit code 1: ValueError: odd' in out


def test_what_was_measured_before_a_signal_is_kept(tmp_path):
  words = _words(tmp_path, _SAID, 'import time; time.sleep(1000)',
                 '--only=peer,data')
  with subprocess.Popen([sys.executable, *words],
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        env=os.environ | {'PYTHONPATH': str(_ROOT)}) as process:
    while process.poll() is None and 'data' not in _read(tmp_path):
      time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate()
  assert process.returncode == 128 + signal.SIGTERM
  assert list(_read(tmp_path)) == ['data']
  assert not list((tmp_path / 'work').iterdir())


def test_rows_that_no_longer_fit_are_left_out(tmp_path):
  code, _, err, rows = _run(tmp_path, _SAID, '', '--budget_s=1')
  assert code == 0, err
  assert len(rows) == 21
  assert all(
      ' of --budget_s left, needs ' in row['left_out'] for row in rows.values())


@pytest.mark.parametrize('word,received', [
    ('--output=', '--output is missing'),
    ('--batch_sizes=4,0', "received '4,0'"),
    ('--batch_sizes=4,4', "received '4,4'"),
    ('--only=memcpy', "received 'memcpy'"),
    ('--limit=9', 'received 9'),
    ('--budget_s=nan', 'at most 86400'),
])
def test_wrong_use_ends_with_one_line(tmp_path, word, received):
  code, out, err, _ = _run(tmp_path, _SAID, '', word)
  assert (code, out) == (2, '')
  assert received in err and err.count('\n') == 1
