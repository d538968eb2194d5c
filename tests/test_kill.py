"""A training that is killed again and again, anywhere, ends as if it never was.

A few times in make test, twenty times in make soak.
"""

import json
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from hpa_records.backend import tf
from tests import fakes

_ROOT = pathlib.Path(__file__).parent.parent
_EPOCHS = 12
_TIMES = ['images_per_s', 'input_wait']


@pytest.fixture(name='command', scope='module')
def _command(tmp_path_factory):
  folder = tmp_path_factory.mktemp('kill')
  records = fakes.write_records(folder, 60, 64)
  return [
      sys.executable, '-m', 'trainer.main', f'--records={records}',
      f'--epochs={_EPOCHS}', '--batch_size=8', '--steps_per_call=1',
      '--checkpoint_steps=2', '--distribute=cpu', '--plateau_patience=2',
      '--augment=all'
  ]


@pytest.fixture(name='whole', scope='module')
def _whole(command, tmp_path_factory):
  """An undisturbed run: its folder, and the seconds that its training took."""
  folder = tmp_path_factory.mktemp('undisturbed')
  seconds = _run(command, folder, None)
  return folder / 'fold0', seconds


def _run(command, workdir, delay):
  """Runs to the end, or kills the run some seconds after training began.

  Returns:
    Seconds of training; None if the run was killed.
  """
  with subprocess.Popen([*command, f'--workdir={workdir}'],
                        cwd=_ROOT,
                        text=True,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as process:
    begun = time.monotonic()  # where it is finished already
    for line in process.stdout:
      if ' held out: ' in line:
        begun = time.monotonic()
        if delay is not None:
          threading.Timer(delay, process.kill).start()
    errors = process.stderr.read()
  if delay is not None:
    return None
  assert process.returncode == 0, errors
  return time.monotonic() - begun


def _arrays(path):
  with np.load(path) as file:
    return {name: file[name] for name in file.files if name != 'state'}


def _state(directory):
  """What the last checkpoint says beside the weights, times aside."""
  with np.load(directory / 'checkpoints' / f'epoch-{_EPOCHS:05d}.npz') as file:
    state = json.loads(str(file['state']))
  for row in state['history']:
    for name in _TIMES:
      del row[name]
  return state


def _logged(directory):
  """All that TensorBoard shows, times aside: {(name, epoch): values}."""
  found = {}
  for path in (directory / 'tensorboard').iterdir():
    # A file that was cut off ends early.
    for event in _events(path):
      for value in event.summary.value:
        if value.tag not in _TIMES:
          found.setdefault((value.tag, event.step),
                           set()).add(value.tensor.SerializeToString())
  return found


def _events(path):
  try:
    yield from tf.compat.v1.train.summary_iterator(str(path))
  except tf.errors.DataLossError:
    pass


@pytest.mark.parametrize('kills', [3, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_random_moments_it_ends_the_same(command, whole, tmp_path,
                                                   kills):
  undisturbed, seconds = whole
  rng = np.random.default_rng(kills)
  for _ in range(kills):
    _run(command, tmp_path, rng.uniform(0, 2 * seconds / kills))
  _run(command, tmp_path, None)
  killed = tmp_path / 'fold0'
  for name in ('scores.npz', f'checkpoints/epoch-{_EPOCHS:05d}.npz'):
    first, second = _arrays(killed / name), _arrays(undisturbed / name)
    assert first.keys() == second.keys()
    for key, value in first.items():
      np.testing.assert_array_equal(value, second[key])
  assert _state(killed) == _state(undisturbed)
  assert _state(killed)['plateau']['learning_rate'] < 0.1
  assert _logged(killed) == _logged(undisturbed)
  for name in ('scores.json', 'best_scores.json', 'per_class.csv'):
    assert (killed / name).read_text() == (undisturbed / name).read_text()
  histories = [
      pd.read_csv(each / 'history.csv').drop(columns=_TIMES)
      for each in (killed, undisturbed)
  ]
  pd.testing.assert_frame_equal(*histories, check_exact=True)
