"""activation: LeakyReLU and ProbAct, by themselves and in networks."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer import config as config_lib
from trainer.network import activation
from trainer.network import build

_STARTS = tf.constant(np.random.default_rng(0).random((4, 2)), tf.float32)


def test_numbers_of_an_image_are_normal_and_its_own():
  shape = (4, 50, 50, 4)
  found = activation.draw_normal(_STARTS, shape).numpy().reshape(4, -1)
  np.testing.assert_allclose(found.mean(1), 0, atol=0.05)
  np.testing.assert_allclose(found.std(1), 1, atol=0.03)
  within = (np.abs(found) < 1).mean(1)
  np.testing.assert_allclose(within, 0.6827, atol=0.02)
  assert np.abs(np.corrcoef(found) - np.eye(4)).max() < 0.05
  alone = activation.draw_normal(_STARTS[2:3], (-1, 50, 50, 4))
  np.testing.assert_array_equal(alone.numpy().ravel(), found[2])


@pytest.mark.parametrize('dtype', ['float32', 'mixed_bfloat16'])
def test_probact_adds_sigma_times_a_number_in_training_alone(dtype):
  inputs = tf.constant([[-1.0, 2.0], [0.0, -3.0], [4.0, 1.0], [1.0, 0.5]])
  first = activation.ProbAct(dtype=dtype)
  other = activation.ProbAct(first, dtype=dtype)
  numbers = activation.draw_normal(_STARTS, (4, 2)).numpy()
  rectified = np.maximum(inputs, 0)
  np.testing.assert_array_equal(first(inputs, _STARTS, training=True),
                                rectified)  # sigma starts at 0
  first.sigma.assign(0.5)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    found = other(inputs, _STARTS, training=True)
    total = tf.reduce_sum(tf.cast(found, tf.float32) * [[1.0, 2.0]])
  tolerance = 1e-6 if dtype == 'float32' else 0.02
  np.testing.assert_allclose(found,
                             rectified + 0.5 * numbers,
                             rtol=tolerance,
                             atol=tolerance)
  moved, of_sigma = tape.gradient(total, [inputs, first.sigma])
  np.testing.assert_array_equal(moved, (inputs.numpy() > 0) * [1.0, 2.0])
  assert of_sigma.dtype == tf.float32
  np.testing.assert_allclose(of_sigma, (numbers * [1, 2]).sum(), rtol=1e-5)
  for starts in (_STARTS, None):
    np.testing.assert_array_equal(other(inputs, starts), rectified)
  assert not other.weights
  with pytest.raises(ValueError, match='Expected random numbers'):
    other(inputs, training=True)


def _build(name, model, size):
  config = config_lib.Config('', '', model=model, activation=name)
  pixels = {'mean': [20.0] * 4, 'std': [30.0] * 4}
  return build.build(config, specs.make(size), pixels, fast=False)


@pytest.mark.parametrize('model,size,parameters,layers', [
    ('gapnet_pl', 16, 630_076, 10),
    ('resnet18', 16, 11_194_012, 17),
])
def test_a_network_has_a_sigma_more_than_with_relu(model, size, parameters,
                                                   layers):
  network = _build('probact', model, size)
  assert sum(int(np.prod(each.shape))
             for each in network.trainable_variables) == parameters + 1
  assert build.noise_shapes(network).count((2,)) == layers
  kinds = [type(each) for each in network.layers]
  assert kinds.count(activation.ProbAct) == layers
  assert keras.layers.Activation not in kinds
  leaky = _build('leaky_relu', model, size)
  assert sum(int(np.prod(each.shape))
             for each in leaky.trainable_variables) == parameters
  slopes = {
      each.negative_slope
      for each in leaky.layers
      if isinstance(each, keras.layers.LeakyReLU)
  }
  assert slopes == {0.01}


def test_leaky_relu_and_probact_start_by_he():
  """Deviations of kernels with a fan_in of 9 * 64: 2 / (1 + slope^2) / 576."""
  for name, slope in (('leaky_relu', 0.01), ('probact', 0)):
    kernel = _build(name, 'gapnet_pl', 16).get_layer('conv3').kernel.numpy()
    want = np.sqrt(2 / (1 + slope**2) / 576)
    assert kernel.std() == pytest.approx(want, rel=0.02)
