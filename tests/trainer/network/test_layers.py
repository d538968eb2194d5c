"""layers: activation and dropout by themselves."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.network import layers
from trainer.network import xla_layers


def test_plain_dropout_keeps_where_noise_reaches_the_rate():
  layer = layers.NoisyDropout(0.25, alpha=False)
  noise = tf.constant([[0.0, 0.2499, 0.25, 0.9]])
  result = layer(tf.fill([1, 4], 3.0), noise, training=True).numpy()
  assert result.tolist() == [[0, 0, 4, 4]]


def test_alpha_dropout_keeps_mean_and_variance():
  rng = np.random.default_rng(0)
  inputs = rng.standard_normal(1_000_000, np.float32)
  noise = rng.random(1_000_000, np.float32)
  layer = layers.NoisyDropout(0.3, alpha=True)
  result = layer(inputs, noise, training=True).numpy()
  assert result.mean() == pytest.approx(0, abs=0.005)
  assert result.var() == pytest.approx(1, abs=0.01)
  assert np.unique(result[noise < 0.3]).size == 1


def test_alpha_dropout_by_hand():
  layer = layers.NoisyDropout(0.5, alpha=True)
  result = layer(tf.constant([0.0, 0.0]),
                 tf.constant([0.1, 0.9]),
                 training=True).numpy()
  limit = -1.7580993408473766
  scale = (0.5 + 0.25 * limit**2)**-0.5
  expected = [scale * limit / 2, -scale * limit / 2]
  np.testing.assert_allclose(result, expected, rtol=1e-6)


def _assert_same(ours, theirs, inputs, tolerance=1e-4):
  """Two built layers give the same outputs and gradients."""
  weights = tf.random.stateless_normal(ours(inputs).shape, (1, 2))
  results = []
  for layer in (ours, theirs):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = layer(inputs)
      loss = tf.reduce_sum(outputs * weights)
    variables = [inputs, *layer.trainable_variables]
    results.append([outputs, *tape.gradient(loss, variables)])
  for found, want in zip(*results):
    np.testing.assert_allclose(np.ravel(found),
                               np.ravel(want),
                               rtol=tolerance,
                               atol=tolerance)


@pytest.mark.parametrize('shape', [(2, 5, 5, 3), (4, 3)])
def test_prelu_equals_that_of_keras(shape):
  inputs = tf.random.stateless_normal(shape, (0, 1))
  theirs = keras.layers.PReLU('glorot_normal',
                              shared_axes=tuple(range(1,
                                                      len(shape) - 1)))
  theirs.build(shape)
  ours = layers.ChannelPReLU()
  ours.build(shape)
  np.testing.assert_array_equal(ours.slope.numpy(), [0.25] * 3)
  ours.slope.assign(theirs.alpha.numpy().ravel())
  _assert_same(ours, theirs, inputs, 1e-6)


@pytest.mark.parametrize('strides', [1, 2])
@pytest.mark.parametrize('padding', ['same', 'valid'])
def test_convolution_equals_that_of_keras(strides, padding):
  inputs = tf.random.stateless_normal((2, 9, 8, 4), (0, 1))
  theirs = keras.layers.Conv2D(5, 3, strides, padding, bias_initializer='ones')
  ours = layers.Conv2D(5, 3, strides, padding)
  for layer in (theirs, ours):
    layer.build(inputs.shape)
  ours.set_weights(theirs.get_weights())
  _assert_same(ours, theirs, inputs)


def test_gradients_of_slopes_are_summed_in_float32():
  layer = layers.ChannelPReLU(dtype='mixed_bfloat16')
  layer.build((1, 40, 40, 2))
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(
        tf.cast(layer(tf.fill([1, 40, 40, 2], -1.0)), tf.float32))
  # 1,600 times -1; a sum in bfloat16 stays at -256.
  gradient, = tape.gradient(loss, layer.trainable_variables)
  np.testing.assert_array_equal(gradient, [-1600.0] * 2)


@pytest.mark.parametrize('kind,options', [
    (layers.Conv2D, {}),
    (xla_layers.SpaceToDepthConv2D, {
        'strides': 2
    }),
])
def test_gradients_of_biases_are_summed_in_float32(kind, options):
  layer = kind(2, 3, dtype='mixed_bfloat16', **options)
  inputs = tf.ones([1, 82, 82, 1])
  layer.build(inputs.shape)
  with tf.GradientTape() as tape:
    outputs = layer(inputs)
    loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
  # 6,400 or 1,600 ones, which bfloat16 has; a sum in bfloat16 ends at 256.
  count = outputs.shape[1] * outputs.shape[2]
  gradient = tape.gradient(loss, layer.bias)
  np.testing.assert_array_equal(gradient, [count] * 2)


def test_bfloat16_drops_the_same_units():
  noise = np.random.default_rng(0).random((1, 4096), np.float32)
  layer = layers.NoisyDropout(0.3, alpha=False, dtype='mixed_bfloat16')
  result = layer(tf.ones([1, 4096], tf.bfloat16), noise, training=True)
  np.testing.assert_array_equal(result.numpy() > 0, noise >= 0.3)
