"""catalog: the networks of the papers have their parameters, and train."""

import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer import config as config_lib
from trainer.network import activation_map
from trainer.network import applications
from trainer.network import build
from trainer.network import depth
from trainer.network.families import catalog

_PIXELS = {'mean': [20.0] * 4, 'std': [30.0] * 4}


def _build(name, size, **settings):
  config = config_lib.Config('', '', model=name, **settings)
  return build.build(config, specs.make(size), _PIXELS, fast=False)


def _images(size, count=2):
  return np.random.default_rng(0).integers(0, 256, (count, size, size, 4),
                                           np.uint8)


# For 4 channels and 28 classes. What the sources' own code has, counted apart
# from this one; three of them not at the size that is built.
@pytest.mark.parametrize(
    'name, size, parameters',
    [
        ('deeploc', 64, 10_997_204),
        ('deeploc', 60, 10_997_204),
        ('deeploc_gapnet', 299, 18_134_492),
        ('deepyeast', 64, 10_997_148),
        # DeepYeast, whose first dense layer is for one pixel instead of 8x8.
        ('fcn', 64, 10_997_148 - 63 * 256 * 512),
        ('mcnn', 299, 2_744_268),
        # gapnet-pl's dense layer is for a map of 10x10; K to K weights here.
        ('mil', 299, 513_532 - (10 * 10 * 28 + 1) * 28 + (28 + 1) * 28),
        ('resnet18', 32, 11_194_012),
        ('se_resnext50', 32, 25_571_404),
        pytest.param(
            'densenet121_bestfitting', 32, 9_090_012, marks=pytest.mark.soak),
        # 227 px have 6x6 of the last maps, 67 px one.
        ('alexnet', 67, 58_407_676 - 35 * 256 * 4096),
    ])
def test_it_has_the_parameters_of_its_source(name, size, parameters):
  model = _build(name, size)
  trained = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
  assert trained == parameters
  assert not build.noise_shapes(model)
  has_norm = any(
      isinstance(layer, keras.layers.BatchNormalization)
      for layer in model.layers)
  assert build.has_norm(config_lib.Config('', '', model=name)) == has_norm


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.soak)
    if name == 'densenet121_bestfitting' else name for name in catalog.FAMILIES
])
def test_a_gradient_reaches_every_weight(name):
  size = catalog.FAMILIES[name].smallest_px
  model = _build(name, size)
  labels = (np.random.default_rng(1).random((2, 28)) < 0.3).astype(np.float32)
  with tf.GradientTape() as tape:
    logits = model([_images(size)], training=True)
    loss = tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
  assert logits.shape == (2, 28) and logits.dtype == tf.float32
  for each, gradient in zip(model.trainable_variables,
                            tape.gradient(loss, model.trainable_variables)):
    assert gradient is not None and np.isfinite(gradient).all(), each.path


@pytest.mark.parametrize('name, size, message', [
    ('deeploc', 299, '--model=deeploc for images of 299 px: the dense layer '
     'behind the 38x38x256 maps would have 189,267,968 parameters, more than '
     '100,000,000, .*--image_size'),
    ('deepyeast', 299, 'deepyeast .* 189,267,968'),
    ('deeploc_gapnet', 1024, '128x128x96 maps would have 201,326,592'),
    ('alexnet', 512, '14x14x256 maps would have 205,520,896'),
    ('mcnn', 127, 'at least 128 px for mcnn, received 127'),
    ('alexnet', 66, 'at least 67 px for alexnet, received 66'),
])
def test_a_size_that_does_not_fit_is_refused_in_one_line(name, size, message):
  with pytest.raises(errors.DataError, match=message) as caught:
    _build(name, size)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name, hidden, maps', [
    ('deeploc', ('dense2_act', 512), []),
    ('deeploc_gapnet', ('dense2_act', 128), []),
    ('fcn', ('avg_pool', 512), [(2, 4, 4)]),
    ('mil', ('noisy_and', 28), []),
    ('mcnn', ('dense_act', 512), []),
])
def test_features_are_the_last_hidden_layer_and_maps_those_of_averages(
    name, hidden, maps):
  size = max(32, catalog.FAMILIES[name].smallest_px)
  model = _build(name, size, activation='relu')
  found, made = build.add_features(config_lib.Config('', '', model=name), model)
  assert found == dict([hidden])
  features, logits = build.infer(made, _images(size))
  assert features.shape == (2, hidden[1]) and logits.shape == (2, 28)
  found = activation_map.compute(model, _images(size), np.array([0, 5]))
  assert [each.shape for each in found] == maps


def test_the_logits_of_the_fcn_are_averages_of_a_score_map():
  model = _build('fcn', 32)
  image = _images(32)
  body = keras.Model(model.inputs, model.get_layer('avg_pool').input)
  kernel, bias = model.get_layer('logits').get_weights()
  scores = build.infer(body, image).numpy() @ kernel + bias
  np.testing.assert_allclose(build.infer(model, image),
                             scores.mean((1, 2)),
                             rtol=1e-4,
                             atol=1e-5)


def test_a_norm_behind_the_logits_is_a_part_of_the_head():
  model = _build('deeploc', 8)
  frozen = {each.name for each in depth.list_frozen(model, 'all_but_head')}
  weights = {each.name for each in model.layers if each.weights}
  assert weights - frozen == {'logits', 'logits_norm'}
  assert [each.name for each in depth.list_head(model)
         ] == ['logits', 'logits_norm']


def test_the_layers_of_channels_and_classes_are_known():
  model = _build('mcnn', 128)
  assert [each.name for each in depth.list_first(model)
         ] == [f'column{i}_conv1' for i in range(7)]
  stem = {each.name for each in depth.list_frozen(model, 'stem')}
  assert stem >= {f'column{i}_conv1' for i in range(7)}
  heads = [each.name for each in depth.list_head(_build('mil', 32))]
  assert heads == ['pixels', 'noisy_and', 'logits']


def test_another_activation_leaves_sigmoids_and_excitations():
  model = _build('se_resnext50', 32, activation='prelu')
  assert not [
      each for each in model.layers if isinstance(each, keras.layers.Activation)
  ]
  assert model.get_layer('block2_1_reduce').activation.__name__ == 'relu'
  assert model.get_layer('block2_1_expand').activation.__name__ == 'sigmoid'
  mil = _build('mil', 32, activation='prelu')
  assert mil.get_layer('pixels').activation.__name__ == 'sigmoid'


def test_every_family_has_what_the_others_have():
  for name, family in catalog.FAMILIES.items():
    assert name in config_lib.MODELS
    assert applications.SMALLEST_PX[name] == family.smallest_px
    assert applications.STEM_ENDS[name] == family.stem_end
