"""The inner loop: one training step, one evaluation step, under a strategy.

A custom loop, because Keras 3's fit fails under MultiWorkerMirroredStrategy
(keras-team/keras #20585) and switches XLA off under any strategy. Several
steps run in one call of a tf.function, so Python is out of the way.

Sums, not means, cross replicas: the loss is summed over every replica's
examples and divided by their real number, so a batch that is filled up counts
as what it holds. Dropout noise is drawn for the whole global batch from (seed,
epoch, step), and each replica takes the rows of its own slots: one device and
eight drop the same units.
"""

from hpa_records import dataset
from hpa_records import schema
from hpa_records.backend import keras, tf
from trainer import config as config_lib
from trainer import device_cache
from trainer import dihedral
from trainer import gapnet
from trainer import loss as loss_lib


class Stepper:
  """Runs steps of one model; `train` and `score` are its two calls."""

  def __init__(self,
               strategy: tf.distribute.Strategy,
               model: keras.Model,
               optimizer: keras.optimizers.Optimizer,
               config: config_lib.Config,
               cache: device_cache.DeviceCache | None = None):
    """Takes what a step works on.

    Args:
      strategy: whose scope made model and optimizer.
      model: the network.
      optimizer: built.
      config: the run's.
      cache: where pixels are, if batches have rows in place of images.
    """
    self._strategy = strategy
    self._model = model
    self._optimizer = optimizer
    self._config = config
    self._cache = cache
    dihedral.warm_up()
    self._loss = loss_lib.get(config.loss)
    self._kernels = [
        v for v in model.trainable_variables if v.path.endswith('/kernel')
    ]

  @tf.function
  def train(self, iterator, epoch: tf.Tensor, first: tf.Tensor,
            rates: tf.Tensor) -> tf.Tensor:
    """Trains on the next batches; returns their losses, float32 [n].

    Args:
      iterator: over batches of reader.training, distributed.
      epoch: int32 scalar, for the dropout noise.
      first: int32 scalar, the step in the epoch that comes first.
      rates: [n] float32, the learning rate of each step; n steps are run.
    """
    count = tf.shape(rates)[0]
    losses = tf.TensorArray(tf.float32, count)
    for i in tf.range(count):
      self._optimizer.learning_rate.assign(rates[i])
      loss = self._strategy.run(self._train_step,
                                args=(next(iterator), epoch, first + i))
      losses = losses.write(i, self._strategy.reduce('SUM', loss, axis=None))
    return losses.stack()

  @tf.function
  def score(self, batch) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns one batch's scores [B, K] in 0..1 and losses [B], float32.

    Args:
      batch: of reader.evaluation, distributed.
    """
    scores, losses = self._strategy.run(self._score_step, args=(batch,))
    return (self._strategy.gather(scores,
                                  axis=0), self._strategy.gather(losses,
                                                                 axis=0))

  def _train_step(self, batch, epoch, step):
    image = (batch[schema.IMAGE]
             if self._cache is None else self._cache.images(batch[dataset.ROW]))
    image = dihedral.transform(image, batch[dataset.ELEMENT])
    noise = self._noise(batch[dataset.SLOT], epoch, step)
    replica = tf.distribute.get_replica_context()
    real = replica.all_reduce('SUM', tf.reduce_sum(batch[dataset.WEIGHT]))
    replicas = self._strategy.num_replicas_in_sync
    with tf.GradientTape() as tape:
      logits = self._model([image, *noise], training=True)
      losses = self._loss(batch[schema.LABELS], logits)
      data_loss = tf.reduce_sum(losses * batch[dataset.WEIGHT]) / real
      # The decay is the same on every replica: each adds its share.
      loss = data_loss + self._decay() / replicas
    weights = self._model.trainable_variables
    gradients = replica.all_reduce('SUM', tape.gradient(loss, weights))
    if self._config.clip_norm:
      gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm)
    if replicas > 1:
      # Keras 3 sums over replicas once more (TFOptimizer, 3.15), and has no way
      # to be told that it is done; clipping needs the sum before.
      gradients = [gradient / replicas for gradient in gradients]
    self._optimizer.apply(gradients, weights)
    return data_loss

  def _score_step(self, batch):
    logits = gapnet.infer(self._model, batch[schema.IMAGE])
    return tf.sigmoid(logits), self._loss(batch[schema.LABELS], logits)

  def _noise(self, slots, epoch, step) -> list[tf.Tensor]:
    """Uniform noise for each dropout layer, rows of this replica's slots."""
    seed = tf.random.experimental.stateless_fold_in(
        tf.stack([tf.constant(self._config.seed), epoch]), step)
    return [
        tf.gather(
            tf.random.stateless_uniform(
                (self._config.batch_size, *shape),
                tf.random.experimental.stateless_fold_in(seed, layer),
                alg='philox'), slots)
        for layer, shape in enumerate(gapnet.noise_shapes(self._model))
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
