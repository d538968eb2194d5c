"""Tests of trainer.training.optimization.optimizer."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from tests.support import specs
from trainer.network import gapnet
from trainer.recipe import optimization
from trainer.run import checkpoint
from trainer.training.optimization import optimizer as optimizer_lib

_GRADIENTS = (2.0, -1.0, 0.5)


def _train(gradients, **settings):
  """The weight of a network of one, from 1, after steps of gradients."""
  model = keras.Sequential([
      keras.Input((1,)),
      keras.layers.Dense(1, use_bias=False, kernel_initializer='ones')
  ])
  optimizer = optimizer_lib.make_optimizer(
      optimization.Optimization(**settings), model)
  found = []
  for gradient in gradients:
    optimizer.apply([tf.constant([[gradient]])], model.trainable_variables)
    found.append(float(model.trainable_variables[0].numpy()[0, 0]))
  return found


def test_sgd_with_momentum_by_hand():
  found = _train([2, 2], learning_rate=0.1)
  assert found == pytest.approx([0.8, 0.42])  # v: -0.2, 0.9 * -0.2 - 0.2


@pytest.mark.parametrize('decay', [0.0, 0.5])
def test_adamw_by_hand(decay):
  """Algorithm 2 of Loshchilov and Hutter, with rate * decay."""
  weight, mean, square, want = 1.0, 0.0, 0.0, []
  for step, gradient in enumerate(_GRADIENTS, 1):
    weight -= 0.1 * decay * weight
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    scaled = np.sqrt(square / (1 - 0.999**step))
    weight -= 0.1 * mean / (1 - 0.9**step) / scaled
    want.append(weight)
  found = _train(_GRADIENTS,
                 optimizer='adamw',
                 learning_rate=0.1,
                 weight_decay=decay)
  assert found == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize('decay', [0.0, 0.5])
def test_lion_by_hand(decay):
  weight, mean, want = 1.0, 0.0, []
  for gradient in _GRADIENTS:
    weight -= 0.1 * decay * weight
    weight -= 0.1 * np.sign(0.9 * mean + 0.1 * gradient)
    mean = 0.99 * mean + 0.01 * gradient
    want.append(weight)
  found = _train(_GRADIENTS,
                 optimizer='lion',
                 learning_rate=0.1,
                 weight_decay=decay)
  assert found == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize('name', optimization.OPTIMIZERS)
def test_weight_decay_moves_kernels_alone(name):
  """With a gradient of 0 nothing else moves a weight."""
  model = gapnet.build(specs.make(149),
                       'kaggle',
                       'prelu',
                       mean=[100] * 4,
                       std=[50] * 4)
  weights = model.trainable_variables
  for each in weights:
    each.assign(np.ones(each.shape))
  optimizer = optimizer_lib.make_optimizer(
      optimization.Optimization(optimizer=name,
                                learning_rate=0.1,
                                weight_decay=0.5), model)
  optimizer.apply([tf.zeros(each.shape) for each in weights], weights)
  moved = {each.name for each in weights if each.numpy().min() < 1}
  assert moved == {'kernel'}
  assert {'bias', 'gamma', 'beta', 'slope'} <= {each.name for each in weights}
  for each in weights:
    want = 0.95 if each.name in moved else 1
    np.testing.assert_allclose(each.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize('name', optimization.OPTIMIZERS)
def test_names_in_checkpoints_do_not_depend_on_earlier_optimizers(name):
  model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
  settings = optimization.Optimization(optimizer=name, learning_rate=0.1)
  first, second = ([
      *checkpoint.name_variables(model,
                                 optimizer_lib.make_optimizer(settings, model))
  ] for _ in range(2))
  assert first == second and len(first) >= 6


def test_rate_of_the_optimizer_can_be_assigned():
  model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
  optimizer = optimizer_lib.make_optimizer(
      optimization.Optimization(learning_rate=0.1), model)
  optimizer.learning_rate.assign(0.05)
  np.testing.assert_allclose(optimizer.learning_rate.numpy(), 0.05)
