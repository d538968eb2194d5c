"""benchmark predict: every way predicts the same images. Never how fast."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.prediction import measurement

_ROOT = pathlib.Path(__file__).parents[4]


@pytest.mark.soak  # eight programs that import TensorFlow, twice
@pytest.mark.parametrize('tta', ['none', 'dihedral'])
def test_all_ways_predict_the_same_and_stand_in_the_table(tmp_path, tta):
  done = subprocess.run([
      sys.executable, _ROOT / 'tools' / 'benchmark.py', 'predict', '--limit=12',
      '--image_size=32', '--seconds=0.1', '--repeats=1', '--folds=2',
      f'--tta={tta}', '--batch_size=8', f'--json={tmp_path / "all.json"}'
  ],
                        capture_output=True,
                        text=True,
                        check=False,
                        env=os.environ | {'PYTHONPATH': str(_ROOT)})
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'all.json').read_text())
  assert (found['num_images'], found['folds'], found['tta']) == (12, 2, tta)
  assert len(found['rates']) == 8 and len(found['ratios']) == 6
  assert all(rate > 0 for rates in found['rates'].values() for rate in rates)
  assert done.stdout.count('| hpa-predict, from ') == 2


def test_other_probabilities_are_refused():
  wanted = {'a': np.array([0.5, 0.1]), 'b': np.array([0.2, 0.3])}
  close = {**wanted, 'b': np.array([0.2, 0.305])}
  assert measurement.compare('onnx', close, wanted) == pytest.approx(0.005)
  for found, message in (({
      'a': wanted['a']
  }, 'onnx predicted 1 images, hpa-predict 2'), ({
      **wanted, 'b': np.array([0.2, 0.35])
  }, 'differ by 0.05'), ({
      **wanted, 'b': np.array([0.2, np.nan])
  }, 'differ by nan')):
    with pytest.raises(RuntimeError, match=message):
      measurement.compare('onnx', found, wanted)
