"""--distribute to a tf.distribute strategy, and what a run asks of it.

A strategy is made before anything else runs on a device: several workers agree
on their devices when it is.
"""

import contextlib
import hashlib
import re
import threading
from typing import Any, Iterator, Mapping

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import cluster

# Of what TensorFlow says of a lost worker: who it is.
_TASK = re.compile(r'/job:worker/replica:\d+/task:(\d+)')
_TPU_S = 12.0  # in which a TPU answers


def make(distribute: str,
         tpu: str = 'local',
         alone: bool = False) -> tf.distribute.Strategy:
  """Returns the strategy that a --distribute names.

  Args:
    distribute: 'cpu', 'gpu' (the first one), 'mirrored' (all GPUs, or without
      one all logical CPUs), 'multi_worker' (those that TF_CONFIG lists), 'tpu',
      or 'auto': multi_worker where TF_CONFIG lists several, else tpu where
      there is one, else mirrored where there are several GPUs, else gpu where
      there is one, else cpu.
    tpu: its name or address; 'local' is that of this machine.
    alone: whether 'auto' leaves TF_CONFIG unread, where this process has no
      part in what others do.

  Raises:
    errors.DataError: what is asked for is not there.
  """
  workers = cluster.Cluster()
  if distribute == 'multi_worker' or distribute == 'auto' and not alone:
    workers = cluster.load()
  if workers.has_others:
    return cluster.join(workers)
  if distribute == 'multi_worker' and not workers.addresses:
    raise errors.DataError(
        'Expected the addresses of the workers, received '
        '--distribute=multi_worker without TF_CONFIG; set it on each worker: '
        f'TF_CONFIG={cluster.EXAMPLE}.')
  if distribute in ('auto', 'multi_worker'):  # of this one
    distribute = _choose()
  if distribute == 'tpu':
    return _make_tpu(tpu)
  gpus = tf.config.list_logical_devices('GPU')
  if distribute == 'mirrored':
    devices = gpus or tf.config.list_logical_devices('CPU')
    return tf.distribute.MirroredStrategy([each.name for each in devices])
  if distribute == 'gpu' and not gpus:
    raise errors.DataError(
        'Expected a GPU, received --distribute=gpu where TensorFlow sees none; '
        'pip install "hpa-records[gpu]", or pass --distribute=cpu.')
  return tf.distribute.OneDeviceStrategy(f'/{distribute}:0')


def _choose() -> str:
  """What 'auto' takes for one process."""
  # Not TPU_SYSTEM, which TensorFlow for TPUs lists where there is none.
  if tf.config.list_physical_devices('TPU'):
    return 'tpu'
  gpus = len(tf.config.list_logical_devices('GPU'))
  return 'mirrored' if gpus > 1 else 'gpu' if gpus else 'cpu'


def _make_tpu(name: str) -> tf.distribute.Strategy:
  """A TPU that answers; it is asked on a thread, which may wait for ever."""
  if name == 'local':
    _check_local_tpu()
  found: list[tf.distribute.Strategy | Exception] = []

  def connect():
    try:
      resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
      found.append(tf.distribute.TPUStrategy(resolver))
    except Exception as error:  # pylint: disable=broad-exception-caught
      found.append(error)

  asking = threading.Thread(target=connect, daemon=True)
  asking.start()
  asking.join(_TPU_S)
  answer = found[0] if found else f'no answer in {_TPU_S:.0f} s'
  if isinstance(answer, tf.distribute.Strategy):
    return answer
  raise errors.DataError(
      f'Cannot reach the TPU --tpu={name}: '
      f'{printable.join_lines(str(answer))}; pass its name or grpc:// '
      'address, or choose another --distribute.')


def _check_local_tpu() -> None:
  if not tensorflow.IS_FOR_TPUS:
    raise errors.DataError(
        'Expected TensorFlow for TPUs, received --distribute=tpu with '
        f'TensorFlow {tf.__version__} without; in an environment of its own, '
        'pip install "hpa-records[tpu]".')
  if not tf.config.list_physical_devices('TPU'):
    raise errors.DataError(
        'Expected a TPU, received --distribute=tpu on a machine where '
        'TensorFlow sees none, or another process has it; choose a runtime or '
        'machine with a TPU, pass --tpu=NAME, or choose another --distribute.')


def _list_workers(strategy: tf.distribute.Strategy) -> list[str]:
  """Addresses of all workers, the chief first; [] where there is one."""
  if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
    return []
  return strategy.cluster_resolver.cluster_spec().job_tasks('worker')


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Returns whether this process writes what all workers made."""
  return not _list_workers(strategy) or strategy.cluster_resolver.task_id == 0


def check_alike(strategy: tf.distribute.Strategy, values: Mapping[str,
                                                                  Any]) -> None:
  """Checks that all workers have the same; alone, it does nothing.

  Args:
    strategy: of the run.
    values: by names that a message can hold; the same names on all workers.

  Raises:
    errors.DataError: on each worker; says what differs.
  """
  if not _list_workers(strategy):
    return
  # Each bit of a digest that all have is counted by none of them or by all.
  digests = [
      hashlib.sha256(repr(each).encode()).digest() for each in values.values()
  ]
  bits = np.unpackbits(np.array([list(each) for each in digests], np.uint8),
                       axis=1).astype(np.float32)

  @tf.function
  def count():
    return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce(
        'SUM', tf.constant(bits)))

  counts = strategy.experimental_local_results(count())[0].numpy()
  alike = np.isin(counts, (0, strategy.num_replicas_in_sync)).all(axis=1)
  differ = [name for name, is_alike in zip(values, alike) if not is_alike]
  if differ:
    raise errors.DataError(
        f'The workers of TF_CONFIG differ in {", ".join(differ)}; start the '
        'same command on all of them, with the same records and a --workdir '
        'that all of them see.')


def compiles(strategy: tf.distribute.Strategy, xla: str) -> bool:
  """Returns whether XLA compiles the steps of a run.

  Args:
    strategy: of the run.
    xla: the flag, one of config.XLA.

  Raises:
    errors.DataError: this TensorFlow cannot compile for the CPU.
  """
  kind = _kind(strategy)
  if kind == 'CPU' and xla == 'on' and tensorflow.IS_FOR_TPUS:
    raise errors.DataError(
        'Expected TensorFlow that compiles for the CPU, received --xla=on with '
        'TensorFlow for TPUs, which compiles for TPUs alone; leave it out.')
  return kind == 'TPU' or xla == 'on' or (xla == 'auto' and kind == 'GPU')


def check_batch(strategy: tf.distribute.Strategy, batch_size: int,
                flag: str) -> None:
  """Refuses a global batch that the replicas cannot share evenly.

  Args:
    strategy: of the run.
    batch_size: of a global batch.
    flag: the batch's flag, for the message.

  Raises:
    errors.DataError: names the nearest that they can.
  """
  replicas = strategy.num_replicas_in_sync
  below = batch_size // replicas * replicas
  if below != batch_size:
    nearest = [each for each in (below, below + replicas) if each]
    raise errors.DataError(
        f'Expected --{flag} that {replicas} replicas share evenly, received '
        f'{batch_size}; pass {" or ".join(map(str, nearest))}.')


def cap_batch(strategy: tf.distribute.Strategy, batch_size: int,
              count: int) -> int:
  """Returns a global batch no larger than what count images need.

  Args:
    strategy: whose replicas share it.
    batch_size: that is asked for.
    count: of the images, which are scored once.
  """
  replicas = strategy.num_replicas_in_sync
  return min(batch_size, max(-(-count // replicas), 1) * replicas)


def share(context: tf.distribute.InputContext,
          batch_size: int) -> epoch_plan.Share:
  """Returns which part of each global batch an input pipeline makes.

  Args:
    context: of the pipeline, as distribute_datasets_from_function gives it.
    batch_size: of a global batch.
  """
  replicas = context.num_replicas_in_sync
  count = replicas // context.num_input_pipelines
  return epoch_plan.Share(batch_size, replicas,
                          context.input_pipeline_id * count, count)


def describe(strategy: tf.distribute.Strategy) -> str:
  """Returns what the strategy trains on, for the user: '2 GPUs'."""
  kind = _kind(strategy)
  replicas = strategy.num_replicas_in_sync
  if replicas == 1:
    return f'the {kind}'
  workers = len(_list_workers(strategy))
  return f'{replicas} {kind}s' + (f' of {workers} workers' if workers else '')


def _kind(strategy: tf.distribute.Strategy) -> str:
  """'CPU', 'GPU' or 'TPU'."""
  return strategy.extended.worker_devices[0].rpartition('device:')[2][:3]


@contextlib.contextmanager
def told_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Tells in one line that another worker is gone, or memory used up.

  Raises:
    errors.BrokenOff: in place of TensorFlow's error; of a worker's, where there
      are several.
  """
  try:
    yield
  except tf.errors.ResourceExhaustedError as error:
    raise errors.BrokenOff(
        f'Memory of {describe(strategy)} ran out: '
        f'{tensorflow.find_reason(error)}; use a smaller --batch_size and '
        '--eval_batch_size. The same command continues from the newest '
        'checkpoint.', 1) from error
  except (tf.errors.UnavailableError, tf.errors.AbortedError,
          tf.errors.InternalError, tf.errors.CancelledError,
          tf.errors.DeadlineExceededError) as error:
    workers, task = _list_workers(strategy), _TASK.search(str(error))
    if not workers:
      raise
    lost = f'The worker {workers[int(task[1])]}' if task else 'A worker'
    raise errors.BrokenOff(
        f'{lost} of TF_CONFIG is gone: {tensorflow.find_reason(error)}; start '
        'the same command on all of them again to go on from the newest '
        'checkpoint.', 1) from error
