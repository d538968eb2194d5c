"""The inner loop: training steps and evaluation steps under a strategy.

A custom loop, because Keras 3's fit fails under MultiWorkerMirroredStrategy
(keras-team/keras #20585) and turns XLA off under any strategy. One call of a
tf.function runs several steps.

A GPU must have the next step in its queue before it finishes this one, but what
the host copies to or from it waits for all that is queued. So number and rate
of a step are variables on the device, which a call does not set, and its loss
stays there until the call after it has started. With a device cache, batches
are made there too, and a call copies nothing in between.

Batches that the host reads are copied to the device, one a step. The host takes
them itself and waits for the loss of the step before the last, so that one step
stays queued. A tf.while_loop would wait at the end of each iteration; so these
steps are unrolled in the graph, each a call of the same program.

Replicas exchange sums, not means: the loss is summed over the examples of all
replicas and divided by their number, without padding. Dropout noise is the rows
of a replica's slots of noise for the whole global batch, keyed by (seed, epoch,
step): one device and eight drop the same units. Gradients are clipped after
their sum; then come the update and, if there is one, the average of the
weights, which evaluation takes in their place.
"""

import contextlib
from typing import Any, Callable, Iterator

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer import config as config_lib
from trainer.network import build
from trainer.network import depth
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training import input_wait
from trainer.training.optimization import average as average_lib
from trainer.training.optimization import gradient
from trainer.training.optimization import loss as loss_lib
from trainer.training.optimization import optimizer as optimizer_lib

Batches = Iterator[Any] | device_cache.CachedBatches
MakeGradients = Callable[[tf.Variable, tf.Variable], gradient.Differentiates]


class Stepper:
  """Runs the steps of one model; fetch waits for their results.

  Attributes:
    average: of the weights; None without one.
  """

  def __init__(self,
               strategy: tf.distribute.Strategy,
               model: keras.Model,
               optimizer: keras.optimizers.Optimizer,
               config: config_lib.Config,
               most_steps: int,
               class_weights: np.ndarray | None = None,
               labels: np.ndarray | None = None,
               make_gradients: MakeGradients | None = None):
    """Prepares the steps; nothing is traced yet.

    Args:
      strategy: under which model and optimizer were created.
      model: the network.
      optimizer: built.
      config: of the run.
      most_steps: of an epoch.
      class_weights: as of class_weight.compute.
      labels: as of gradient.Gradients.
      make_gradients: of the variables that hold epoch and step, it makes what
        computes the gradients; by default those of the training loss.
    """
    self._strategy, self._config = strategy, config
    self._model, self._optimizer = model, optimizer
    with strategy.scope():
      self._epoch = device_cache.make_variable(np.int64(0))
      self._rates = device_cache.make_variable(np.zeros(most_steps, np.float32))
      self._step, self._evaluated = (tf.Variable(
          np.int64(0),
          trainable=False,
          synchronization=tf.VariableSynchronization.ON_READ,
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
                                     for _ in range(2))
      self.average = (average_lib.Average(model, config.ema)
                      if config.ema else None)
    if make_gradients:
      self._gradients = make_gradients(self._epoch, self._step)
    else:
      self._gradients = gradient.Gradients(strategy, model, config, self._epoch,
                                           self._step, class_weights, labels)
    dihedral.warm_up()
    self._run_step = self._train_step
    self._differentiate = self._gradients.compute
    self._run_evaluation = self._evaluation_step
    self._is_whole = False
    if strategy_lib.compiles(strategy, config.xla) and not isinstance(
        strategy, tf.distribute.TPUStrategy):  # which compiles every step
      self._run_evaluation = tensorflow.traced(self._evaluation_step,
                                               jit_compile=True)
      if strategy.num_replicas_in_sync == 1:
        self._run_step = tensorflow.traced(self._train_step, jit_compile=True)
        self._is_whole = True
      elif (self._gradients.is_compilable and
            build.is_compiled(config, strategy)):
        self._differentiate = tensorflow.traced(self._gradients.compute,
                                                jit_compile=True)
    self._loss = loss_lib.get(config.loss)
    self._factors = depth.list_factors(model, config.stem_rate)

  def begin(self, epoch: int, first: int, rates: np.ndarray) -> None:
    """Sets the position of the next step.

    Args:
      epoch: number of the epoch, for the dropout noise.
      first: number of the step in the epoch.
      rates: [S] float32, the learning rate of each step of the epoch.
    """
    padded = np.zeros(self._rates.shape, np.float32)
    padded[:len(rates)] = rates
    self._rates.assign(padded)
    self._epoch.assign(epoch)
    self._step.assign(first)

  def begin_evaluation(self) -> None:
    """Has evaluate take the first of the batches on the device next."""
    self._evaluated.assign(0)

  def unrolls(self, batches: Batches) -> bool:
    """Returns whether a call is unrolled, and traced for each length."""
    return self._is_whole and not _is_cached(batches)

  def train(self, count: int, batches: Batches) -> tuple[tf.Tensor, tf.Tensor]:
    """Starts the next n steps of training.

    Args:
      count: n.
      batches: distributed iterator over those of reader.training, or on the
        device.

    Returns:
      The loss of each step, [n] float32, and the seconds that they waited for
      their batches, float32. Whoever reads the losses waits for the steps.
    """
    return self._call(self._train_unrolled, self._train_looped, count, batches)

  @tensorflow.traced
  def _train_unrolled(self, count, batches):
    losses, waited = [], tf.zeros([])
    for _ in range(count):
      loss, wait = self._train_next(batches, _before_last(losses))
      losses.append(loss)
      waited += wait
    return tf.stack(losses), waited

  @tensorflow.traced
  def _train_looped(self, count, batches):

    def train(number, losses, last, before, waited):
      loss, wait = self._train_next(batches, before)
      return number + 1, losses.write(number, loss), loss, last, waited + wait

    count = tf.identity(count)  # the argument is on the host
    losses = tf.TensorArray(tf.float32, count, element_shape=[])
    _, losses, _, _, waited = tf.while_loop(lambda number, *_: number < count,
                                            train,
                                            (0, losses, *[tf.zeros([])] * 3))
    return losses.stack(), waited

  def _train_next(self, batches, before):
    """Returns the loss of a step, and the seconds waited for its batch."""
    self._optimizer.learning_rate.assign(
        tf.gather(self._rates.read_value(), self._step.read_value()))
    batch, wait = _next(batches, before)
    loss = self._strategy.run(self._run_step, args=(batch,))
    return self._strategy.reduce('SUM', loss, axis=None), wait

  def evaluate(self, count: int,
               batches: Batches) -> tuple[tf.Tensor, tf.Tensor]:
    """Evaluates the next n batches.

    Args:
      count: n.
      batches: distributed iterator over those of reader.evaluation, or on the
        device.

    Returns:
      Predictions [n, B, K], 0..1, and losses [n, B], float32.
    """
    return self._call(self._evaluate_unrolled, self._evaluate_looped, count,
                      batches)

  @tensorflow.traced
  def _evaluate_unrolled(self, count, batches):
    predictions, losses = [], []
    for _ in range(count):
      predicted, loss = self._evaluate_next(batches, _before_last(losses))
      predictions.append(predicted)
      losses.append(loss)
    return tf.stack(predictions), tf.stack(losses)

  @tensorflow.traced
  def _evaluate_looped(self, count, batches):

    def evaluate(number, *arrays):
      found = self._evaluate_next(batches, tf.zeros([]))
      return number + 1, *(array.write(number, each)
                           for array, each in zip(arrays, found))

    count = tf.identity(count)  # the argument is on the host
    arrays = (tf.TensorArray(tf.float32, count) for _ in range(2))
    _, predictions, losses = tf.while_loop(lambda number, *_: number < count,
                                           evaluate, (0, *arrays))
    return predictions.stack(), losses.stack()

  def _evaluate_next(self, batches, before):
    """Returns predictions [B, K] and losses [B] of a batch."""
    batch, _ = _next(batches, before)
    return tuple(
        self._strategy.gather(each, axis=0)
        for each in self._strategy.run(self._run_evaluation, args=(batch,)))

  def _call(self, unrolled, looped, count, batches):
    """Calls one of two functions of (count, batches).

    On an only device the whole call is placed there: what is not fetched stays.
    """
    placed = contextlib.nullcontext()
    if isinstance(self._strategy, tf.distribute.OneDeviceStrategy):
      placed = tf.device(self._strategy.extended.worker_devices[0])
    with placed:
      if self.unrolls(batches):
        return unrolled(count, batches)
      return looped(tf.constant(count), batches)

  def _train_step(self, batch):
    if _is_cached(batch):
      batch = batch.take(self._step)
    replica = tf.distribute.get_replica_context()
    real = replica.all_reduce('SUM', tf.reduce_sum(batch[dataset.WEIGHT]))
    data_loss, gradients = self._differentiate(batch, real)
    gradients = replica.all_reduce('SUM', gradients)
    if self._config.clip_norm:
      gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm)
    optimizer_lib.apply(self._optimizer, gradients,
                        self._model.trainable_variables, self._factors)
    if self.average:
      self.average.update(self._optimizer.iterations)
    self._step.assign_add(1)
    return data_loss

  def _evaluation_step(self, batch):
    if _is_cached(batch):
      batch = batch.take(self._evaluated)
      self._evaluated.assign_add(1)
    if self.average:
      logits = build.infer_with(self._model, self.average.read(),
                                batch[spec.IMAGE])
    else:
      logits = build.infer(self._model, batch[spec.IMAGE])
    predictions = build.find_probabilities(self._config, logits)
    return predictions, self._loss(batch[spec.LABELS], logits)


def fetch(*tensors: tf.Tensor) -> list[np.ndarray]:
  """Returns what steps have made; here the host waits for them."""
  return [each.numpy() for each in tensors]


def _is_cached(batches) -> bool:
  return isinstance(batches, device_cache.CachedBatches)


def _before_last(losses: list[tf.Tensor]) -> tf.Tensor:
  """Returns a number of the step before the last, which _next waits for."""
  return tf.reshape(losses[-2], [-1])[0] if len(losses) > 1 else tf.zeros([])


def _next(batches: Batches, after: tf.Tensor) -> tuple[Any, tf.Tensor]:
  """Returns as input_wait.take; batches on the device are taken in the step."""
  if _is_cached(batches):
    return batches, tf.zeros([])
  return input_wait.take(batches, after)
