"""The tf.distribute strategy of --distribute, and its checks and messages.

Create the strategy before anything else runs on a device: several workers agree
on their devices then.
"""

import contextlib
import hashlib
import re
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer import accelerator
from trainer import cluster
from trainer import tpu as tpu_lib

# The lost worker in TensorFlow's message.
_TASK = re.compile(r'/job:worker/replica:\d+/task:(\d+)')


def make(distribute: str,
         tpu: str = 'local',
         alone: bool = False) -> tf.distribute.Strategy:
  """Returns the strategy of a value of --distribute.

  Args:
    distribute: 'cpu', 'gpu' (the first one), 'mirrored' (all GPUs, or all
      logical CPUs without one), 'multi_worker' (those in TF_CONFIG), 'tpu', or
      'auto': multi_worker if TF_CONFIG lists several, else tpu if this machine
      has one, else mirrored if there are several GPUs, else gpu if there is
      one, else cpu.
    tpu: name or address of the TPU of 'tpu'; 'local' for that of this machine.
    alone: whether 'auto' ignores TF_CONFIG, for a process that does not take
      part in a distributed run.

  Raises:
    errors.DataError: the device is missing, or TF_CONFIG is invalid; or this
      machine has a GPU or TPU that TensorFlow does not list, unless distribute
      is 'cpu' or 'multi_worker'.
  """
  workers = cluster.Cluster()
  if distribute == 'multi_worker' or distribute == 'auto' and not alone:
    workers = cluster.load()
  if workers.has_others:
    if distribute == 'auto':
      _refuse_unused_gpu('multi_worker')
    return cluster.join(workers)
  if distribute == 'multi_worker' and not workers.addresses:
    raise errors.DataError(
        '--distribute=multi_worker needs TF_CONFIG with the addresses of the '
        f'workers; set it on each worker: TF_CONFIG={cluster.EXAMPLE}.')
  if distribute in ('auto', 'multi_worker'):  # one worker
    distribute, tpu = _choose(), 'local'
  if distribute == 'tpu':
    return tpu_lib.make(tpu)
  gpus = tf.config.list_logical_devices('GPU')
  if distribute in ('gpu', 'mirrored') and not gpus:
    _refuse_unused_gpu()
  if distribute == 'mirrored':
    devices = gpus or tf.config.list_logical_devices('CPU')
    return tf.distribute.MirroredStrategy([each.name for each in devices])
  if distribute == 'gpu' and not gpus:
    raise errors.DataError(
        'No GPU for --distribute=gpu: this machine has no NVIDIA GPU, or '
        'CUDA_VISIBLE_DEVICES hides it; pass --distribute=cpu.')
  return tf.distribute.OneDeviceStrategy(f'/{distribute}:0')


def _choose() -> str:
  """Returns the choice of 'auto' for one process."""
  # Not TPU_SYSTEM, which TensorFlow for TPUs lists even without a TPU.
  if tf.config.list_physical_devices('TPU'):
    return 'tpu'
  if accelerator.has_tpu():
    tpu_lib.refuse_unused()
  gpus = len(tf.config.list_logical_devices('GPU'))
  if not gpus:
    _refuse_unused_gpu()
  return 'mirrored' if gpus > 1 else 'gpu' if gpus else 'cpu'


def _refuse_unused_gpu(without: str = 'cpu') -> None:
  """Refuses an NVIDIA GPU of this machine that TensorFlow does not list.

  Args:
    without: the --distribute that goes on without it.
  """
  if tf.config.list_physical_devices('GPU'):
    return  # the program may have hidden it
  has_cuda = tf.sysconfig.get_build_info()['is_cuda_build']
  issue = accelerator.find_gpu_issue(has_cuda)
  if issue:
    raise errors.DataError(f'{issue}, or pass --distribute={without}.')


def _list_workers(strategy: tf.distribute.Strategy) -> list[str]:
  """Returns the addresses of all workers, the chief first; [] for only one."""
  if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
    return []
  return strategy.cluster_resolver.cluster_spec().job_tasks('worker')


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Returns whether this process writes the files of the run."""
  return not _list_workers(strategy) or strategy.cluster_resolver.task_id == 0


def make_sum(
    strategy: tf.distribute.Strategy
) -> Callable[[np.ndarray], tf.Tensor] | None:
  """Returns a function that adds up an array over all replicas of all workers.

  Each worker must call it as often, and in the same order among its steps. Who
  reads what it returns waits for the others. None for one worker.

  Args:
    strategy: of the run.
  """
  if not _list_workers(strategy):
    return None

  def reduce(values):
    own = tf.identity(values)  # on the replica's device; the argument has none
    return tf.distribute.get_replica_context().all_reduce('SUM', own)

  @tensorflow.traced
  def add(values):
    return strategy.run(reduce, (values,))

  def add_up(values):
    found = add(tf.constant(values, tf.float32))
    return strategy.experimental_local_results(found)[0]

  return add_up


def check_alike(strategy: tf.distribute.Strategy, values: Mapping[str,
                                                                  Any]) -> None:
  """Checks that all workers have equal values; does nothing for one worker.

  Args:
    strategy: of the run.
    values: by names for the message, the same names on all workers.

  Raises:
    errors.DataError: on each worker; names the values that differ.
  """
  add_up = make_sum(strategy)
  if add_up is None:
    return
  # If all digests are equal, no worker or every worker has each bit set.
  digests = [
      hashlib.sha256(repr(each).encode()).digest() for each in values.values()
  ]
  bits = np.unpackbits(np.array([list(each) for each in digests], np.uint8),
                       axis=1).astype(np.float32)

  with process.killed_by_signals():  # others may still copy their records
    counts = add_up(bits).numpy()
  alike = np.isin(counts, (0, strategy.num_replicas_in_sync)).all(axis=1)
  differ = [name for name, is_alike in zip(values, alike) if not is_alike]
  if differ:
    raise errors.DataError(
        f'The workers of TF_CONFIG differ in {", ".join(differ)}; start the '
        'same command on all of them, with the same records and a shared '
        '--workdir.')


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
        '--xla=on on a CPU is not supported by TensorFlow for TPUs, which '
        'compiles for TPUs only; leave --xla out.')
  return kind == 'TPU' or xla == 'on' or (xla == 'auto' and kind == 'GPU')


def describe(strategy: tf.distribute.Strategy) -> str:
  """Returns the devices of a strategy for messages, such as '2 GPUs'."""
  kind = _kind(strategy)
  replicas = strategy.num_replicas_in_sync
  if replicas == 1:
    return f'the {kind}'
  workers = len(_list_workers(strategy))
  return f'{replicas} {kind}s' + (f' of {workers} workers' if workers else '')


def _kind(strategy: tf.distribute.Strategy) -> str:
  """Returns 'CPU', 'GPU' or 'TPU'."""
  return strategy.extended.worker_devices[0].rpartition('device:')[2][:3]


@contextlib.contextmanager
def translate_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Turns TensorFlow's errors of lost workers and memory into StoppedEarly.

  Args:
    strategy: of the run.

  Raises:
    errors.StoppedEarly: memory of a device ran out, or another worker is lost.
  """
  try:
    yield
  except tf.errors.ResourceExhaustedError as error:
    raise errors.StoppedEarly(
        f'Out of memory on {describe(strategy)}: '
        f'{tensorflow.find_reason(error)}; pass a smaller --batch_size and '
        '--eval_batch_size to continue from the newest checkpoint.',
        1) from error
  except (tf.errors.UnavailableError, tf.errors.AbortedError,
          tf.errors.InternalError, tf.errors.CancelledError,
          tf.errors.DeadlineExceededError) as error:
    workers, task = _list_workers(strategy), _TASK.search(str(error))
    if not workers:
      raise
    lost = f'The worker {workers[int(task[1])]}' if task else 'A worker'
    raise errors.StoppedEarly(
        f'{lost} of TF_CONFIG was lost: {tensorflow.find_reason(error)}; start '
        'the same command on all of them again to continue from the newest '
        'checkpoint.', 1) from error
