"""The device to train on, as a tf.distribute strategy."""

from hpa_records import plan
from hpa_records import schema
from hpa_records.backend import tf


def make(distribute: str) -> tf.distribute.Strategy:
  """Returns the strategy that a --distribute names.

  Args:
    distribute: 'cpu', 'gpu', or 'auto' (a GPU if there is one).

  Raises:
    schema.DataError: a GPU is asked for and TensorFlow sees none.
  """
  gpus = tf.config.list_logical_devices('GPU')
  if distribute == 'gpu' and not gpus:
    raise schema.DataError(
        'Expected a GPU, received --distribute=gpu where TensorFlow sees none; '
        'pip install "hpa-records[gpu]", or pass --distribute=cpu.')
  device = 'cpu' if distribute == 'cpu' or not gpus else 'gpu'
  return tf.distribute.OneDeviceStrategy(f'/{device}:0')


def share(context: tf.distribute.InputContext, batch_size: int) -> plan.Share:
  """Returns which part of each global batch an input pipeline makes.

  Args:
    context: of the pipeline, as distribute_datasets_from_function gives it.
    batch_size: of a global batch.
  """
  replicas = context.num_replicas_in_sync
  count = replicas // context.num_input_pipelines
  return plan.Share(batch_size, replicas, context.input_pipeline_id * count,
                    count)


def device_name(strategy: tf.distribute.Strategy) -> str:
  """Returns what the strategy trains on, for the user: CPU or GPU."""
  return strategy.extended.worker_devices[0].rpartition('device:')[2][:3]
