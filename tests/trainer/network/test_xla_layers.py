"""xla_layers: the same weights and results as Keras's own layers."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer.network import build
from trainer.network import gapnet
from trainer.network import xla_layers


@pytest.mark.parametrize('size', [2, 3, 8, 9, 15])
@pytest.mark.parametrize('padding', ['same', 'valid'])
def test_a_reshaped_pool_is_a_max_pool(size, padding):
  images = np.random.default_rng(size).normal(size=(2, size, size + 1, 3))
  images = tf.constant(images - 5, tf.float32)  # below the zeros of a padding
  want = keras.layers.MaxPooling2D(2, padding=padding)
  found = xla_layers.ReshapedMaxPooling2D(padding)
  weights = tf.random.stateless_normal(want(images).shape, (1, 2))

  def gradient(layer):
    with tf.GradientTape() as tape:
      tape.watch(images)
      loss = tf.reduce_sum(layer(images) * weights)
    return tape.gradient(loss, images)

  np.testing.assert_array_equal(found(images), want(images))
  np.testing.assert_array_equal(gradient(found), gradient(want))


def test_pixels_that_are_equally_large_share_the_gradient():
  image = tf.Variable(tf.ones([1, 2, 2, 1]))
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(xla_layers.ReshapedMaxPooling2D('same')(image))
  np.testing.assert_array_equal(tape.gradient(loss, image),
                                np.full((1, 2, 2, 1), 0.25))


@pytest.mark.parametrize('size,channels', [(size, 4) for size in range(3, 12)] +
                         [(9, channels) for channels in (1, 2, 3, 5, 6, 16)])
def test_a_convolution_on_blocks_is_the_convolution(size, channels):
  images = np.random.default_rng(size).normal(size=(2, size, size + 1,
                                                    channels))
  images = tf.constant(images, tf.float32)
  want = keras.layers.Conv2D(5, 3, 2, bias_initializer='normal')
  found = xla_layers.SpaceToDepthConv2D(5, 3, 2)
  for layer in (want, found):
    layer.build(images.shape)
  found.set_weights(want.get_weights())
  outputs, gradients = [], []
  for layer in (want, found):
    with tf.GradientTape() as tape:
      tape.watch(images)
      outputs.append(layer(images))
      loss = tf.reduce_sum(tf.square(outputs[-1]))
    gradients.append(tape.gradient(loss, [images, *layer.trainable_variables]))
  np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
  for first, second in zip(*gradients):
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize('size, channels, precision, tolerance', [
    (67, 4, 'float32', 1e-5),
    (68, 4, 'float32', 1e-5),
    (67, 4, 'bfloat16', 5e-2),
    (68, 4, 'bfloat16', 5e-2),
    (67, 1, 'float32', 1e-5),
    (67, 5, 'float32', 1e-5),
    (67, 16, 'float32', 1e-5),
])
def test_the_fast_network_has_the_same_weights_and_logits(
    size, channels, precision, tolerance):
  plain, fast = (gapnet.build(specs.make(size, channels),
                              activation='prelu',
                              mean=[20] * channels,
                              std=[30] * channels,
                              precision=precision,
                              fast=each) for each in (False, True))
  assert [w.path for w in fast.weights] == [w.path for w in plain.weights]
  for first, second in zip(plain.get_weights(), fast.get_weights()):
    np.testing.assert_array_equal(first, second)
  kinds = {type(layer) for layer in fast.layers}
  assert xla_layers.SpaceToDepthConv2D in kinds
  assert keras.layers.MaxPooling2D not in kinds
  images = np.random.default_rng(0).integers(0, 256, (3, size, size, channels),
                                             np.uint8)
  want, found = (build.infer(model, images).numpy() for model in (plain, fast))
  np.testing.assert_allclose(found, want, atol=tolerance * np.abs(want).max())


def test_a_saved_fast_network_answers_the_same(tmp_path):
  model = gapnet.build(specs.make(33), mean=[20] * 4, std=[30] * 4, fast=True)
  model.save(tmp_path / 'model.keras')
  images = np.random.default_rng(0).integers(0, 256, (2, 33, 33, 4), np.uint8)
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_array_equal(build.infer(loaded, images),
                                build.infer(model, images))
