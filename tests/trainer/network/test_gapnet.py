"""Tests of trainer.network.gapnet."""

import functools

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer import config
from trainer.network import build
from trainer.network import gapnet

_MEAN = (20.0, 30.0, 10.0, 40.0)
_STD = (30.0, 40.0, 20.0, 50.0)


def _build(*args, **settings):
  settings = {'mean': _MEAN, 'std': _STD} | settings
  image_size, *choices = args or (67,)
  return gapnet.build(specs.make(image_size), *choices, **settings)


# Models that no test changes.
_shared = functools.cache(_build)


def _images(count=3, size=67, seed=0, channels=4):
  rng = np.random.default_rng(seed)
  shape = (count, size, size, channels)
  return tf.constant(rng.integers(0, 256, shape, np.uint8))


def _noise(model, count=3, seed=0):
  rng = np.random.default_rng(seed)
  return [
      tf.constant(rng.random((count, *shape), np.float32))
      for shape in build.noise_shapes(model)
  ]


def _output(model, layer, images):
  noise = [None] * (len(model.inputs) - 1)
  return keras.Model(model.inputs,
                     model.get_layer(layer).output)([images, *noise]).numpy()


@pytest.mark.parametrize('activation, count', [('selu', 630_076),
                                               ('relu', 630_076),
                                               ('elu', 630_076),
                                               ('prelu', 631_260)])
def test_original_has_the_published_parameters(activation, count):
  model = _shared(67, 'original', activation)
  assert model.count_params() == count
  assert model.count_params() == sum(
      np.prod(v.shape) for v in model.trainable_variables)


def test_kaggle_has_the_published_parameters():
  model = _shared(149, 'kaggle', 'relu')
  norm = sum(layer.count_params()
             for layer in model.layers
             if isinstance(layer, keras.layers.BatchNormalization))
  assert (model.count_params() - norm, norm) == (593_148, 2_320)


def _count(channels, classes):
  """Parameters of each layer of the original network, by its definition."""
  filters = (channels, 32, *[64] * 4, *[128] * 3)
  units = (32 + 64 + 128, 256, 256)  # averages of three maps, two layers
  return {
      'logits': (256 + 1) * classes,
      **{
          f'conv{i}': (9 * filters[i - 1] + 1) * filters[i] for i in range(1, 9)
      },
      **{
          f'hidden{i}': (units[i - 1] + 1) * units[i] for i in (1, 2)
      }
  }


@pytest.mark.parametrize('channels, classes', [(5, 12), (4, 28), (1, 1),
                                               (16, 2000)])
@pytest.mark.parametrize('fast', [False, True])
def test_parameters_of_other_channels_and_classes_are_the_formula_s(
    channels, classes, fast):
  spec = specs.make(33, channels, classes)
  constants = {'mean': [20] * channels, 'std': [30] * channels}
  model = gapnet.build(spec, fast=fast, **constants)
  counts = {layer.name: layer.count_params() for layer in model.layers}
  assert {
      name: n for name, n in counts.items() if n
  } == _count(channels, classes)
  # Their sum: 9 * 32 for each channel, 256 + 1 for each class.
  whole = 621_728 + 288 * channels + 257 * classes
  assert model.count_params() == whole
  prelu = gapnet.build(spec, activation='prelu', fast=fast, **constants)
  slopes = 32 + 4 * 64 + 3 * 128 + 2 * 256
  assert prelu.count_params() == whole + slopes
  logits = build.infer(model, _images(2, 33, channels=channels))
  assert logits.shape == (2, classes) and np.isfinite(logits).all()


def test_weights_of_four_channels_and_28_classes_are_those_of_every_version():
  model = _build(activation='prelu')
  for name, place, want in (('conv1', (0, 0), [
      -0.25705126, 0.34034872, -0.1882606, 0.2418965
  ]), ('logits', (0,), [0.01896542, 0.09358013, -0.02188733])):
    kernel = model.get_layer(name).kernel.numpy()[place]
    found = kernel[:, 0] if name == 'conv1' else kernel[:3]
    np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize('layer, shape', [
    ('conv1', (150, 150, 32)),
    ('pool1', (75, 75, 32)),
    ('conv2', (38, 38, 64)),
    ('conv5', (38, 38, 64)),
    ('pool2', (19, 19, 64)),
    ('conv8', (19, 19, 128)),
    ('averages', (224,)),
    ('hidden2', (256,)),
])
def test_original_has_the_shapes_of_the_layer_table(layer, shape):
  model = _shared(299)
  assert model.get_layer(layer).output.shape == (None, *shape)


def test_kaggle_has_the_shapes_without_padding():
  maps = build.noise_shapes(_shared(299, 'kaggle'))[:3]
  assert maps == [(74, 74, 32), (16, 16, 64), (10, 10, 128)]


def test_stride_two_pads_one_pixel_on_each_side():
  model = _shared(64)
  scaled = (_images(size=64).numpy() - np.float32(_MEAN)) / np.float32(_STD)
  kernel = model.get_layer('conv1').kernel.numpy()
  padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
  expected = tf.nn.conv2d(scaled, kernel, 2, padding).numpy()
  result = _output(model, 'conv1', _images(size=64))
  np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize('variant', config.VARIANTS)
def test_averages_are_taken_after_the_pools(variant):
  model = _shared(149, variant)
  images = _images(1, 149)
  pooled = _output(model, 'pool1', images).mean(axis=(1, 2))
  averages = _output(model, 'averages', images)
  np.testing.assert_allclose(averages[:, :32], pooled, atol=1e-4)


@pytest.mark.parametrize('jit_compile', [False, True])
def test_compiled_calls_equal_eager_ones(jit_compile):
  model, images = _shared(), _images()
  noise = _noise(model)

  @tf.function(jit_compile=jit_compile)
  def run(images, noise):
    return (build.infer(model, images), model([images, *noise], training=True))

  expected = (build.infer(model, images), model([images, *noise],
                                                training=True))
  for result, value in zip(run(images, noise), expected):
    np.testing.assert_allclose(result, value, atol=1e-4)


def test_each_example_depends_on_its_own_noise_alone():
  model, images = _shared(), _images()
  noise = _noise(model)
  whole = model([images, *noise], training=True).numpy()
  for i in range(3):
    part = [tensor[i:i + 1] for tensor in (images, *noise)]
    alone = model(part, training=True).numpy()
    np.testing.assert_allclose(alone[0], whole[i], atol=1e-4)


def test_noise_changes_training_and_nothing_else():
  model, images = _shared(), _images()
  first, second = _noise(model, seed=1), _noise(model, seed=2)
  calm = build.infer(model, images).numpy()
  training = [
      model([images, *noise], training=True).numpy()
      for noise in (first, second)
  ]
  assert np.abs(training[0] - training[1]).max() > 0.01
  assert np.abs(training[0] - calm).max() > 0.01
  np.testing.assert_array_equal(model([images, *first], training=False), calm)


def test_training_without_noise_is_refused():
  model = _shared()
  with pytest.raises(ValueError, match='Expected noise for dropout1'):
    model([_images(), None, None], training=True)


def test_dictionary_input():
  model = _shared()
  inputs = {'image': _images(), 'noise_dropout1': None, 'noise_dropout2': None}
  expected = build.infer(model, _images())
  np.testing.assert_array_equal(model(inputs, training=False), expected)


@pytest.mark.parametrize('activation, alpha', [('selu', True), ('elu', False)])
def test_only_selu_drops_to_its_limit(activation, alpha):
  model = _shared(67, 'original', activation)
  assert model.get_layer('dropout1').alpha is alpha
  assert model.get_layer('dropout2').rate == 0.3


def test_same_seed_same_weights():
  first, second = _build(seed=5), _build(seed=5)
  for one, other in zip(first.get_weights(), second.get_weights()):
    np.testing.assert_array_equal(one, other)


def test_seeds_and_layers_have_their_own_weights():
  first, second = _build(seed=5), _build(seed=6)
  conv3, conv4 = (first.get_layer(f'conv{i}').kernel.numpy() for i in (3, 4))
  other = second.get_layer('conv3').kernel.numpy()
  for kernel in (conv4, other):
    assert abs(np.corrcoef(conv3.ravel(), kernel.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize('activation, deviation',
                         [('selu', 0.87962566), ('relu', 2**0.5),
                          ('elu', 2**0.5), ('prelu', (2 / 1.0625)**0.5)])
def test_initial_weights_fit_the_activation(activation, deviation):
  model = _shared(67, 'original', activation)
  kernel = model.get_layer('conv7').kernel.numpy()
  assert kernel.std() * (9 * 128)**0.5 == pytest.approx(deviation, rel=0.01)
  assert not model.get_layer('conv7').bias.numpy().any()
  last = model.get_layer('logits').kernel.numpy()
  linear = deviation if activation == 'selu' else 1.0
  assert last.std() * 256**0.5 == pytest.approx(linear, rel=0.03)


def test_selu_weights_are_cut_at_two_deviations():
  kernel = _shared().get_layer('conv7').kernel.numpy()
  assert np.abs(kernel).max() * (9 * 128)**0.5 == pytest.approx(2, abs=0.001)


def test_data_set_scaling():
  images = _images()
  result = _output(_shared(), 'scaling', images)
  expected = (images.numpy() - np.array(_MEAN)) / np.array(_STD)
  np.testing.assert_allclose(result, expected, atol=1e-5)


def test_flat_channel_of_the_data_set_becomes_zero():
  model = _build(std=(30.0, 0.0, 20.0, 50.0))
  result = _output(model, 'scaling', _images())
  assert np.isfinite(result).all()
  assert not result[..., 1].any() and result[..., 0].any()


def test_image_scaling_has_mean_zero_deviation_one():
  images = _images().numpy()
  images[1, ..., 2] = 77
  model = _build(input_scaling='image')
  result = _output(model, 'scaling', images)
  np.testing.assert_allclose(result.mean(axis=(1, 2)), 0, atol=1e-4)
  expected = np.ones((3, 4))
  expected[1, 2] = 0
  np.testing.assert_allclose(result.std(axis=(1, 2)), expected, atol=1e-4)


@pytest.mark.parametrize('activation', config.ACTIVATIONS)
def test_bfloat16_has_float32_weights_and_logits(activation):
  half = _build(activation=activation, precision='bfloat16')
  result = build.infer(half, _images())
  assert half.get_layer('conv8').compute_dtype == 'bfloat16'
  assert result.dtype == tf.float32
  assert {v.dtype for v in half.trainable_variables} == {'float32'}
  full = build.infer(_shared(67, 'original', activation), _images()).numpy()
  assert np.abs(result - full).max() < 0.1 * np.std(full)


# Keras 3.15 calls np.array on variables in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings('ignore:__array__ implementation')
def test_saved_model_answers_the_same(tmp_path):
  model = _build(activation='prelu', input_scaling='image')
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_array_equal(build.infer(loaded, _images()),
                                build.infer(model, _images()))


def test_exported_function_takes_images_alone(tmp_path):
  model = _build()
  module = tf.Module()
  module.model = model
  spec = tf.TensorSpec([None, 67, 67, 4], tf.uint8)
  module.serve = tf.function(functools.partial(build.infer, model), [spec])
  tf.saved_model.save(module, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  np.testing.assert_allclose(loaded.serve(_images()),
                             build.infer(model, _images()),
                             atol=1e-5)


@pytest.mark.parametrize('variant', config.VARIANTS)
def test_smallest_image(variant):
  size = gapnet.SMALLEST_PX[variant]
  logits = build.infer(_build(size, variant), _images(2, size))
  assert logits.shape == (2, 28) and np.isfinite(logits).all()


def test_an_image_too_small_for_the_variant_is_refused():
  with pytest.raises(ValueError, match='at least 149 px.*148 px'):
    _build(148, 'kaggle')


@pytest.mark.parametrize('name, value', [
    ('variant', 'new'),
    ('activation', 'tanh'),
    ('input_scaling', 'none'),
    ('precision', 'float16'),
    ('mean', [1.0, 2.0]),
    ('std', [1.0, 2.0, float('nan'), 3.0]),
])
def test_wrong_setting_is_named(name, value):
  with pytest.raises(ValueError, match=f'Expected {name} .* received'):
    _build(**{name: value})
