"""TF_CONFIG: the processes that train a run together, and this one's number.

Job managers write TF_CONFIG for every kind of job. Here all processes are
workers, one of which may be called chief; with other jobs TensorFlow would hang
or abort.
"""

import sys
import dataclasses
import os
from typing import Any, NoReturn

from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import ports
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf

_NAME = 'TF_CONFIG'
_JOBS = ('chief', 'worker')
EXAMPLE = ('\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": '
           '{"type": "worker", "index": 0}}\'')


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Workers that train together.

  Attributes:
    addresses: host:port of each worker, the chief first.
    own: number of this process, an index of addresses.
  """
  addresses: tuple[str, ...] = ()
  own: int = 0

  @property
  def has_others(self) -> bool:
    """Whether there are several workers."""
    return len(self.addresses) > 1


def load() -> Cluster:
  """Returns the workers of TF_CONFIG; without addresses if it has none.

  Raises:
    errors.DataError: it is invalid, or does not say which worker this is.
  """
  text = os.environ.get(_NAME, '').strip()
  if not text:
    return Cluster()
  try:
    config = json_text.parse(text)
  except ValueError as error:
    _refuse(f'it is not JSON ({error})')
  if not isinstance(config, dict):
    _refuse('it is not a JSON object')
  jobs = config.get('cluster') or {}
  if not isinstance(jobs, dict):
    _refuse('cluster is not a JSON object')
  for job, listed in jobs.items():
    if job not in _JOBS and listed:
      _refuse(f'cluster has the job {printable.quote(job)}; only chief and '
              'worker are supported')
  addresses = tuple(_list_addresses(jobs))
  own = _find_own(jobs, config.get('task')) if len(addresses) > 1 else 0
  return Cluster(addresses, own)


def _list_addresses(jobs: dict[str, Any]) -> list[str]:
  """Returns the addresses of chief and workers, checked."""
  found = []
  for job in _JOBS:
    listed = jobs.get(job) or []
    if not isinstance(listed, list) or not all(
        isinstance(each, str) for each in listed):
      _refuse(f'{job} is not a list of addresses host:port')
    for each in listed:
      ports.split(each, _NAME)
    found += listed
  if len(jobs.get('chief') or []) > 1:
    _refuse('cluster has several chiefs')
  for each in found:
    if found.count(each) > 1:
      _refuse(f'cluster has {each} twice')
  return found


def _find_own(jobs: dict[str, Any], task: Any) -> int:
  """Returns the number of this process."""
  task = task or {}
  if not isinstance(task, dict):
    _refuse('task is not a JSON object')
  job, index = task.get('type'), task.get('index')
  if job not in _JOBS or not jobs.get(job):
    _refuse(f'task has the type {printable.quote(str(job))}, which is not a '
            'job of cluster' if job else 'task has no type')
  if type(index) is not int or not 0 <= index < len(jobs[job]):  # pylint: disable=unidiomatic-typecheck
    _refuse(f'task has the index {printable.quote(str(index))} of '
            f'{len(jobs[job])} addresses of {job}')
  return index if job == _JOBS[0] else index + len(jobs.get(_JOBS[0]) or [])


def _refuse(issue: str) -> NoReturn:
  raise errors.DataError(
      f'Invalid {_NAME}: {issue}. Set it on each worker, such as '
      f'{_NAME}={EXAMPLE}, or unset it to train on this machine alone.')


def join(workers: Cluster) -> tf.distribute.Strategy:
  """Returns the strategy of several workers, once all are connected.

  Raises:
    errors.DataError: the port of this worker is in use.
    errors.StoppedEarly: the workers cannot connect.
  """
  host, port = ports.split(workers.addresses[workers.own], 'TF_CONFIG')
  ports.require_free(port, 'TF_CONFIG')
  try:
    answered = ports.own_addresses(host)
  except OSError:  # a service of Kubernetes, say
    answered = []
  print(
      f'Worker {workers.own} of {len(workers.addresses)}, port {port}, is '
      f'waiting for the others. {ports.warning(answered)}',
      file=sys.stderr,
      flush=True)
  # Not TF_CONFIG itself: a job without addresses aborts TensorFlow.
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
      tf.train.ClusterSpec({'worker': list(workers.addresses)}),
      task_type='worker',
      task_id=workers.own,
      rpc_layer='grpc')
  with process.killed_by_signals():
    try:
      with ports.accepting_only(answered):
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (OSError, tf.errors.OpError, RuntimeError) as error:
      raise errors.StoppedEarly(
          'The workers of TF_CONFIG could not connect: '
          f'{tensorflow.find_reason(error)}; start the same command on all of '
          'them.', 1) from error
