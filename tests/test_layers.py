"""layers: activation and dropout by themselves."""

import numpy as np
import pytest

from hpa_records.backend import keras, tf
from trainer import layers


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


def test_prelu_equals_that_of_keras():
  inputs = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype('float32')
  theirs = keras.layers.PReLU('glorot_normal', shared_axes=(1, 2))
  expected = theirs(inputs)
  ours = layers.ChannelPReLU()
  ours.build(inputs.shape)
  np.testing.assert_array_equal(ours.slope.numpy(), [0.25] * 3)
  ours.slope.assign(theirs.alpha.numpy().ravel())
  np.testing.assert_allclose(ours(inputs), expected, rtol=1e-6)


def test_bfloat16_drops_the_same_units():
  noise = np.random.default_rng(0).random((1, 4096), np.float32)
  layer = layers.NoisyDropout(0.3, alpha=False, dtype='mixed_bfloat16')
  result = layer(tf.ones([1, 4096], tf.bfloat16), noise, training=True)
  np.testing.assert_array_equal(result.numpy() > 0, noise >= 0.3)
