"""Conversions and trainings that are killed again and again, anywhere, end as
if they never were.

A conversion a few times in make test; in make soak 200 times, and a training 50
times. Each second kill comes before a rename, drawn by number, so that it is
the same one on every machine; the others come after a drawn time, somewhere in
between. A command that comes to its end in spite of that is compared and
started anew.
"""

import functools
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from hpa_records.runtime.tensorflow import tf
from tests.support import fakes
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parent.parent
_CONVERSION_KILLS, _TRAINING_KILLS = 200, 50  # in make soak
_EPOCHS = 12
_TIMES = ['images_per_s', 'input_wait']


class _Killed:
  """A command that is killed at random moments, and compared when it ends.

  Attributes:
    command: its words, without those that name its output.
    undisturbed: folder that it wrote when it was left alone.
  """

  def __init__(self, command, name, folder):
    self._command, self._name = command, name
    self.undisturbed, log = folder / 'undisturbed', folder / 'log'
    begun = time.monotonic()
    self._run(self.undisturbed, 0, str(log)).check_returncode()
    self._seconds = time.monotonic() - begun
    self._renames = len(log.read_text().splitlines())

  def _run(self, output, number, log='', timeout_s=None):
    """Runs the command; it is killed before a rename, or at a time."""
    command = [*self._command, f'--{self._name}={output}']
    environment = signalled.environment(f'{output}/*', number, signal.SIGKILL,
                                        'self', log)
    with subprocess.Popen(command,
                          cwd=_ROOT,
                          env=environment,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as process:
      try:
        process.wait(timeout_s)
      except subprocess.TimeoutExpired:
        process.kill()
      said = process.stderr.read()
    return subprocess.CompletedProcess(command, process.returncode, None, said)

  def check(self, kills, output, assert_same):
    """Kills it so many times, and then lets it end.

    Args:
      kills: how many times.
      output: folder that it writes.
      assert_same: called with output when it has ended.
    """
    rng, killed = random.Random(kills), 0
    while killed < kills:
      number, timeout_s = 0, None
      if killed % 2:
        number = rng.randint(1, max(2, self._renames // 6))
      else:
        timeout_s = rng.uniform(self._seconds / 4, self._seconds)
      done = self._run(output, number, timeout_s=timeout_s)
      killed += 1
      if done.returncode != -signal.SIGKILL:
        assert done.returncode == 0, done.stderr
        assert_same(output)
        shutil.rmtree(output)
    self._run(output, 0).check_returncode()
    assert_same(output)


def _content(folder):
  return {
      str(path.relative_to(folder)): path.read_bytes()
      for path in folder.rglob('*')
      if path.is_file()
  }


@pytest.fixture(name='conversion', scope='module')
def _conversion(tmp_path_factory):
  """120 samples in 60 shards of 1 MiB."""
  folder = tmp_path_factory.mktemp('kill_conversion')
  csv, images = fakes.write_source(folder, 120)
  return _Killed([
      sys.executable, 'tools/make_records.py', f'--csv={csv}',
      f'--images={images}', '--image_size=300', '--shard_mb=1', '--workers=1'
  ], 'output', folder)


@pytest.mark.parametrize(
    'kills', [4, pytest.param(_CONVERSION_KILLS, marks=pytest.mark.soak)])
def test_a_conversion_killed_at_random_moments_ends_with_the_same_bytes(
    conversion, tmp_path, kills):
  whole = _content(conversion.undisturbed)

  def assert_same(output):
    assert _content(output) == whole

  conversion.check(kills, tmp_path / 'records', assert_same)


@pytest.fixture(name='training', scope='module')
def _training(tmp_path_factory):
  folder = tmp_path_factory.mktemp('kill_training')
  records = fakes.write_records(folder, 60, 64)
  return _Killed([
      sys.executable, '-m', 'trainer.main', f'--records={records}',
      f'--epochs={_EPOCHS}', '--batch_size=8', '--steps_per_call=1',
      '--checkpoint_steps=2', '--distribute=cpu', '--plateau_patience=2',
      '--augment=all'
  ], 'workdir', folder)


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


def _assert_same_run(undisturbed, workdir):
  killed, undisturbed = workdir / 'fold0', undisturbed / 'fold0'
  for name in ('predictions.npz', f'checkpoints/epoch-{_EPOCHS:05d}.npz'):
    first, second = _arrays(killed / name), _arrays(undisturbed / name)
    assert first.keys() == second.keys()
    for key, value in first.items():
      np.testing.assert_array_equal(value, second[key])
  assert _state(killed) == _state(undisturbed)
  assert _state(killed)['plateau']['learning_rate'] < 0.1
  assert _logged(killed) == _logged(undisturbed)
  for name in ('metrics.json', 'best_metrics.json', 'per_class.csv'):
    assert (killed / name).read_text() == (undisturbed / name).read_text()
  histories = [
      pd.read_csv(each / 'history.csv').drop(columns=_TIMES)
      for each in (killed, undisturbed)
  ]
  pd.testing.assert_frame_equal(*histories, check_exact=True)


@pytest.mark.soak
def test_a_training_killed_at_random_moments_ends_the_same(training, tmp_path):
  training.check(_TRAINING_KILLS, tmp_path / 'run',
                 functools.partial(_assert_same_run, training.undisturbed))
