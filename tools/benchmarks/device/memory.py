"""Peak memory of this process: of its first GPU, or of the host without one."""

from typing import Any

from benchmarks import process

# TensorFlow is imported inside the functions: the package starts without it.
# pylint: disable=import-outside-toplevel


def reset() -> None:
  """Starts the peak of the GPU anew; that of the host cannot be."""
  import tensorflow as tf
  if tf.config.list_physical_devices('GPU'):
    tf.config.experimental.reset_memory_stats('GPU:0')


def measure() -> dict[str, Any]:
  """Returns 'device', its name, and 'peak_mb', 10^6 bytes.

  On a GPU what TensorFlow's allocator has given out at most; else the resident
  memory of the process, 0 without /proc.
  """
  import tensorflow as tf
  gpus = tf.config.list_physical_devices('GPU')
  if not gpus:
    return {'device': 'CPU', 'peak_mb': process.peak_kib('self') * 1024 / 1e6}
  details = tf.config.experimental.get_device_details(gpus[0])
  return {
      'device': details.get('device_name', gpus[0].name),
      'peak_mb': tf.config.experimental.get_memory_info('GPU:0')['peak'] / 1e6
  }
