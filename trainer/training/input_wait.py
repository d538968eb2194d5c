"""The next batch of an iterator, and how long a step waited for it."""

from typing import Any, Iterator

from hpa_records.runtime.tensorflow import tf


def take(batches: Iterator[Any], after: tf.Tensor) -> tuple[Any, tf.Tensor]:
  """Returns the next batch, and the seconds waited for it, float32.

  Args:
    batches: distributed, or of tf.data.
    after: loss of the step before the last, which is waited for first. The GPU
      lags behind the host: waiting for that step keeps one step queued, and
      counts only the time in which the GPU would wait for input.
  """
  with tf.device('CPU:0'):
    after = tf.identity(after)
  if not has_clock():
    with tf.control_dependencies([after]):
      return next(batches), tf.zeros([])
  with tf.device('CPU:0'), tf.control_dependencies([after]):
    begun = tf.timestamp()
  with tf.control_dependencies([begun]):
    batch = next(batches)
  parts = tf.nest.flatten(batch, expand_composites=True)
  with tf.control_dependencies(parts), tf.device('CPU:0'):
    return batch, tf.cast(tf.timestamp() - begun, tf.float32)


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
