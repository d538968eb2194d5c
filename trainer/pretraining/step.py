"""Loss and gradients of a pre-training, on each replica.

All views of a replica's images go through the network in one pass, so batch
norm takes its moments from all views. For a contrastive loss the projections of
all replicas are then gathered: an image has the same negatives on any number of
devices. Gradients flow back through that exchange, also to the negatives.
ArcFace needs no exchange: each replica has the centers of all identities.
"""

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import noise as noise_lib
from trainer.network import build
from trainer.pretraining import arcface
from trainer.pretraining import contrastive
from trainer.pretraining import settings as settings_lib
from trainer.pretraining import views
from trainer.training.optimization import gradient
from trainer.training.optimization import loss as loss_lib


class Gradients(gradient.Differentiates):
  """Computes the loss and its gradients."""
  is_compilable = False  # it gathers

  def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model,
               settings: settings_lib.Settings, epoch: tf.Variable,
               step: tf.Variable):
    """Prepares them; nothing is traced yet.

    Args:
      strategy: under which the model was created.
      model: the first of projection.make.
      settings: of the run.
      epoch: int64, number of the epoch.
      step: int64, number of the step in the epoch.
    """
    self._model, self._settings = model, settings
    self._epoch, self._step = epoch, step
    self._replicas = strategy.num_replicas_in_sync
    self._count = settings.batch_size // self._replicas
    self._views = views.Views(settings, self._count)
    self._decayed = build.find_decayed(model, False)

  def compute(self, batch: dict[str, tf.Tensor],
              real: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns a replica's part of the loss, and of its gradients.

    The loss is without weight decay, which the gradients have.

    Args:
      batch: the replica's part, as of Reader.training; without blanks.
      real: float32 scalar, images of the global batch.
    """
    images = self._views.make(batch, self._epoch, self._step)
    noise = self._noise(batch[dataset.SLOT][0], self._epoch, self._step)
    with tf.GradientTape() as tape:
      found = self._model([images, *noise], training=True)
      data_loss = tf.reduce_sum(self._lose(found, batch)) / real
      decay = loss_lib.penalty(self._decayed, 0, self._settings.l2)
      loss = data_loss + decay / self._replicas
    return data_loss, tape.gradient(loss, self._model.trainable_variables)

  def _lose(self, found, batch):
    """Returns the loss of each image, [b], of the outputs of its views."""
    on = self._settings
    if on.loss == settings_lib.ARCFACE:
      return arcface.lose(found, tf.cast(batch[spec.LABELS][:, 0], tf.int32))
    own = tf.split(tf.math.l2_normalize(found, 1), on.num_views)
    lose = contrastive.get(on.loss)
    return lose(own, self._gather(own), batch[dataset.SLOT], on.temperature)

  def _gather(self, own):
    """Returns the vectors [B, D] of all replicas, for each view."""
    if self._replicas == 1:
      return own
    replica = tf.distribute.get_replica_context()
    shape = (self._settings.batch_size, self._settings.projection)
    return [tf.ensure_shape(replica.all_gather(each, 0), shape) for each in own]

  @tensorflow.compiled
  def _noise(self, first, epoch, step):
    """Returns uniform noise for each dropout layer, [V * b, ...] float32."""
    key = noise_lib.make_key(self._settings.seed, epoch, step)

    def draw(layer, view, shape):
      key_of_view = noise_lib.fold(noise_lib.fold(key, layer), view)
      return noise_lib.draw(key_of_view, first, (self._count, *shape))

    return [
        tf.concat([
            draw(layer, view, shape) for view in range(self._settings.num_views)
        ], 0) for layer, shape in enumerate(build.noise_shapes(self._model))
    ]
