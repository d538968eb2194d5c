"""The images of a dataset in the memory of the device, and batches of them.

They are transferred once. Then a batch is rows of the index, which are also on
the device, for all steps of an epoch: a step copies nothing from the host. Each
such copy would wait for the steps before it.
"""

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import memory


class DeviceCache:
  """The images and labels of all records, a copy on each device.

  Attributes:
    strategy: of the devices.
    records: the dataset.
  """

  def __init__(self, strategy: tf.distribute.Strategy,
               reader: reader_lib.Reader, records: dataset.Records):
    """Reads the images into device memory.

    Args:
      strategy: of the devices.
      reader: of the records.
      records: the dataset.

    Raises:
      errors.DataError: they do not fit; says the required and the free memory.
    """
    self.strategy, self.records = strategy, records
    # One more, black and without labels, for padding.
    shape = (len(records.index) + 1, *records.spec.image_shape)
    reader_lib.check_fits(shape, memory.free_bytes(strategy), 'device')
    with strategy.scope():
      self._pixels = make_variable(lambda: tf.zeros(shape, tf.uint8))
      self._labels = make_variable(
          np.pad(records.labels.astype(np.float32), ((0, 1), (0, 0))))
    for rows, images in reader.images(range(records.manifest.num_folds)):
      cuts = np.flatnonzero(np.diff(rows) != 1) + 1  # between folds
      for run, part in zip(np.split(rows, cuts), np.split(images, cuts)):
        strategy.extended.update(self._pixels,
                                 _write,
                                 args=(int(run[0]), tf.constant(part)))

  def look_up(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images [b, H, W, C] uint8, 0..255, and labels [b, K] float32.

    Args:
      rows: [b] int64, rows of the index; N gives a black image without labels.
    """
    return tf.gather(self._pixels, rows), tf.gather(self._labels, rows)


class CachedBatches:
  """The batches of an epoch or a fold, made on the device from its cache."""

  def __init__(self, cache: DeviceCache, batch_size: int, most_steps: int):
    """Reserves memory for the rows.

    Args:
      cache: the images.
      batch_size: B, of a global batch.
      most_steps: of an epoch.
    """
    self._cache = cache
    self._blank = len(cache.records.index)
    replicas = cache.strategy.num_replicas_in_sync
    self._replicas = replicas
    # int64, because TensorFlow keeps int32 in host memory.
    shape = (most_steps * replicas, 2, batch_size // replicas)
    # Outside of XLA, an H100 looked images up 20 times slower, and int64 and
    # int32 pass through the host.
    is_gpu = memory.find_device(cache.strategy)[0] == 'GPU'
    self._take = tensorflow.compiled(self._find) if is_gpu else self._find
    with cache.strategy.scope():
      self._parts = make_variable(np.zeros(shape, np.int64))

  def load(self, epoch: epoch_plan.Epoch) -> None:
    """Sets the copies, in order; blanks fill up the rest."""
    parts, _, size = self._parts.shape
    rows = np.full(parts * size, self._blank, np.int64)
    elements = np.zeros(parts * size, np.int64)
    rows[:len(epoch)], elements[:len(epoch)] = epoch.record, epoch.element
    self._parts.assign(
        np.stack([each.reshape(parts, size) for each in (rows, elements)],
                 axis=1))

  def take(self, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns this replica's part of a batch, as indexed.batches does.

    Args:
      step: int64 scalar on the device, the number of the batch.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return self._take(step, tf.cast(replica, tf.int64))

  def _find(self, step, replica):
    part = step
    if self._replicas > 1:
      part = step * self._replicas + replica
    rows, element = tf.unstack(tf.gather(self._parts, part))
    image, labels = self._cache.look_up(rows)
    size = self._parts.shape[-1]
    return {
        spec.IMAGE: image,
        spec.LABELS: labels,
        dataset.WEIGHT: tf.cast(rows != self._blank, tf.float32),
        dataset.ELEMENT: tf.cast(element, tf.int32),
        dataset.SLOT: tf.cast(replica, tf.int32) * size + tf.range(size),
    }


def make_variable(value) -> tf.Variable:
  """Returns a variable that the host sets, equal on all replicas."""
  return tf.Variable(value,
                     trainable=False,
                     aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def _write(pixels: tf.Variable, first: int, images: tf.Tensor) -> None:
  pixels[first:first + len(images)].assign(images)
