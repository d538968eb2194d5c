"""arcface: the loss by hand, and what the cosines are of."""

import math

import numpy as np

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.pretraining import arcface


def _cross_entropy(own, other):
  return math.log1p(math.exp(other - own))  # -log(e^own / (e^own + e^other))


def test_two_images_of_two_identities_by_hand():
  # theta is 60 degrees in the first, and beyond pi - 0.5 in the second.
  cosines = tf.constant([[0.5, 0.1], [0.2, -0.9]])
  found = arcface.lose(cosines, tf.constant([0, 1])).numpy()
  moved = (math.cos(math.pi / 3 + 0.5), -0.9 - 0.5 * math.sin(0.5))
  np.testing.assert_allclose(moved, [0.0235966, -1.1397128], atol=1e-6)
  first = _cross_entropy(30 * moved[0], 30 * 0.1) + _cross_entropy(0.5, 0.1)
  second = _cross_entropy(30 * moved[1], 30 * 0.2) + _cross_entropy(-0.9, 0.2)
  np.testing.assert_allclose(found, [first / 2, second / 2], rtol=1e-5)


def test_a_smaller_angle_is_never_worse():
  cosines = np.linspace(-1, 1, 1001, dtype=np.float32)
  found = arcface.add_margin(tf.constant(cosines)).numpy()
  assert (np.diff(found) > 0).all()
  assert (found < cosines).all()


def test_gradients_are_finite_where_a_sine_is_0():
  cosines = tf.constant([[1.0, -1.0], [1.0, -1.0]])
  with tf.GradientTape() as tape:
    tape.watch(cosines)
    loss = tf.reduce_sum(arcface.lose(cosines, tf.constant([0, 1])))
  assert np.isfinite(tape.gradient(loss, cosines)).all()


def test_cosines_do_not_depend_on_lengths():
  layer = arcface.Cosines(2, 0)
  layer.build((None, 2))
  layer.set_weights([np.float32([[3, 0], [4, 2]])])  # centers are columns
  found = layer(np.float32([[6, 8], [1, 0]])).numpy()
  np.testing.assert_allclose(found, [[1, .8], [.6, 0]], atol=1e-6)


def test_centers_start_between_their_bounds_and_by_the_seed():
  first, second, other = (_start(seed) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, second)
  assert (first != other).any()
  assert 0.2 < np.abs(first).max() <= 0.25  # 1 / sqrt(16)


def _start(seed):
  inputs = keras.Input((16,))
  layer = arcface.Cosines(5, seed)
  assert layer(inputs).shape == (None, 5)
  return layer.get_weights()[0]
