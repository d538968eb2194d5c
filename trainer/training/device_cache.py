"""The training images in the memory of the device.

They are transferred once; then a batch is rows of the index, which the train
step looks up inside the compiled function. The lookup outside of it was 20
times slower on an H100.
"""

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan


class DeviceCache:
  """The images of the training folds, a copy on each device."""

  def __init__(self, strategy: tf.distribute.Strategy,
               reader: reader_lib.Reader, records: dataset.Records, fold: int):
    """Reads the images into device memory.

    Args:
      strategy: of the devices.
      reader: of the records.
      records: the dataset.
      fold: held out.

    Raises:
      errors.DataError: they do not fit; says the required and the free memory.
    """
    rows = np.flatnonzero(records.index['fold'] != fold)
    size = records.manifest.image_size
    # One more, black, for padding.
    shape = (len(rows) + 1, size, size, spec.NUM_CHANNELS)
    reader_lib.check_fits(shape, _free_bytes(strategy), 'device')
    places = np.full(len(records.index) + 1, len(rows), np.int32)
    places[rows] = np.arange(len(rows))
    with strategy.scope():
      self._pixels = tf.Variable(
          lambda: tf.zeros(shape, tf.uint8),
          trainable=False,
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
      self._places = tf.constant(places)
    others = [k for k in range(records.manifest.num_folds) if k != fold]
    for part, images in reader.images(others):
      first = places[part[0]]
      strategy.extended.update(self._pixels,
                               _write,
                               args=(first, tf.constant(images)))

  def images(self, rows: tf.Tensor) -> tf.Tensor:
    """Returns images [b, H, W, C] uint8, 0..255.

    Args:
      rows: [b] int32, rows of the index; epoch_plan.BLANK, which is -1, gives a
        black image.
    """
    last = self._places.shape[0] - 1
    places = tf.gather(self._places,
                       tf.where(rows == epoch_plan.BLANK, last, rows))
    return tf.gather(self._pixels, places)


def _write(pixels: tf.Variable, first: int, images: tf.Tensor) -> None:
  pixels[first:first + len(images)].assign(images)


def _free_bytes(strategy: tf.distribute.Strategy) -> int | None:
  """Returns the free memory of the first device; None if unknown."""
  device = strategy.extended.worker_devices[0]
  kind, _, number = device.rpartition('device:')[2].partition(':')
  if kind == 'CPU':
    return host.free_memory_bytes()
  if kind != 'GPU':
    return None
  from tensorflow.python.client import device_lib  # pylint: disable=import-outside-toplevel,no-name-in-module
  limits = {
      each.name: each.memory_limit for each in device_lib.list_local_devices()
  }
  used = tf.config.experimental.get_memory_info(f'GPU:{number}')['current']
  return limits[f'/device:GPU:{number}'] - used
