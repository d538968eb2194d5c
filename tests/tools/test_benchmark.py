"""tools/benchmark.py: wrong use ends with one line."""

import pathlib

import pytest

from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize('words,received', [
    ([], 'received none'),
    (['convert', '--csv=none.csv', '--images=none'], 'none.csv'),
    (['convert', '--repeats=0'], 'repeats=0'),
    (['train', '--seconds=nan'], 'at most 86400'),
    (['train', '--peer=none.py'], 'none.py'),
    (['convert', '--limit=4'], 'at least 5, one sample a fold, received 4'),
])
def test_wrong_use_ends_with_one_line(words, received):
  done = prestarted.run([_ROOT / 'tools' / 'benchmark.py', *words])
  assert (done.returncode, done.stdout) == (2, '')
  assert received in done.stderr and done.stderr.count('\n') == 1
