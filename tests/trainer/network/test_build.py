"""build: which networks XLA compiles, and to what weight decay applies."""

import numpy as np
import pytest

from tests.support import prestarted
from tests.support import specs
from trainer import config as config_lib
from trainer.network import applications
from trainer.network import build

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
  done = prestarted.run(['-c', _ON_TWO_DEVICES])
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
      'True True', 'True False', 'True False', 'False False'
  ]


@pytest.mark.parametrize('model,variant,size', [
    ('gapnet_pl', 'original', 16),
    ('gapnet_pl', 'kaggle', 149),
    *((name, 'original', size)
      for name, size in applications.SMALLEST_PX.items()),
])
def test_weight_decay_applies_to_every_kernel(model, variant, size):
  config = config_lib.Config('', '', model=model, variant=variant)
  pixels = {'mean': [100] * 4, 'std': [50] * 4}
  network = build.build(config, specs.make(size), pixels, False)
  trained = network.trainable_variables
  kernels = {each.path for each in trained if len(each.shape) > 1}
  biases = {each.path for each in trained if each.path.endswith('/bias')}
  found, both = ([
      each.path for each in build.find_decayed(network, decays_biases)
  ] for decays_biases in (False, True))
  assert len(found) == len(set(found)) and set(found) == kernels
  assert 'logits/bias' in biases and set(both) == kernels | biases


@pytest.mark.parametrize('changes,lengths', [
    ({}, {
        'average1': 32,
        'average2': 64,
        'average3': 128,
        'hidden2': 256
    }),
    ({
        'variant': 'kaggle'
    }, {
        'average1': 32,
        'average2': 64,
        'average3': 128,
        'hidden2': 256
    }),
    ({
        'model': 'resnet50',
        'activation': ''
    }, {
        'avg_pool': 2048
    }),
    ({
        'model': 'xception',
        'activation': ''
    }, {
        'global_average_pooling2d_1': 2048
    }),
])
def test_features_give_the_logits_of_the_same_network(changes, lengths):
  config = config_lib.Config('', '', **changes)
  pixels = {'mean': [20.0] * 4, 'std': [30.0] * 4}
  model = build.build(config, specs.make(149), pixels, False)
  found, made = build.add_features(config, model)
  assert found == lengths
  assert [each.path for each in made.variables
         ] == [each.path for each in model.variables]
  image = np.random.default_rng(0).integers(0, 256, (2, 149, 149, 4), np.uint8)
  *features, logits = build.infer(made, image)
  assert [each.shape[1] for each in features] == list(lengths.values())
  np.testing.assert_array_equal(logits, build.infer(model, image))
  kernel, bias = made.get_layer('logits').weights
  np.testing.assert_allclose(features[-1] @ kernel + bias,
                             logits,
                             rtol=1e-3,
                             atol=1e-4)
