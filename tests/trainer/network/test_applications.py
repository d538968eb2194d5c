"""applications: Keras's networks with four channels, any activation."""

import hashlib

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer.network import applications
from trainer.network import build
from trainer.network import layers

_CONSTANTS = {'mean': [20.0] * 4, 'std': [30.0] * 4}


def _images(size):
  return np.random.default_rng(0).integers(0, 256, (2, size, size, 4), np.uint8)


@pytest.mark.parametrize('name, size, parameters', [
    ('densenet121', 32, 7_037_504),
    ('resnet50', 32, 23_587_712),
    ('xception', 71, 20_861_480),
    ('efficientnetv2_s', 32, 20_331_360),
    ('convnext_tiny', 32, 27_820_128),
])
def test_it_has_the_published_body_with_a_stem_of_four_channels(
    name, size, parameters):
  model = applications.build(name, specs.make(size), **_CONSTANTS)
  # Those of Keras's table without its top, one more channel, 28 logits.
  stem = next(
      layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
  top = model.get_layer('logits')
  extra = np.prod(stem.kernel.shape) // 4 + top.count_params()
  assert stem.kernel.shape[2] == 4
  assert model.count_params() == parameters + extra
  logits = build.infer(model, _images(size)).numpy()
  assert logits.shape == (2, 28) and logits.dtype == np.float32
  assert not build.noise_shapes(model)
  norms = [
      layer for layer in model.layers
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  assert all(layer.synchronized for layer in norms)
  assert bool(norms) == (name != 'convnext_tiny')
  kinds = (keras.layers.Dropout, keras.Sequential)
  assert not [layer for layer in model.layers if isinstance(layer, kinds)]
  for layer in model.layers:  # biases are summed in float32
    if getattr(layer, 'bias', None) is not None:
      assert isinstance(layer,
                        (layers.Conv2D, layers.Dense)) or layer.name == 'logits'


def test_it_takes_the_channels_and_classes_of_the_spec():
  model = applications.build('resnet50',
                             specs.make(32, 6, 12),
                             mean=[20] * 6,
                             std=[30] * 6)
  images = np.zeros((2, 32, 32, 6), np.uint8)
  assert build.infer(model, images).shape == (2, 12)
  # A stem of 7x7x64 a channel; 2048 weights and a bias a class.
  four = 23_587_712 + 7 * 7 * 64
  assert model.count_params() == four + 2 * 7 * 7 * 64 + 12 * 2049


def _digests(model):
  """SHA-256 of each variable's numbers, by its path."""
  return {
      variable.path: hashlib.sha256(variable.numpy().tobytes()).hexdigest()
      for variable in model.variables
  }


def test_activation_precision_and_seed_are_as_asked():
  model = applications.build('densenet121',
                             specs.make(32),
                             'prelu',
                             precision='bfloat16',
                             seed=3,
                             **_CONSTANTS)
  kinds = [type(layer) for layer in model.layers]
  assert keras.layers.Activation not in kinds
  assert kinds.count(layers.ChannelPReLU) == 121
  assert model.get_layer('conv1_conv').compute_dtype == 'bfloat16'
  assert model.get_layer('logits').compute_dtype == 'float32'
  assert keras.config.dtype_policy().name == 'float32'
  weights = _digests(model)
  del model

  def build_seeded(seed):
    return applications.build('densenet121',
                              specs.make(32),
                              'prelu',
                              seed=seed,
                              **_CONSTANTS)

  assert _digests(build_seeded(3)) == weights
  assert _digests(build_seeded(4))['logits/kernel'] != weights['logits/kernel']


@pytest.mark.parametrize('name, size, activation, message', [
    ('vgg16', 64, 'relu', 'Expected a network out of densenet121'),
    ('resnet50', 64, 'tanh', "received 'resnet50' and 'tanh'"),
    ('xception', 70, 'relu', 'at least 71 px for xception, received 70'),
    ('convnext_tiny', 31, 'gelu', 'at least 32 px for convnext_tiny'),
])
def test_what_is_not_there_is_refused(name, size, activation, message):
  with pytest.raises(ValueError, match=message):
    applications.build(name, specs.make(size), activation, **_CONSTANTS)


def test_convnext_has_seeded_weights_under_names_of_its_own():
  found = [
      _digests(
          applications.build('convnext_tiny',
                             specs.make(32),
                             precision=precision,
                             seed=seed,
                             **_CONSTANTS))
      for seed, precision in ((3, 'float32'), (3, 'bfloat16'), (4, 'float32'))
  ]
  assert found[0] == found[1] and found[0].keys() == found[2].keys()
  same = {path for path in found[0] if found[0][path] == found[2][path]}
  assert not any(path.endswith('kernel') for path in same)
  assert 'layer_normalization_1/gamma' in same


def test_building_one_leaves_the_order_of_shuffles_alone():

  def shuffle():
    numbers = tf.data.Dataset.range(100).shuffle(100, seed=1)
    return list(numbers.as_numpy_iterator())

  before = shuffle()
  applications.build('resnet50', specs.make(32), **_CONSTANTS)
  assert shuffle() == before
