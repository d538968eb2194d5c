"""The images of a dataset in the memory of the device, and batches of them.

They are transferred once. Then a batch is rows of the index, which are also on
the device, for all steps of an epoch: a step copies nothing from the host. Each
such copy would wait for the steps before it.

An image is one row of a matrix: as [N, H, W, 4], a TPU would pad the four
channels to 128.
"""

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
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
    size, count = records.manifest.image_size, len(records.index)
    self._image_shape = (size, size, spec.NUM_CHANNELS)
    # One more, black and without labels, for padding.
    reader_lib.check_fits((count + 1, *self._image_shape),
                          memory.free_bytes(strategy), 'device')
    width = int(np.prod(self._image_shape))
    with strategy.scope():
      self._pixels = make_variable(
          lambda: tf.zeros([count + 1, width], tf.uint8))
      self._labels = make_variable(
          np.pad(records.labels.astype(np.float32), ((0, 1), (0, 0))))
    for rows, images in reader.images(range(records.manifest.num_folds)):
      cuts = np.flatnonzero(np.diff(rows) != 1) + 1  # between folds
      for run, part in zip(np.split(rows, cuts), np.split(images, cuts)):
        strategy.extended.update(
            self._pixels,
            _write,
            args=(int(run[0]), tf.constant(part.reshape(len(run), width))))

  def look_up(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images [b, H, W, C] uint8, 0..255, and labels [b, K] float32.

    Args:
      rows: [b] int64, rows of the index; N gives a black image without labels.
    """
    images = tf.gather(self._pixels, rows)
    return (tf.reshape(images,
                       (-1, *self._image_shape)), tf.gather(self._labels, rows))


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
    self._replicas = cache.strategy.num_replicas_in_sync
    # int64, because TensorFlow keeps int32 in host memory.
    shape = (most_steps * self._replicas, batch_size // self._replicas)
    with cache.strategy.scope():
      self._rows, self._elements = (
          make_variable(np.zeros(shape, np.int64)) for _ in range(2))

  def load(self, epoch: epoch_plan.Epoch) -> None:
    """Sets the copies, in order; blanks fill up the rest."""
    for variable, values, blank in ((self._rows, epoch.record, self._blank),
                                    (self._elements, epoch.element, 0)):
      padded = np.full(int(np.prod(variable.shape)), blank, np.int64)
      padded[:len(values)] = values
      variable.assign(padded.reshape(variable.shape))

  def take(self, step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns this replica's part of a batch, as indexed.batches does.

    Args:
      step: int64 scalar on the device, the number of the batch.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    part = step * self._replicas + tf.cast(replica, tf.int64)
    rows, element = (
        tf.gather(each, part) for each in (self._rows, self._elements))
    image, labels = self._cache.look_up(rows)
    size = self._rows.shape[-1]
    return {
        spec.IMAGE: image,
        spec.LABELS: labels,
        dataset.WEIGHT: tf.cast(rows != self._blank, tf.float32),
        dataset.ELEMENT: tf.cast(element, tf.int32),
        dataset.SLOT: replica * size + tf.range(size),
    }


def make_variable(value) -> tf.Variable:
  """Returns a variable that the host sets, equal on all replicas."""
  return tf.Variable(value,
                     trainable=False,
                     aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def _write(pixels: tf.Variable, first: int, images: tf.Tensor) -> None:
  pixels[first:first + len(images)].assign(images)
