"""measurement: no step takes the others with it."""

import fcntl
import json
import sys

from benchmarks.device import child
from benchmarks.device import measurement
from benchmarks.device import report as report_lib
from benchmarks.device import resident
from benchmarks.device import step
from benchmarks.device import training
import numpy as np
import pytest

from trainer.network import gapnet

_HOLDS = ('import fcntl, sys, time; file = open(sys.argv[1], "w"); '
          'fcntl.flock(file, fcntl.LOCK_EX); print("begun", flush=True); '
          'time.sleep(600)')
_HANGS = ('import subprocess, sys; '
          f'subprocess.run([sys.executable, "-c", {_HOLDS!r}, sys.argv[1]])')


class _Code(step.Step):
  """Runs Python code, and then gives its row."""

  def __init__(self, name, code, error=None, needs_s=20.0):
    self.name, self.rows, self.needs_s = name, (f'{name}_1',
                                                f'{name}_2'), needs_s
    self._code, self._error = code, error

  def prepare(self, job):
    return [
        child.Child([sys.executable, '-c', self._code, f'{job.scratch}/held'],
                    job.scratch)
    ]

  def work(self, children, measured, limit_s):
    children[0].go()
    yield self.rows[0], {'number': 1.0}
    children[0].finish(limit_s)
    if self._error:
      raise self._error
    yield self.rows[1], {'after': len(measured)}


@pytest.fixture(name='rows', scope='module')
def _rows(tmp_path_factory):
  """The rows of steps of which some fail."""
  folder = tmp_path_factory.mktemp('measurement')
  job = step.Job(str(folder), '', '', 40, 16, (4,), 1, 0.1)
  report = report_lib.Report(str(folder / 'all.json'), {})
  measurement.measure(job, [
      _Code('good', ''),
      _Code('exits', 'raise SystemExit("one\\n\\ntwo\\n")'),
      _Code('hangs', _HANGS, needs_s=2.0),
      _Code('raises', '', KeyError('loss\nx')),
      resident.Peer((4,)),
      _Code('last', ''),
      _Code('long', '', needs_s=1000.0),
  ], report, 500)
  with open(folder / 'held', 'r', encoding='utf-8') as file:
    fcntl.flock(file, fcntl.LOCK_EX)  # nothing is left that holds it
  found = json.loads((folder / 'all.json').read_text())
  assert found['rows'] == report.rows and found['elapsed_s'] < 500
  return report.rows


@pytest.mark.parametrize('name,figures', [
    ('good_2', {'after': 1}),
    ('exits_2', {'failed': 'exit code 1: two'}),
    ('hangs_1', {'number': 1.0}),
    ('hangs_2', {'failed': 'stopped at its limit of 4 s; last line: begun'}),
    ('raises_2', {'failed': "KeyError: 'loss\\nx'"}),
    ('peer_4', {'left_out': 'no --peer'}),
    ('last_2', {'after': 12}),
])  # yapf: disable
def test_a_row_has_its_figures_or_why_not(rows, name, figures):
  assert rows[name] == figures


def test_a_step_that_needs_more_than_is_left_is_left_out(rows):
  assert 'of --budget_s left, needs 1000' in rows['long_1']['left_out']


def test_records_are_made_where_a_chosen_step_uses_them():

  def names(*keys):
    return [each.name for each in measurement.list_steps((80, 640), keys)]

  assert names('fed') == ['data', 'fed']
  assert names('peer') == ['peer']
  assert names()[:2] == ['resident_80', 'resident_640']
  assert sum(
      len(each.rows) for each in measurement.list_steps((80, 640), ())) == 21


def test_a_training_without_records_fails(tmp_path):
  job = step.Job(str(tmp_path), '', '', 40, 16, (4,), 1, 0.1)
  report = report_lib.Report(str(tmp_path / 'all.json'), {})
  measurement.measure(job, [training.Fed()], report, 500)
  assert report.rows['fed'] == {'failed': 'the records were not made'}


def test_bits_are_compared_not_values():
  ones = {'0': np.array([0.0, np.nan]), '1': np.ones(2, np.float32)}
  assert training.compare_bits(ones, dict(ones))['same_bits']
  for other in ({
      '0': np.array([-0.0, np.nan])
  }, {
      '1': np.ones(2)
  }, {
      '1': np.ones((1, 2), np.float32)
  }, {
      '2': np.ones(1)
  }):
    found = training.compare_bits(ones, ones | other)
    assert not found['same_bits'], other


def test_the_smallest_image_of_the_norm_variant_is_the_networks():
  assert resident.SMALLEST_PX == gapnet.SMALLEST_PX
