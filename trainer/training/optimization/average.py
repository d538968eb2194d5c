"""A moving average of a network's weights, which is scored in their place.

Keras's optimizers have one (use_ema), but start it from the first step's
weights at the full decay, and leave the moments of batch norm out.
"""

import numpy as np

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf


class Average:
  """Exponential moving averages of all variables of a network.

  The first ones are its initial weights. After a step, with t the steps so far,
  average += (1 - d) * (weight - average), d = min(decay, (1 + t) / (10 + t)):
  a short run, or the start of a long one, is not held at the initial weights.
  The moments of batch norm are averaged like weights, so that they are those of
  the averaged weights.

  Each replica keeps a copy of its own and updates it without communication.

  Source: tf.train.ExponentialMovingAverage with num_updates; the moments as
  `utils.get_ema_vars` of the reference implementation of EfficientNet does.

  Attributes:
    variables: the averages, in the order of the network's variables, float32.
  """

  def __init__(self, model: keras.Model, decay: float):
    """Creates the variables, in the scope of the model's strategy.

    Args:
      model: with its initial weights.
      decay: 0 < decay < 1.
    """
    self._weights, self._decay = model.variables, decay
    self.variables = [
        tf.Variable(np.array(each),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        for each in self._weights
    ]

  def update(self, steps: tf.Tensor) -> None:
    """Adds the weights to the averages, on a replica.

    Args:
      steps: number of the steps so far, this one included.
    """
    steps = tf.cast(steps, tf.float32)
    part = 1 - tf.minimum(self._decay, (1 + steps) / (10 + steps))
    for average, weight in zip(self.variables, self._weights):
      moved = tf.convert_to_tensor(weight) - average.read_value()
      average.assign_add(part * moved)

  def read(self) -> list[tf.Tensor]:
    """Returns the averages, in the order of variables."""
    return [each.read_value() for each in self.variables]

  def copy_to_model(self) -> None:
    """Sets the weights of the network to the averages, after the training."""
    for average, weight in zip(self.variables, self._weights):
      weight.assign(average.read_value())
