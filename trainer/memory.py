"""Device and host memory: where pixels are kept, and how large batches may be.

Estimates are high on purpose: too small a batch or no cache costs a little
time, too large a one ends the run.
"""

import dataclasses
import math

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import printable
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer import remote_tpu

# Of a train step, for each pixel of an image: twice the float32 outputs of all
# layers at 299 px, with four channels 430 bytes for GapNet-PL and 7,830 for
# DenseNet-121. On an H100 a step of 640 took 122 bytes in bfloat16
# (BUILD_NOTES.md, "GPU").
_STEP_BYTES = {'gapnet_pl': 436}
_STEP_BYTES_OTHERS = 7936
_CHANNEL_BYTES = 16  # more for each channel: scaled and padded, twice
_EVALUATION_SHARE = 1 / 8  # of the device's memory, as if it were training
_EVALUATION_BYTES = 2**31  # of a device whose memory is not its own
_EVALUATION_BATCHES = (16, 1024)
_CHAIN_SHARE = 16  # measured on the CPU, with all changes but CutMix on
_CACHE_SHARE = 0.5  # of the free memory of a machine, which has other users


def free_bytes(strategy: tf.distribute.Strategy) -> int | None:
  """Returns the free memory of the first device; None if unknown.

  Args:
    strategy: of the devices; the memory of CPUs is shared by all of them.
  """
  kind, number = find_device(strategy)
  if kind == 'CPU':
    return host.free_memory_bytes()
  if kind != 'GPU':
    return None
  used = tf.config.experimental.get_memory_info(f'GPU:{number}')['current']
  return _gpu_bytes(number) - used


def check_batch(config: config_lib.Config, records: dataset.Records,
                strategy: tf.distribute.Strategy) -> None:
  """Checks that the images of a batch fit into the memory of this machine.

  Raises:
    errors.DataError: they do not.
  """
  here = len(strategy.extended.worker_devices) / strategy.num_replicas_in_sync
  spec = records.spec
  # As uint8, and the part at hand as the float32 that the network takes.
  num_bytes = int(config.batch_size * here * spec.raw_bytes *
                  (1 + 4 / config.accumulate + _chain_share(config)))
  free = host.free_memory_bytes()
  if free is not None and num_bytes > free:
    raise errors.DataError(
        f'Not enough memory for --batch_size={config.batch_size}: its images '
        f'of {"x".join(map(str, spec.image_shape))} take '
        f'{printable.show_bytes(num_bytes)}, '
        f'{printable.show_bytes(free)} are free; pass a smaller '
        '--batch_size, or convert with a smaller --image_size.')


def choose_cache(config: config_lib.Config, records: dataset.Records,
                 strategy: tf.distribute.Strategy, reader: str) -> how_lib.How:
  """Returns how to read, with a cache in place of 'auto'.

  That is 'device' if all pixels fit into device memory beside a step, else
  'host' if they fit into half of the free memory of the machine, else 'none'.
  It is 'none' where no cache is possible, as on a remote TPU. A run that is
  continued keeps its reader, whatever fits: a cache is read by index. The host
  of a remote TPU reads by the streaming reader.

  Args:
    config: of the run.
    records: the dataset.
    strategy: of the run.
    reader: of the run that is continued; '' for a new one.

  Raises:
    errors.DataError: a cache on a TPU.
  """
  how = config.reading
  kind, _ = find_device(strategy)
  if how.cache == 'device' and kind == 'TPU':
    raise errors.DataError(
        '--cache=device is not for TPUs: they would pad the channels of a '
        'pixel to 128; pass --cache=host.')
  if remote_tpu.is_elsewhere(config.distribute, config.tpu):
    how = dataclasses.replace(how, by_tensorflow=True)
  if how.cache != 'auto':
    return how
  chosen = 'none'
  streams = how.by_tensorflow or 'streaming' in (how.reader, reader)
  if not streams and not how.data_service:
    spec = records.spec
    pixels = len(records.index) * spec.raw_bytes
    replicas = strategy.num_replicas_in_sync
    batch_size = max(config.batch_size / config.accumulate,
                     choose_eval_batch(config, spec, strategy))
    step = batch_size / replicas * _step_bytes(config, spec)
    step += (config.batch_size / replicas * spec.raw_bytes *
             _chain_share(config))
    here = len(strategy.extended.worker_devices)
    # CPUs share the memory of the machine.
    copies, share = (here, _CACHE_SHARE) if kind == 'CPU' else (1, 1)
    free = host.free_memory_bytes()
    if _fits((pixels + step) * copies, free_bytes(strategy), share):
      chosen = 'device'
    elif _fits(pixels, free, _CACHE_SHARE):
      chosen = 'host'
  return dataclasses.replace(how, cache=chosen)


def _chain_share(config: config_lib.Config) -> int:
  """Bytes that the augmentation of a batch takes, over those of its pixels."""
  return _CHAIN_SHARE if config.active else 0


def choose_eval_batch(config: config_lib.Config, spec: spec_lib.Spec,
                      strategy: tf.distribute.Strategy) -> int:
  """Returns the global batch size of evaluation.

  With --eval_batch_size=0 it depends on the device and on the size and the
  number of channels of images.

  Args:
    config: of the run.
    spec: of the images.
    strategy: of the run.
  """
  if config.eval_batch_size:
    return config.eval_batch_size
  kind, number = find_device(strategy)
  num_bytes = (_gpu_bytes(number) *
               _EVALUATION_SHARE if kind == 'GPU' else _EVALUATION_BYTES)
  count = num_bytes / _step_bytes(config, spec)
  power = 2**int(math.log2(max(count, 1)))
  return (int(np.clip(power, *_EVALUATION_BATCHES)) *
          strategy.num_replicas_in_sync)


def _step_bytes(config: config_lib.Config, spec: spec_lib.Spec) -> int:
  """Returns the memory of a train step for each image of its batch."""
  of_pixel = (_STEP_BYTES.get(config.model, _STEP_BYTES_OTHERS) +
              _CHANNEL_BYTES * spec.num_channels)
  return spec.image_size**2 * of_pixel


def _fits(wanted: float, free: int | None, share: float) -> bool:
  return free is not None and wanted <= free * share


def find_device(strategy: tf.distribute.Strategy) -> tuple[str, int]:
  """Returns kind and number of the first device, such as ('GPU', 0)."""
  device = strategy.extended.worker_devices[0]
  kind, _, number = device.rpartition('device:')[2].partition(':')
  return kind, int(number)


def _gpu_bytes(number: int) -> int:
  """Returns the memory that TensorFlow may use on a GPU."""
  from tensorflow.python.client import device_lib  # pylint: disable=import-outside-toplevel,no-name-in-module
  limits = {
      each.name: each.memory_limit for each in device_lib.list_local_devices()
  }
  return limits[f'/device:GPU:{number}']
