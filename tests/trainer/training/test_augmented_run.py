"""Runs with every augmentation on: resumed, and on two devices, they are equal.
"""

import dataclasses
import json
import pathlib
import signal
import subprocess

import numpy as np
import pytest

from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import runs
from tests.support import signalled
from tests.trainer.augmentation import test_chain
from trainer import config as config_lib
from trainer.recipe import optimization
from trainer.training import loop

# On as many logical devices as asked for, which are set before TensorFlow
# starts them.
_ON_DEVICES = '''
import json
import sys
from hpa_records.runtime import process
process.take()
from hpa_records.runtime.tensorflow import tf
from trainer import config
from trainer.training import loop
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
loop.train(config.Config(**json.loads(sys.argv[1])))
'''


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """40 to train on, in batches of 16: the last is not full."""
  return fakes.write_records(tmp_path_factory.mktemp('augmented'), 50, 32)


@pytest.fixture(name='whole', scope='module')
def _whole(records, tmp_path_factory):
  config = runs.configure(records,
                          tmp_path_factory.mktemp('whole'),
                          augment='all',
                          remedial=True,
                          **test_chain.ALL)
  loop.train(config)
  return config


def test_a_killed_run_that_is_resumed_ends_the_same(whole, tmp_path):
  config = dataclasses.replace(whole,
                               workdir=str(tmp_path),
                               checkpoint_steps=1,
                               steps_per_call=1)
  names = ('augment', 'remedial', *test_chain.ALL)
  flags = [f'--{name}={getattr(config, name)}' for name in names]
  done = subprocess.run([*runs.command(config), *flags],
                        cwd=runs.ROOT,
                        env=signalled.environment(
                            '*/checkpoints/epoch-00001-step-0000002.npz', 1,
                            signal.SIGKILL),
                        capture_output=True,
                        check=False)
  assert done.returncode == -signal.SIGKILL, done.stderr
  said = runs.go_on(config, *names)
  assert 'after epoch 1, step 1 of the next' in said
  runs.assert_same_end(tmp_path / 'fold1',
                       pathlib.Path(whole.workdir) / 'fold1')


def test_two_devices_with_a_cache_train_as_one(whole, tmp_path):
  changes = {
      'workdir': str(tmp_path),
      'distribute': 'mirrored',
      'cache': 'device'
  }
  values = dataclasses.asdict(dataclasses.replace(whole, **changes))
  done = runs.call('-c', _ON_DEVICES, json.dumps(values))
  assert done.returncode == 0, done.stderr
  assert 'on 2 CPUs.' in done.stdout
  name = f'fold1/checkpoints/epoch-{runs.EPOCHS:05d}.npz'
  first, second = (runs.arrays(pathlib.Path(each) / name)
                   for each in (tmp_path, whole.workdir))
  assert first.keys() == second.keys()
  for key in first.keys() - {'state'}:
    np.testing.assert_allclose(first[key], second[key], rtol=0, atol=1e-5)


def test_pairs_need_an_even_batch_and_a_loss_of_mixed_labels(records, tmp_path):
  config = runs.configure(records, tmp_path, batch_size=15, mixup=0.2)
  with pytest.raises(errors.DataError, match='divisible by 2, .*pass 14 or 16'):
    loop.train(config)
  for name in ('mixup', 'cutmix'):
    for loss in optimization.UNMIXED:
      with pytest.raises(errors.DataError, match='pass --loss=focal'):
        config_lib.Config('r', 'w', loss=loss, **{name: 1.0})


def test_settings_that_the_data_rule_out_are_refused(tmp_path):
  with pytest.raises(errors.DataError, match='leave --remedial out'):
    config_lib.Config('r', 'w', loss='softmax', remedial=True)
  records = fakes.write_records(tmp_path / 'records',
                                20,
                                16,
                                description=fakes.describe(2))
  with pytest.raises(errors.DataError, match='has 2; leave --rana_mix out'):
    loop.train(runs.configure(records, tmp_path / 'run', rana_mix=0.5))
