"""benchmark remote: every way reads records from the server. Never how fast."""

import json
import os
import pathlib

import pytest

from tests.support import fakes
from tests.support import prestarted

# A whole measurement takes a minute.
pytestmark = pytest.mark.soak

_ROOT = pathlib.Path(__file__).parents[4]


def test_all_ways_read_and_stand_in_the_table(tmp_path):
  records = fakes.write_records(tmp_path, 20, 16)
  done = prestarted.run([
      _ROOT / 'tools' / 'benchmark.py', 'remote', f'--records={records}',
      '--io_python=', '--latency_ms=1', '--seconds=0.1', '--repeats=1',
      '--batch_size=4', f'--json={tmp_path / "all.json"}'
  ],
                        env=os.environ | {'PYTHONPATH': str(_ROOT)})
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'all.json').read_text())
  assert found['rates'].keys() == {'http', 's3'}
  for ways in found['rates'].values():
    assert ways.keys() == {'cat_ranges', 'cat_ranges_long', 'indexed'}
    assert all(rate > 0 for rates in ways.values() for rate in rates)
  assert done.stdout.count('| indexed reader |') == 2
