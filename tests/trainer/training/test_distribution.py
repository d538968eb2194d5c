"""Several devices and several workers give the numbers of one."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from tests.support import fakes
from tests.support import port
from tests.support import prestarted
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[3]
_EPOCHS = 7  # of three steps
# At the default of 0.1, a rounding that moves the largest of a pool grows to
# 4e-4 in seven epochs; at this rate it stays below 1e-7.
_RATE = 0.01
# One process a number of logical devices: they are set before TensorFlow
# starts them. Trains one epoch, then goes on to the last.
_ON_DEVICES = '''
import json
import sys
from hpa_records.runtime import cli
from hpa_records.runtime import process
process.take()
from hpa_records.runtime.tensorflow import tf
from trainer import config
from trainer.training import loop
(count, records, workdir, cache, batch_size, variant, mask,
 recipe) = sys.argv[1:]
recipe = json.loads(recipe)
sys.argv = sys.argv[:1]
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * int(count))
def main():
  plain = (variant, mask, len(recipe)) == ('original', 'example', 1)
  for epochs in (1, 7) if plain else (1,):
    loop.train(config.Config(records, f'{workdir}/{epochs}', epochs=epochs,
                             batch_size=int(batch_size), augment='all',
                             cache=cache, distribute='mirrored',
                             variant=variant, dropout_mask=mask, **recipe))
cli.run(main)
'''

# Joins as a worker of TF_CONFIG; the second goes on, the chief never does.
_JOINED = '''
import sys
from hpa_records.runtime import cli
from hpa_records.runtime import process
process.take()
from trainer import strategy
def main():
  joined = strategy.make('multi_worker')
  print('joined', flush=True)
  if strategy.is_chief(joined):
    sys.stdin.read()
  strategy.check_alike(joined, {'the records': 0})
cli.run(main)
'''


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """Records of 50 samples: 40 to train on, with a batch that is not full."""
  folder = tmp_path_factory.mktemp('distribution')
  fakes.write_records(folder, 50, 32)
  return folder


def _weights(run, epochs):
  """Weights and momentum after the last epoch."""
  path = run / 'fold0' / 'checkpoints' / f'epoch-{epochs:05d}.npz'
  with np.load(path) as file:
    return {key: file[key] for key in file.files if key != 'state'}


def _run_on_devices(folder,
                    name,
                    count,
                    cache='none',
                    batch_size=16,
                    variant='original',
                    mask='example',
                    **recipe):
  arguments = [
      count, folder / 'records', folder / name, cache, batch_size, variant,
      mask,
      json.dumps({'learning_rate': _RATE} | recipe)
  ]
  return prestarted.run(['-c', _ON_DEVICES, *map(str, arguments)])


@pytest.fixture(name='one', scope='module')
def _one(folder):
  """Folder of the runs on one device."""
  done = _run_on_devices(folder, 'one', 1)
  assert done.returncode == 0, done.stderr
  return folder / 'one'


def _assert_close(run, other, epochs, bound):
  first, second = _weights(run, epochs), _weights(other, epochs)
  assert first.keys() == second.keys()
  assert max(np.abs(first[key] - second[key]).max() for key in first) <= bound


@pytest.mark.parametrize('count,cache', [
    (2, 'device'),
    pytest.param(4, 'none', marks=pytest.mark.soak),
])
def test_several_devices_train_as_one(folder, one, count, cache):
  done = _run_on_devices(folder, f'of{count}', count, cache)
  assert done.returncode == 0, done.stderr
  assert f'on {count} CPUs.' in done.stdout
  for epochs in (1, _EPOCHS):
    _assert_close(folder / f'of{count}' / str(epochs), one / str(epochs),
                  epochs, 1e-6)


def test_batch_norm_rates_and_loss_are_those_of_the_whole_batch(tmp_path):
  # One batch of ten, five on each of two devices.
  fakes.write_records(tmp_path, 20, 149, num_folds=2)
  for count in (1, 2):
    done = _run_on_devices(tmp_path,
                           f'of{count}',
                           count,
                           batch_size=10,
                           variant='kaggle',
                           loss='lovasz_softmax',
                           stem_rate=0.1)
    assert done.returncode == 0, done.stderr
  _assert_close(tmp_path / 'of2' / '1', tmp_path / 'of1' / '1', 1, 1e-5)


# The gradients of batch norm over four images enlarge what is rounded, and
# Adam's first step is the sign of each.
@pytest.mark.parametrize('variant,size_px,optimizer,rate,bound', [
    ('original', 32, 'adamw', 1e-3, 1e-5),
    pytest.param('kaggle', 149, 'sgd', 0.1, 1e-3, marks=pytest.mark.soak),
])
def test_several_devices_share_the_parts_of_a_step(tmp_path, variant, size_px,
                                                   optimizer, rate, bound):
  fakes.write_records(tmp_path, 16, size_px, num_folds=2)
  for count in (1, 2):
    done = _run_on_devices(tmp_path,
                           f'of{count}',
                           count,
                           batch_size=8,
                           variant=variant,
                           optimizer=optimizer,
                           learning_rate=rate,
                           weight_decay=0.1,
                           activation='probact',
                           schedule='cosine',
                           ema=0.9,
                           accumulate=2,
                           class_weights='inverse')
    assert done.returncode == 0, done.stderr
  one, two = tmp_path / 'of1' / '1', tmp_path / 'of2' / '1'
  _assert_close(two, one, 1, bound)
  first, second = _weights(one, 1), _weights(two, 1)
  for name in first:  # moments of other parts would differ by .02
    if 'moving' in name:
      np.testing.assert_allclose(second[name], first[name], rtol=0, atol=1e-5)


@pytest.mark.soak
def test_several_devices_share_one_mask_of_dropout(folder, one):
  for count in (1, 2):
    done = _run_on_devices(folder, f'mask{count}', count, mask='batch')
    assert done.returncode == 0, done.stderr
  _assert_close(folder / 'mask2' / '1', folder / 'mask1' / '1', 1, 1e-6)
  with pytest.raises(AssertionError):
    _assert_close(folder / 'mask1' / '1', one / '1', 1, 1e-6)


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest(folder):
  done = _run_on_devices(folder, 'refused', 4, batch_size=18)
  assert done.returncode == 2
  assert done.stderr.strip() == (
      'Expected --batch_size divisible by 4, for 4 replicas, received 18; pass '
      '16 or 20.')


@pytest.fixture(name='ports', scope='module')
def _ports():
  with port.reserve(2) as ports:
    yield ports


def _start_workers(folder,
                   name,
                   ports,
                   chief_environment=None,
                   flags=(),
                   common=()):
  """Starts two workers of one cluster on loopback; flags are the second's."""
  workers = [f'127.0.0.1:{number}' for number in ports]
  command = [
      *prestarted.find_python(), '-m', 'trainer.main',
      f'--records={folder / "records"}', f'--workdir={folder / name}',
      f'--epochs={_EPOCHS}', '--batch_size=16', '--augment=all',
      f'--learning_rate={_RATE}', *common
  ]
  started = []
  for index in range(2):
    task = {'type': 'worker', 'index': index}
    # Job managers list jobs that have no process, too.
    cluster = {'chief': [], 'worker': workers, 'ps': None}
    config = json.dumps({'cluster': cluster, 'task': task})
    started.append(
        subprocess.Popen(  # pylint: disable=consider-using-with
            [*command, *(flags if index else ())],
            cwd=_ROOT,
            env={
                **os.environ, 'TF_CONFIG': config,
                **(chief_environment or {} if index == 0 else {})
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True))
  return started


def _end(worker):
  """Returns (exit code, stdout, stderr) of a worker that ends by itself."""
  out, err = worker.communicate(timeout=600)
  return worker.returncode, out, err


@pytest.fixture(name='two', scope='module')
def _two(folder, ports):
  """What two workers said, undisturbed: (chief's, other's)."""
  return tuple(map(_end, _start_workers(folder, 'two', ports)))


def test_two_workers_train_as_one_and_the_chief_writes(folder, one, two):
  for code, _, said in two:
    assert code == 0, said
  assert 'on 2 CPUs of 2 workers.' in two[0][1]
  assert f'epoch {_EPOCHS}/{_EPOCHS}' in two[0][1]
  assert 'epoch 1/' not in two[1][1]
  # What is asked for after one step still holds after the last, the 21st.
  _assert_close(folder / 'two', one / str(_EPOCHS), _EPOCHS, 1e-6)


def test_a_killed_worker_is_told_and_a_restart_ends_the_same(
    folder, two, ports):
  assert two[0][0] == 0
  # The chief stops in the third epoch, which it cannot end alone.
  stop = signalled.environment('*/epoch-00003.npz', 1, signal.SIGSTOP)
  started = _start_workers(folder, 'killed', ports, stop)
  chief, other = started[0], started[1]
  signalled.wait_stopped(chief)
  other.kill()
  other.wait()
  chief.send_signal(signal.SIGCONT)
  code, _, said = _end(chief)
  _end(other)
  assert code == 1 and 'Traceback' not in said
  assert f'The worker 127.0.0.1:{ports[1]} of TF_CONFIG was lost: ' in said
  assert 'start the same command on all of them again' in said
  assert 'Graph execution error' not in said
  assert not (folder / 'killed' / 'fold0' / 'metrics.json').exists()
  for code, _, said in map(_end, _start_workers(folder, 'killed', ports)):
    assert code == 0, said
  _assert_close(folder / 'killed', folder / 'two', _EPOCHS, 0)


def test_a_signal_to_one_worker_ends_all_where_the_chief_saved(
    folder, two, ports):
  assert two[0][0] == 0
  # The chief stops in the third epoch, while the signal comes to the other.
  stop = signalled.environment('*/epoch-00003.npz', 1, signal.SIGSTOP)
  started = _start_workers(folder,
                           'asked',
                           ports,
                           stop,
                           common=['--steps_per_call=1'])
  chief, other = started[0], started[1]
  signalled.wait_stopped(chief)
  other.terminate()
  chief.send_signal(signal.SIGCONT)
  ended = [_end(each) for each in (chief, other)]
  for code, _, said in ended:
    assert code == 128 + signal.SIGTERM and 'Traceback' not in said, said
  lines = [said.splitlines()[-1] for _, _, said in ended]
  saved = re.fullmatch(
      r'SIGTERM: saved (after epoch (\d+)(?:, step (\d+) of the next)?) at '
      r'.*/asked/fold0; run the same command to continue\.', lines[0])
  assert saved and int(saved[2]) >= 3, lines[0]
  assert lines[1] == (f'SIGTERM: stopped {saved[1]} with all workers; run the '
                      'same command to continue.')
  assert 'saved' not in ended[1][2]
  inside = f'-step-{int(saved[3]):07d}' if saved[3] else ''
  name = f'epoch-{int(saved[2]):05d}{inside}.npz'
  assert (folder / 'asked' / 'fold0' / 'checkpoints' / name).exists()
  ended = [_end(each) for each in _start_workers(folder, 'asked', ports)]
  for code, _, said in ended:
    assert code == 0, said
  assert f'/asked/fold0 {saved[1]}.' in ended[0][1]
  _assert_close(folder / 'asked', folder / 'two', _EPOCHS, 0)


def test_a_worker_that_waits_for_the_others_can_be_ended(folder, ports):
  started = _start_workers(folder, 'alone', ports)
  chief, other = started[0], started[1]
  other.kill()
  _end(other)
  for line in chief.stderr:
    if 'is waiting for the others' in line:
      break
  chief.terminate()
  assert _end(chief)[0] == -signal.SIGTERM


def test_a_worker_that_is_ahead_of_the_others_can_be_ended(ports):
  workers = [f'127.0.0.1:{number}' for number in ports]
  started = []
  for index in range(2):
    config = json.dumps({
        'cluster': {
            'worker': workers
        },
        'task': {
            'type': 'worker',
            'index': index
        }
    })
    started.append(
        subprocess.Popen(  # pylint: disable=consider-using-with
            [*prestarted.find_python(), '-c', _JOINED],
            cwd=_ROOT,
            env=os.environ | {'TF_CONFIG': config},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True))
  chief, ahead = started[0], started[1]
  assert ahead.stdout.readline() == 'joined\n'
  time.sleep(3)  # it is killed before it waits, too
  ahead.terminate()
  try:
    assert ahead.wait(60) == -signal.SIGTERM
  finally:
    chief.kill()
    ahead.kill()
    _end(chief)
    _end(ahead)


def test_workers_of_other_settings_are_refused(folder, ports):
  flags = ['--batch_size=8', '--seed=1']
  for code, _, said in map(_end,
                           _start_workers(folder, 'other', ports, flags=flags)):
    assert code == 2
    assert 'The workers of TF_CONFIG differ in batch_size, seed; ' in said


def test_a_workdir_that_others_do_not_see_is_refused(folder, two, ports):
  assert two[0][0] == 0
  begun = shutil.copytree(folder / 'two', folder / 'begun')
  (begun / 'fold0' / 'metrics.json').unlink()
  started = _start_workers(folder,
                           'begun',
                           ports,
                           flags=[f'--workdir={folder / "unseen"}'])
  for code, _, said in map(_end, started):
    assert code == 2
    assert 'differ in the checkpoint to resume from; ' in said
