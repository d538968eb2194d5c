"""Loss and gradients of a replica's part of a batch, whole or in parts.

With --accumulate=k a step computes its batch in k parts and sums their
gradients: the activations of one part are in memory at a time. The parts are
iterations of a tf.while_loop, so the network is in the graph once. Replicas
cannot exchange sums inside such a loop, which batch norm does; for it the parts
are unrolled, and wait for each other. Its moments are those of a part.
"""

import functools
from typing import Protocol

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import tier
from trainer.augmentation import chain
from trainer.augmentation import decoupling
from trainer import config as config_lib
from trainer.network import build
from trainer import noise as noise_lib
from trainer.training.optimization import batch_loss
from trainer.training.optimization import loss as loss_lib


class Differentiates(Protocol):
  """What a step computes on each replica.

  Attributes:
    is_compilable: whether XLA compiles it for several GPUs, if it compiles the
      network; it compiles no exchange between them.
  """
  is_compilable: bool

  def compute(self, batch: dict[str, tf.Tensor],
              real: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns as Gradients.compute."""


class Gradients(Differentiates):
  """Computes loss and gradients of the training loss on each replica."""
  is_compilable = True

  def __init__(self,
               strategy: tf.distribute.Strategy,
               model: keras.Model,
               config: config_lib.Config,
               epoch: tf.Variable,
               step: tf.Variable,
               class_weights: np.ndarray | None,
               labels: np.ndarray | None = None):
    """Prepares them; nothing is traced yet.

    Args:
      strategy: under which the model was created.
      model: the network.
      config: of the run.
      epoch: int64, number of the epoch, for the noise.
      step: int64, number of the step in the epoch, for the noise.
      class_weights: as of loss.get_trained.
      labels: as of preparation.find_trained_labels, for settings that need it.
    """
    self._model, self._config = model, config
    self._epoch, self._step = epoch, step
    self._replicas = strategy.num_replicas_in_sync
    self._count = config.batch_size // self._replicas
    is_rare = tier.mark_rarest(labels) if config.rana_mix else None
    self._chain = chain.Chain(config, config.seed, self._count, is_rare)
    self._decoupling = (decoupling.Decoupling(labels, config.seed, self._count)
                        if config.remedial else None)
    self._loss = loss_lib.get_trained(config, class_weights)
    self._decayed = build.find_decayed(model, config.decay_biases)
    # Also with one replica of a strategy for several.
    self._is_unrolled = build.has_norm(config) and not isinstance(
        strategy, tf.distribute.OneDeviceStrategy)

  def compute(self, batch: dict[str, tf.Tensor],
              real: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns a replica's part of the loss, and of its gradients.

    The loss is without weight decay, which the gradients have.

    Args:
      batch: the replica's part, as of indexed.batches.
      real: float32 scalar, images of the global batch without padding.
    """
    if self._decoupling:
      kept = self._decoupling.apply(batch[spec.LABELS], batch[dataset.SLOT][0],
                                    self._epoch, self._step)
      batch = {**batch, spec.LABELS: kept}
    image, labels = self._chain.apply(batch, self._epoch, self._step)
    noise = self.noise(batch[dataset.SLOT], self._epoch, self._step)
    rows = (labels, batch[dataset.WEIGHT], image, *noise)
    if self._config.accumulate == 1:
      gather = functools.partial(self._gather, batch)
      return self._differentiate(real, gather, *rows)
    return self._accumulate(real, *rows)

  def _accumulate(self, real, *rows):
    """Returns the sums of loss and gradients over the parts of some rows."""
    parts = self._config.accumulate
    # A part has the slots of one remainder, on any number of replicas.
    cut = [
        tf.reshape(each, (self._count // parts, parts, *each.shape[1:]))
        for each in rows
    ]

    def add(number, *sums):
      with tf.control_dependencies(sums):
        part = [tf.gather(each, number, axis=1) for each in cut]
      loss, gradients = self._differentiate(real, None, *part)
      return number + 1, *(one + other
                           for one, other in zip(sums, [loss, *gradients]))

    state = (
        0, tf.zeros([]),
        *(tf.zeros(each.shape) for each in self._model.trainable_variables))
    if self._is_unrolled:
      for _ in range(parts):
        state = add(*state)
    else:
      state = tf.while_loop(lambda number, *_: number < parts,
                            add,
                            state,
                            parallel_iterations=1)
    _, loss, *gradients = state
    return loss, gradients

  def _differentiate(self, real, gather, labels, weight, image, *noise):
    """Returns the loss of some rows, and its gradients.

    Gather is that of loss.get_trained; None with parts of a batch.
    """
    with tf.GradientTape() as tape:
      logits = self._model([image, *noise], training=True)
      losses = self._loss(labels, logits, gather)
      data_loss = tf.reduce_sum(losses * weight) / real
      # Weights are the same in every part: each adds its share of the decay.
      decay = loss_lib.penalty(self._decayed, self._config.l1, self._config.l2)
      loss = data_loss + decay / (self._replicas * self._config.accumulate)
    return data_loss, tape.gradient(loss, self._model.trainable_variables)

  def _gather(self, batch, labels, logits) -> batch_loss.Batch:
    """Returns the batch of all replicas, of which these are some rows."""
    slots, weight = batch[dataset.SLOT], batch[dataset.WEIGHT]
    labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
    # A sum, since each replica has its own slots and zeros elsewhere.
    parts = [
        tf.scatter_nd(slots[:, None], tf.stop_gradient(each),
                      (self._config.batch_size, each.shape[1]))
        for each in (labels, logits, weight[:, None])
    ]
    replica = tf.distribute.get_replica_context()
    return batch_loss.Batch(*replica.all_reduce('SUM', parts), slots)

  @tensorflow.compiled
  def noise(self, slots: tf.Tensor, epoch: tf.Tensor,
            step: tf.Tensor) -> list[tf.Tensor]:
    """Returns uniform noise for each input of it, [b, ...] float32.

    Always compiled: XLA's Philox gives other numbers than TensorFlow's own.

    Args:
      slots: [b] int32, this replica's, which follow each other.
      epoch: int64 scalar.
      step: int64 scalar, of the epoch.
    """
    key = noise_lib.make_key(self._config.seed, epoch, step)
    first, rows = slots[0], self._count
    if self._config.dropout_mask == 'batch':  # the first row for every example
      first, rows = tf.constant(0), 1
    return [
        tf.broadcast_to(
            noise_lib.draw(noise_lib.fold(key, layer), first, (rows, *shape)),
            (self._count, *shape))
        for layer, shape in enumerate(build.noise_shapes(self._model))
    ]
