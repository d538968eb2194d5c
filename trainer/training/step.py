"""The inner loop: training steps and evaluation steps under a strategy.

A custom loop, because Keras 3's fit fails under MultiWorkerMirroredStrategy
(keras-team/keras #20585) and turns XLA off under any strategy. One call of a
tf.function runs several steps.

A GPU must have the next step in its queue before it finishes this one, but
reading a result waits for all that is queued. So the host takes the batches
itself, reads only the loss of each step, as soon as the step is queued, and
waits for that of the step before the last. A tf.while_loop would also wait at
the end of each iteration; so fully compiled steps are unrolled in the graph,
each a call of the same program.

Replicas exchange sums, not means: the loss is summed over the examples of all
replicas and divided by their number, without padding. Dropout noise is drawn
for the whole global batch from (seed, epoch, step), and each replica takes the
rows of its own slots: one device and eight drop the same units.
"""

import math

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer import config as config_lib
from trainer.network import build
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training import loss as loss_lib


class Stepper:
  """Runs the steps of one model, with `train` and `evaluate`.

  Attributes:
    input_options: for distributing the batches of `train`; None for the
      defaults.
  """

  def __init__(self,
               strategy: tf.distribute.Strategy,
               model: keras.Model,
               optimizer: keras.optimizers.Optimizer,
               config: config_lib.Config,
               cache: device_cache.DeviceCache | None = None):
    """Compiles the steps if the strategy and the configuration ask for it.

    Args:
      strategy: in whose scope model and optimizer were created.
      model: the network.
      optimizer: built.
      config: of the run.
      cache: the images, if batches have rows in place of images.
    """
    self._strategy = strategy
    self._model = model
    self._optimizer = optimizer
    self._config = config
    self._cache = cache
    dihedral.warm_up()
    self._run_step, self._differentiate = self._train_step, self._gradients
    self._run_evaluation = self._evaluation_step
    self._unrolls, self.input_options = False, None
    if strategy_lib.compiles(strategy, config.xla) and not isinstance(
        strategy, tf.distribute.TPUStrategy):  # which compiles every step
      self._run_evaluation = tf.function(self._evaluation_step,
                                         jit_compile=True)
      # XLA cannot compile the sums over several GPUs here, so with several only
      # the gradients are compiled, unless batch norm has such sums in them.
      norms = [
          layer for layer in model.layers
          if isinstance(layer, keras.layers.BatchNormalization)
      ]
      if strategy.num_replicas_in_sync == 1:
        self._run_step = tf.function(self._train_step, jit_compile=True)
        self._unrolls = True
        self.input_options = tf.distribute.InputOptions(
            experimental_fetch_to_device=False)
      elif not norms:
        self._differentiate = tf.function(self._gradients, jit_compile=True)
    self._loss = loss_lib.get(config.loss)
    self._kernels = [
        v for v in model.trainable_variables if v.path.endswith('/kernel')
    ]

  @tf.function
  def train(self, iterator, epoch: tf.Tensor, first: tf.Tensor,
            rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs n training steps on the next n batches.

    Args:
      iterator: over batches of reader.training, distributed.
      epoch: int32 scalar, for the dropout noise.
      first: int32 scalar, the number of the first step in the epoch.
      rates: [n] float32, the learning rate of each step.

    Returns:
      (losses, waits): the loss of each step, [n] float32, and the seconds that
      it waited for its batch, [n] float32.
    """
    count = rates.shape[0] if self._unrolls else tf.shape(rates)[0]
    with tf.device('CPU:0'):
      losses, waits = (tf.TensorArray(tf.float32, count) for _ in range(2))
      last = before = tf.zeros([])
    for i in range(count) if self._unrolls else tf.range(count):
      self._optimizer.learning_rate.assign(rates[i])
      batch, seconds = _take(iterator, before)
      loss = self._strategy.run(self._run_step, args=(batch, epoch, first + i))
      with tf.device('CPU:0'):
        loss = tf.identity(self._strategy.reduce('SUM', loss, axis=None))
        losses, waits = losses.write(i, loss), waits.write(i, seconds)
      before, last = last, loss
    return losses.stack(), waits.stack()

  @tf.function
  def evaluate(self, batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns predictions [B, K], 0..1, and losses [B] of a batch, float32.

    Args:
      batch: of reader.evaluation, distributed.
    """
    predictions, losses = self._strategy.run(self._run_evaluation,
                                             args=(batch,))
    return (self._strategy.gather(predictions,
                                  axis=0), self._strategy.gather(losses,
                                                                 axis=0))

  def _train_step(self, batch, epoch, step):
    replica = tf.distribute.get_replica_context()
    real = replica.all_reduce('SUM', tf.reduce_sum(batch[dataset.WEIGHT]))
    data_loss, gradients = self._differentiate(batch, epoch, step, real)
    gradients = replica.all_reduce('SUM', gradients)
    if self._config.clip_norm:
      gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm)
    replicas = self._strategy.num_replicas_in_sync
    if replicas > 1:
      # Keras 3 sums over replicas once more (TFOptimizer, 3.15), without an
      # option not to; clipping needs the sum before.
      gradients = [gradient / replicas for gradient in gradients]
    self._optimizer.apply(gradients, self._model.trainable_variables)
    return data_loss

  def _gradients(self, batch, epoch, step, real):
    """Returns this replica's part of the loss, and of its gradients."""
    image = (batch[spec.IMAGE]
             if self._cache is None else self._cache.images(batch[dataset.ROW]))
    image = dihedral.transform(image, batch[dataset.ELEMENT])
    noise = self._noise(batch[dataset.SLOT], epoch, step)
    with tf.GradientTape() as tape:
      logits = self._model([image, *noise], training=True)
      losses = self._loss(batch[spec.LABELS], logits)
      data_loss = tf.reduce_sum(losses * batch[dataset.WEIGHT]) / real
      # Weights are the same on every replica: each adds its part of the decay.
      loss = data_loss + self._decay() / self._strategy.num_replicas_in_sync
    return data_loss, tape.gradient(loss, self._model.trainable_variables)

  def _evaluation_step(self, batch):
    logits = build.infer(self._model, batch[spec.IMAGE])
    return tf.sigmoid(logits), self._loss(batch[spec.LABELS], logits)

  @tensorflow.compiled
  def _noise(self, slots, epoch, step) -> list[tf.Tensor]:
    """Returns uniform noise for each dropout layer, [b, ...] float32.

    The rows are those of this replica's slots [b]. Always compiled: XLA's
    Philox gives other numbers than TensorFlow's own.
    """
    # An int64 seed gives other numbers; a seed that fits int32 stays int32.
    seed = tf.constant(self._config.seed,
                       tf.int32 if self._config.seed < 2**31 else tf.int64)
    seed = tf.random.experimental.stateless_fold_in(
        tf.stack([seed, tf.cast(epoch, seed.dtype)]), step)
    # The layer's number tells the streams apart; another user of this key takes
    # numbers from 2**16 on, which no layer has.
    return [
        tf.gather(
            tf.random.stateless_uniform(
                (self._config.batch_size, *shape),
                tf.random.experimental.stateless_fold_in(seed, layer),
                alg='philox'), slots)
        for layer, shape in enumerate(build.noise_shapes(self._model))
    ]

  def _decay(self) -> tf.Tensor:
    decay = tf.zeros([])
    if self._config.l1:
      decay += self._config.l1 * tf.add_n(
          [tf.reduce_sum(tf.abs(kernel)) for kernel in self._kernels])
    if self._config.l2:
      decay += self._config.l2 * tf.add_n(
          [tf.reduce_sum(tf.square(kernel)) for kernel in self._kernels])
    return decay


def has_clock() -> bool:
  """Returns whether TensorFlow has a clock.

  It has none in deterministic mode, as with TF_DETERMINISTIC_OPS=1.
  """
  with tf.init_scope():
    try:
      tf.timestamp()
      return True
    except tf.errors.FailedPreconditionError:
      return False


def _take(iterator, after: tf.Tensor) -> tuple:
  """Returns the next batch, and the seconds waited for it, float32.

  Args:
    iterator: over batches.
    after: loss of the step before the last, which is waited for first. The GPU
      lags behind the host: waiting for that step keeps one step queued, and
      counts only the time in which the GPU would wait for input.
  """
  if not has_clock():
    return next(iterator), tf.zeros([])
  with tf.device('CPU:0'):
    after = tf.identity(after)
    with tf.control_dependencies([after]):
      begun = tf.timestamp()
  with tf.control_dependencies([begun]):
    batch = next(iterator)
  parts = tf.nest.flatten(batch, expand_composites=True)
  with tf.control_dependencies(parts), tf.device('CPU:0'):
    return batch, tf.cast(tf.timestamp() - begun, tf.float32)


def check_finite(loss: float, where: str) -> None:
  """Checks that a loss is finite.

  Args:
    loss: of a step or an evaluation.
    where: in the training, for the message.

  Raises:
    errors.StoppedEarly: the loss is NaN or infinite.
  """
  if not math.isfinite(loss):
    raise errors.StoppedEarly(
        f'The loss is {loss} {where}; earlier checkpoints are kept. Lower '
        '--learning_rate, or set --clip_norm, and choose another --workdir.', 1)
