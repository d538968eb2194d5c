"""plain: the same numbers from Keras's own layers."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer import config as config_lib
from trainer.network import applications
from trainer.network import build
from trainer.network import plain
from trainer.start import keras_file


def make(variant='original', activation='', *, model='gapnet_pl', **settings):
  """A network whose weights are not those of the start, and its settings."""
  config = config_lib.Config(records='r',
                             workdir='w',
                             model=model,
                             variant=variant,
                             activation=activation,
                             **settings)
  size = 149 if variant == 'kaggle' else 32
  size = max(size, applications.SMALLEST_PX.get(model, 0))
  spec = specs.make(size, num_channels=3, num_classes=5)
  pixels = {'mean': [30.0, 50.0, 70.0], 'std': [20.0, 40.0, 0.0]}
  network = build.build(config, spec, pixels, fast=False)
  rng = np.random.default_rng(1)
  size = 0.1 if model == 'gapnet_pl' else 0.01  # deep ones would saturate
  for each in network.variables:
    bump = 0.0 if 'kernel' in each.path else size
    each.assign(each.numpy() * rng.uniform(1 - size, 1 + size, each.shape) +
                bump * rng.random(each.shape))
  return config, network


def images(network, count=2):
  """Images, one of which has a channel of one value."""
  rng = np.random.default_rng(2)
  found = rng.integers(0, 256, (count, *network.inputs[0].shape[1:]), np.uint8)
  found[0, ..., 1] = 7
  return found


_ALL = [
    *({
        'activation': each
    } for each in config_lib.ACTIVATIONS),
    {
        'variant': 'kaggle'
    },
    {
        'input_scaling': 'image'
    },
    {
        'loss': 'softmax'
    },
    *({
        'model': each
    } for each in config_lib.MODELS[1:] if each != 'densenet121_bestfitting'),
    pytest.param({'model': 'densenet121_bestfitting'}, marks=pytest.mark.soak),
]


@pytest.mark.parametrize('settings', _ALL, ids=str)
def test_a_plain_network_gives_the_same_probabilities(settings, tmp_path):
  config, network = make(**settings)
  made = plain.build(network, config.is_single_label)
  pixels = images(network)
  wanted = build.find_probabilities(config, build.infer(network, pixels))
  assert np.ptp(wanted, axis=0).max() > 1e-5
  np.testing.assert_allclose(made(pixels), wanted, rtol=0, atol=2e-6)
  assert not [
      each for each in made.layers
      if not type(each).__module__.startswith('keras.')
  ]
  # And back from a file.
  path = str(tmp_path / 'plain.keras')
  made.save(path)
  values = plain.list_values(network, keras_file.read(path))
  for value, variable in zip(values, network.variables, strict=True):
    np.testing.assert_array_equal(value, variable)


def test_a_network_of_bfloat16_becomes_one_of_float32():
  config, network = make(precision='bfloat16')
  made = plain.build(network, config.is_single_label)
  assert {each.compute_dtype for each in made.layers} == {'float32'}
  pixels = images(network)
  wanted = build.find_probabilities(config, build.infer(network, pixels))
  np.testing.assert_allclose(made(pixels), wanted, rtol=0, atol=0.02)


def _stored(network):
  made = plain.build(network, False)
  return {each.name: each.get_weights() for each in made.layers}


@pytest.mark.parametrize('change,message', [
    (lambda stored: stored.pop('conv3'), "layer 'conv3'.*received \\[\\]"),
    (lambda stored: stored.update(conv3=stored['conv4'][:1]), 'conv3'),
    (lambda stored: stored['hidden1'][0].fill(np.nan), 'hidden1.*nan'),
])
def test_weights_of_another_network_are_refused(change, message):
  _, network = make()
  stored = _stored(network)
  change(stored)
  with pytest.raises(ValueError, match=message):
    plain.list_values(network, stored)


def test_the_parts_of_gapnet_are_its_maps_averages_and_hidden_layer():
  _, network = make()
  made = plain.build(network, False)
  parts = plain.find_parts(made)
  assert [each.shape[-1] for each in parts.maps] == [32, 64, 128]
  assert parts.averages.shape[-1] == 224 and parts.hidden.shape[-1] == 256
  pixels = images(network)
  *maps, averages = keras.Model(made.input,
                                [*parts.maps, parts.averages])(pixels)
  means = [tf.reduce_mean(each, (1, 2)) for each in maps]
  np.testing.assert_allclose(tf.concat(means, 1), averages, atol=1e-5)


def test_others_have_one_map_and_no_hidden_layer():
  _, network = make(model='efficientnetv2_s')
  parts = plain.find_parts(plain.build(network, False))
  assert [each.shape[-1] for each in parts.maps] == [1280]
  assert parts.hidden is None and len(parts.head) == 1
