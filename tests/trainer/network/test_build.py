"""build: which networks XLA compiles, alone and over several devices."""

import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[3]
# Logical devices are set before TensorFlow starts them.
_ON_TWO_DEVICES = '''
from hpa_records.runtime import process
process.take()
from hpa_records.runtime.tensorflow import tf
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer import config
from trainer import strategy
from trainer.network import build
one, two = (tf.distribute.MirroredStrategy(names)
            for names in (['/cpu:0'], ['/cpu:0', '/cpu:1']))
for xla, variant, model in (('on', 'original', 'gapnet_pl'),
                            ('on', 'kaggle', 'gapnet_pl'),
                            ('on', 'original', 'resnet50'),
                            ('off', 'original', 'gapnet_pl')):
  chosen = config.Config('', '', xla=xla, variant=variant, model=model)
  print(build.is_compiled(chosen, one), build.is_compiled(chosen, two))
'''


def test_batch_norm_over_several_devices_is_not_compiled():
  done = subprocess.run([sys.executable, '-c', _ON_TWO_DEVICES],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
      'True True', 'True False', 'True False', 'False False'
  ]
