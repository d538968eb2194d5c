"""benchmark train: the ways train one network, and ratios are of their rates.

Never how fast.
"""

import json
import pathlib

from benchmarks import train
import pytest

from hpa_records.runtime import errors
from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parents[3]
_SAID = '''PT bn=1 amp=1 default          B=   4       300 img/s   3.3 ms/step
PT bn=0 amp=1 reduce-overhead  B=   4       200 img/s   3.3 ms/step
PT bn=0 amp=1 default          B=   4       100 img/s   3.3 ms/step
PT bn=0 amp=1 default          B= 640       900 img/s   3.3 ms/step
'''


def test_ours_is_set_beside_keras_and_a_peer(tmp_path):
  peer = tmp_path / 'peer.py'
  peer.write_text(f'print("""{_SAID}""")')
  done = prestarted.run([
      _ROOT / 'tools' / 'benchmark.py', 'train', '--image_size=32',
      '--batch_size=4', '--seconds=0.1', '--repeats=1', '--steps=2',
      f'--peer={peer}', f'--json={tmp_path / "all.json"}'
  ])
  assert done.returncode == 0, done.stderr
  report = json.loads((tmp_path / 'all.json').read_text())
  ours = report['ways']['ours']['median']
  assert ours > 0 and report['ways']['keras']['median'] > 0
  assert report['ratios']['peer'] == pytest.approx(ours / 200)
  assert f'| peer.py | 200 | 200.0–200.0 | {ours / 200:.2f} |' in done.stdout


def test_a_peer_without_that_batch_is_told():
  assert train.read_peer(_SAID, 640) == 900
  assert train.read_peer(_SAID, 4, norm=True) == 300
  with pytest.raises(errors.DataError, match='"bn=0 … B=80 … img/s" of --peer'):
    train.read_peer(_SAID, 80)
