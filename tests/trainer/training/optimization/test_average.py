"""Tests of trainer.training.optimization.average."""

import numpy as np

from hpa_records.runtime.tensorflow import keras
from trainer.training.optimization import average as average_lib


def test_averages_follow_weights_and_moments_by_hand():
  model = keras.Sequential([
      keras.Input((2,)),
      keras.layers.Dense(1),
      keras.layers.BatchNormalization(),
  ])
  average = average_lib.Average(model, 0.4)
  want = [np.array(each) for each in model.variables]
  rng = np.random.default_rng(0)
  for steps in range(1, 8):
    decay = min(0.4, (1 + steps) / (10 + steps))
    for i, each in enumerate(model.variables):
      value = rng.normal(size=each.shape).astype(np.float32)
      each.assign(value)
      want[i] = decay * want[i] + (1 - decay) * value
    average.update(np.int64(steps))
  assert {each.name for each in model.variables} >= {'kernel', 'moving_mean'}
  for found, expected in zip(average.read(), want):
    np.testing.assert_allclose(found, expected, atol=1e-6)
  average.copy_to_model()
  for each, expected in zip(model.variables, want):
    np.testing.assert_allclose(np.array(each), expected, atol=1e-6)


def test_weights_that_do_not_move_are_their_average_bit_for_bit():
  model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(9)])
  average = average_lib.Average(model, 0.999)
  for steps in range(1, 30):
    average.update(np.int64(steps))
  for found, weight in zip(average.read(), model.variables):
    np.testing.assert_array_equal(found, weight)
