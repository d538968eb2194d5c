"""Global batches: their size, and their parts for the replicas of a strategy.
"""

import math
from typing import Any, Callable, Iterable

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan


def check(strategy: tf.distribute.Strategy,
          batch_size: int,
          flag: str,
          parts: int = 1,
          in_pairs: bool = False) -> None:
  """Checks that the replicas can share a global batch evenly.

  Args:
    strategy: of the run.
    batch_size: of a global batch.
    flag: the flag of batch_size, for the message.
    parts: of --accumulate, equal ones of each replica.
    in_pairs: whether a replica's share must be even.

  Raises:
    errors.DataError: they cannot; names the nearest sizes that work.
  """
  replicas = strategy.num_replicas_in_sync
  unit = replicas * math.lcm(parts, 2 if in_pairs else 1)
  below = batch_size // unit * unit
  if below != batch_size:
    nearest = [each for each in (below, below + unit) if each]
    reasons = [
        text
        for text, number in ((f'{replicas} replicas',
                              replicas), (f'--accumulate={parts}', parts),
                             ('the pairs of --mixup, --cutmix and --rana_mix',
                              1 + in_pairs))
        if number > 1
    ]
    raise errors.DataError(
        f'Expected --{flag} divisible by {unit}, for {" and ".join(reasons)}, '
        f'received {batch_size}; pass {" or ".join(map(str, nearest))}.')


def cap(strategy: tf.distribute.Strategy, batch_size: int, count: int) -> int:
  """Returns a global batch size no larger than needed for count images.

  Args:
    strategy: whose replicas share the batch.
    batch_size: the largest.
    count: number of images.
  """
  replicas = strategy.num_replicas_in_sync
  return min(batch_size, max(-(-count // replicas), 1) * replicas)


def distribute(
    strategy: tf.distribute.Strategy, batch_size: int,
    make_pipeline: Callable[[epoch_plan.Share],
                            tf.data.Dataset]) -> Iterable[Any]:
  """Returns the batches of an input pipeline for the replicas of a strategy.

  A single replica reads them from the host. TensorFlow's iterator for devices,
  which several replicas need, has a thread that tunes it, and deleting the
  iterator can wait for that thread: 37 s after a pass of 45 s (TF 2.21).

  Args:
    strategy: of the replicas.
    batch_size: of a global batch.
    make_pipeline: makes a share of each batch.
  """

  def make(context):
    replicas = context.num_replicas_in_sync
    count = replicas // context.num_input_pipelines
    return make_pipeline(
        epoch_plan.Share(batch_size, replicas,
                         context.input_pipeline_id * count, count))

  if (strategy.num_replicas_in_sync == 1 and
      not isinstance(strategy, tf.distribute.TPUStrategy)):
    return make(tf.distribute.InputContext())
  return strategy.distribute_datasets_from_function(make)


def place(strategy: tf.distribute.Strategy, images: Any) -> Any:
  """Returns images of distribute on the device, if there is only one.

  So that several networks need one copy.

  Args:
    strategy: as of distribute.
    images: [B, H, W, C], of a batch.
  """
  if not isinstance(images, tf.Tensor):  # of several replicas
    return images
  with tf.device(strategy.extended.worker_devices[0]):
    return tf.identity(images)
