"""The optimizer, and a learning rate that halves when a metric stops improving.

The paper says only "the rate is halved when performance plateaus". The plateau
is a value, not a callback: settings and state in one frozen dataclass that is
saved in the checkpoint's JSON, so that a resumed run halves in the same epoch.
keras.callbacks.ReduceLROnPlateau keeps its state in attributes that no
checkpoint saves, and needs fit().
"""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf

MODES = ('max', 'min')


class SGD(keras.optimizers.SGD):
  """SGD for gradients that are summed over replicas already, to clip them."""

  def _all_reduce_sum_gradients(self, grads_and_vars):
    """Keras would sum them once more (TFOptimizer, 3.15)."""
    return grads_and_vars


@tensorflow.keras_defaults()
def make_optimizer(learning_rate: float,
                   momentum: float) -> keras.optimizers.SGD:
  """Returns SGD: v = momentum * v - rate * gradient; weight += v.

  Args:
    learning_rate: at first.
    momentum: 0..1.

  Returns:
    The optimizer; its `apply` takes gradients that are summed over replicas.
  """
  return SGD(learning_rate=learning_rate, momentum=momentum)


def apply(optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor],
          variables: Sequence[keras.Variable],
          factors: Sequence[tuple[keras.Variable, float]]) -> None:
  """Updates variables; those with a factor change by it times as much.

  So a factor is one on the rate for any optimizer, also for one whose steps do
  not depend on the scale of the gradients, or that decays weights by itself.
  The state of the optimizer does not depend on it.

  Args:
    optimizer: built.
    gradients: of the variables, summed over replicas.
    variables: that are trained.
    factors: some of them, each with its factor.
  """
  before = [tf.identity(variable.value) for variable, _ in factors]
  optimizer.apply(gradients, variables)

  def scale(strategy, before):
    for (variable, factor), old in zip(factors, before):

      def move(new, old, factor=factor):
        new.assign(old + factor * (new - old))

      strategy.extended.update(variable.value, move, (old,), group=False)

  if factors:
    tf.distribute.get_replica_context().merge_call(scale, (before,))


def warm_up(rate: float, epoch: int, steps: int,
            warmup_epochs: float) -> np.ndarray:
  """Returns the learning rate of each step of an epoch, [steps] float32.

  Args:
    rate: of the epoch without warm-up.
    epoch: finished epochs.
    steps: of the epoch.
    warmup_epochs: epochs, with fractions, over which the rate rises linearly
      from 0; 0 for no warm-up.
  """
  done = epoch + np.arange(1, steps + 1) / steps
  if warmup_epochs:
    rate = rate * np.minimum(1, done / warmup_epochs)
  return np.broadcast_to(np.float32(rate), (steps,))


@dataclasses.dataclass(frozen=True)
class Plateau:
  """A learning rate that is cut when a metric has not improved for a while.

  A value improves when it is above best + least gain (mode 'max') or below
  best - least gain (mode 'min'). The first finite value always improves; None
  and values that are not finite never do. After patience epochs in a row
  without improvement the rate is multiplied by factor, but not below
  min_learning_rate, and the count starts again at 0; best is kept.

  Attributes:
    learning_rate: the rate to train the next epoch with.
    factor: what a plateau multiplies the rate by, 0 < factor <= 1.
    patience: epochs in a row without improvement before a cut, >= 1.
    threshold: the least gain, which a gain must exceed, >= 0.
    min_learning_rate: floor of the rate, >= 0.
    mode: 'max' if higher values are better, 'min' if lower ones are.
    relative: whether the least gain is threshold * |best|.
    best: best value so far, None before the first.
    bad_epochs: epochs in a row without improvement since the last cut.
  """
  learning_rate: float
  factor: float = 0.5
  patience: int = 30
  threshold: float = 0.0
  min_learning_rate: float = 0.0
  mode: str = 'max'
  relative: bool = False
  best: float | None = None
  bad_epochs: int = 0

  def __post_init__(self):
    checks = (
        ('mode', f'one of {", ".join(MODES)}', self.mode in MODES),
        ('factor', 'above 0 and at most 1', 0 < self.factor <= 1),
        ('patience', 'at least 1', self.patience >= 1),
        ('threshold', 'at least 0', self.threshold >= 0),
        ('min_learning_rate', 'at least 0', self.min_learning_rate >= 0),
        ('learning_rate', 'above 0', self.learning_rate > 0),
    )
    for name, expected, holds in checks:
      if not holds:
        raise ValueError(f'Expected {name} to be {expected}, received '
                         f'{getattr(self, name)!r}.')

  def improves(self, value: float | None) -> bool:
    """Returns whether the value beats the best by more than the least gain."""
    if value is None or not math.isfinite(value):
      return False
    if self.best is None:
      return True
    gain = value - self.best if self.mode == 'max' else self.best - value
    return gain > self.threshold * (abs(self.best) if self.relative else 1)

  def update(self, value: float | None) -> 'Plateau':
    """Returns the plateau after an epoch with this value of the metric."""
    if self.improves(value):
      return dataclasses.replace(self, best=float(value), bad_epochs=0)
    if self.bad_epochs + 1 < self.patience:
      return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1)
    # A rate that starts below the floor is not raised.
    floor = min(self.learning_rate, self.min_learning_rate)
    rate = max(self.learning_rate * self.factor, floor)
    return dataclasses.replace(self, learning_rate=rate, bad_epochs=0)

  def to_dict(self) -> dict[str, Any]:
    """Returns settings and state as JSON types."""
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Plateau':
    """Returns the plateau that to_dict() wrote.

    Raises:
      TypeError: a key is unknown.
      ValueError: a setting is out of range.
    """
    return cls(**values)
