"""layer: noisy-AND and grouped convolution against NumPy and Keras."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.network.families import layer


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_noisy_and_goes_from_0_to_1_around_its_threshold():
  made = layer.NoisyAnd()
  shares = np.array([0, 0.1, 0.35, 1])
  pixels = np.zeros([4, 10, 2, 1], np.float32)
  for image, share in zip(pixels, shares):
    image[:, :, 0] = share
  found = made(pixels).numpy()[:, 0]
  low, high = _sigmoid(-10 * 0.1), _sigmoid(10 * 0.9)
  np.testing.assert_allclose(found, (_sigmoid(10 * (shares - 0.1)) - low) /
                             (high - low),
                             atol=1e-6)
  assert found[0] == 0 and found[3] == 1
  made.threshold.assign([0.5])
  assert made(pixels).numpy()[2, 0] < found[2] / 2


def test_noisy_and_of_half_of_the_pixels_is_that_of_their_mean():
  made = layer.NoisyAnd()
  pixels = np.zeros([1, 4, 4, 3], np.float32)
  pixels[0, :2, :, 1] = 1
  even = np.zeros_like(pixels)
  even[..., 1] = 0.5
  np.testing.assert_allclose(made(pixels), made(even), atol=1e-6)


@pytest.mark.parametrize('strides', [1, 2])
def test_groups_are_convolved_apart_forward_and_backward(strides):
  made = layer.GroupedConv2D(4, strides)
  x = tf.constant(
      np.random.default_rng(0).normal(size=(2, 7, 7, 12)), tf.float32)

  def convolve(inputs):
    # A kernel of all channels with zeros between groups.
    kernel = tf.reshape(made.kernel, (3, 3, 4, 3, 3))
    whole = tf.einsum('hwgij,ge->hwgiej', kernel, tf.eye(4))
    return tf.nn.conv2d(inputs, tf.reshape(whole, (3, 3, 12, 12)), strides,
                        'VALID')

  made.build(x.shape)
  gradients = []
  for function in (made, convolve):
    with tf.GradientTape() as tape:
      tape.watch(x)
      found = function(x)
      total = tf.reduce_sum(found * tf.cos(found))
    gradients.append([found, *tape.gradient(total, [x, made.kernel.value])])
  for mine, wanted in zip(*gradients):
    np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4)


def test_the_kernel_of_each_group_starts_by_glorot():
  made = layer.GroupedConv2D(
      8, 1, keras.initializers.VarianceScaling(8, 'fan_in', 'uniform', 1))
  made.build((None, 9, 9, 256))
  wanted = keras.initializers.GlorotUniform(1)((3, 3, 32, 32))
  assert np.std(made.kernel) == pytest.approx(np.std(wanted), rel=0.02)
  same = layer.GroupedConv2D.from_config(made.get_config())
  same.build((None, 9, 9, 256))
  np.testing.assert_array_equal(same.kernel, made.kernel)
