"""Keras's optimizers, for gradients that are summed over replicas already."""

from collections.abc import Sequence

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.network import build
from trainer.recipe import optimization


class _OfSums:
  """An optimizer that takes sums over replicas, which were clipped."""

  def _all_reduce_sum_gradients(self, grads_and_vars):
    """Keras would sum them once more (TFOptimizer, 3.15)."""
    return grads_and_vars


class SGD(_OfSums, keras.optimizers.SGD):
  """v = momentum * v - rate * gradient; weight += v."""


class AdamW(_OfSums, keras.optimizers.AdamW):
  """Adam with decoupled weight decay.

  Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019,
  algorithm 2.
  """


class Lion(_OfSums, keras.optimizers.Lion):
  """Steps of one size, by the sign of an interpolated momentum.

  Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
  algorithm 2.
  """


@tensorflow.keras_defaults()
def make_optimizer(settings: optimization.Optimization,
                   model: keras.Model) -> keras.optimizers.Optimizer:
  """Returns a network's optimizer, built.

  Its `apply` takes gradients that are summed over replicas. Weight decay takes
  rate * settings.weight_decay * w off each variable of build.find_decayed, and
  off no other, before the update.

  Args:
    settings: of the run.
    model: of build.build.
  """
  if settings.optimizer == 'adamw':
    optimizer = AdamW(settings.learning_rate)
  elif settings.optimizer == 'lion':
    optimizer = Lion(settings.learning_rate)
  else:
    optimizer = SGD(settings.learning_rate, settings.momentum)
  optimizer.weight_decay = settings.weight_decay or None
  decayed = {
      id(each) for each in build.find_decayed(model, settings.decay_biases)
  }
  optimizer.exclude_from_weight_decay(
      [each for each in model.trainable_variables if id(each) not in decayed])
  optimizer.build(model.trainable_variables)
  return optimizer


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
