"""Input workers on other machines, by the tf.data service.

hpa-serve-input starts a dispatcher and workers, which must see the records
under the same path as the trainer. Workers read, shuffle and decode single
draws; the trainer batches them.

Each draw of the plan arrives exactly once an epoch, even if workers die or
join. The service alone delivers a draw at most once: shards are assigned on
request, and those of a dead worker are not assigned again. So each draw has its
number, and the trainer reads missing draws itself at the end and prints their
number. TensorFlow's client does not say that a worker is gone, and silence does
not either: a worker may be busy, or paused. So the trainer asks the dispatcher
for its workers, and each whether it still listens.

The order is that of arrival and cannot be repeated, so checkpoints are possible
at ends of epochs only. Evaluation does not use the service.
"""

import dataclasses
import functools
import os
import queue
import re
import threading
from typing import Callable, Iterator

import grpc  # TensorFlow's own requirement
import numpy as np

from hpa_records.format import manifest
from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import pipeline_call
from hpa_records.reading import streaming
from hpa_records.runtime import errors
from hpa_records.runtime import ports
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import filesystem

SCHEME = 'grpc://'
_CONNECT_S = 10.0
_SILENCE_S = 10.0  # without a draw, then the workers are looked at
_MOST_SILENCES = 12  # in a row, then missing draws are read here
# Of TensorFlow's dispatcher.proto; without arguments.
_GET_WORKERS = '/tensorflow.data.DispatcherService/GetWorkers'
# The line about a worker in TensorFlow's error, which fills a page.
_WORKERS_ERROR = re.compile(
    r'Failed to get element from worker (?P<worker>\S+): .*'
    r'Failed to get element: (?P<reason>.*?)\.?(?: \[Op:.*)?$', re.MULTILINE)
_OTHER_DATASET = 'the manifest is not that of the trainer'
_READY = 64  # draws that wait for batching


def check_address(address: str) -> None:
  """Checks that a dispatcher listens.

  Args:
    address: such as grpc://host:5050.

  Raises:
    errors.DataError: the address is invalid, or no server answers.
  """
  if not address.startswith(SCHEME):
    raise errors.DataError('Expected --data_service such as grpc://host:5050, '
                           f'received {address}.')
  host, port = ports.split(address.removeprefix(SCHEME), 'data_service')
  try:
    ports.check_server(host, port, _CONNECT_S)
  except OSError as error:
    raise errors.DataError(
        f'No dispatcher answers at {address} ({error}); start one with '
        f'hpa-serve-input dispatcher --port={port}.') from error


def find_issue(error: tf.errors.OpError,
               directory: str) -> errors.DataError | None:
  """Returns the error of an input worker in one line; None if it is another's.

  Args:
    error: raised in place of a batch.
    directory: of the records, which the trainer can read.
  """
  found = _WORKERS_ERROR.search(str(error))
  if not found:
    return None
  head = (f'The input worker {found["worker"]} sees another dataset'
          if _OTHER_DATASET in found['reason'] else
          f'The input worker {found["worker"]} cannot read the records: '
          f'{found["reason"]}')
  return errors.DataError(f'{head}. Each worker must see them at '
                          f'{_locate(directory)}, as this machine does.')


def training_batches(records: dataset.Records, fold: int,
                     epoch: epoch_plan.Epoch, key: epoch_plan.Key,
                     share: epoch_plan.Share, shuffle_mb: int,
                     address: str) -> tf.data.Dataset:
  """Returns one epoch of batches as Streaming.training does.

  Args:
    records: the dataset.
    fold: the held-out fold, 0..F-1.
    epoch: the copies to draw.
    key: of the epoch.
    share: must be all parts of each batch.
    shuffle_mb: size of each worker's shuffle buffer, in MiB of stored images.
    address: of the dispatcher.

  Raises:
    errors.DataError: the share is not all parts, or the server is not a
      dispatcher.
    errors.StoppedEarly: the dispatcher does not answer.
  """
  if share.count != share.num_replicas:
    raise errors.DataError(
        '--data_service works with one trainer, but TF_CONFIG has '
        f'{share.num_replicas // share.count} workers; leave it out, and each '
        'reads its share itself.')
  try:
    check_address(address)  # TensorFlow would wait forever
  except errors.DataError as error:
    raise errors.StoppedEarly(
        f'{error} The same command resumes from the last epoch.', 1) from error
  records = dataclasses.replace(records, directory=_locate(records.directory))
  epoch = epoch.in_record_order()
  batcher, drawn = batching.Batcher(records), batching.list_draws(
      records, epoch)
  decode = batcher.decoder(drawn)
  here = functools.partial(
      streaming.shuffled_draws, records,
      streaming.arrange(records, fold, epoch, key, shuffle_mb))
  draws = here(_manifest_check(records))
  try:
    served = draws.map(decode, num_parallel_calls=tf.data.AUTOTUNE).apply(
        tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            address,
            compression=None))
  except tf.errors.OpError as error:
    raise errors.DataError(
        f'The server at {address} is not a dispatcher of TensorFlow '
        f'{tf.__version__}; pass --data_service the address that '
        'hpa-serve-input dispatcher prints.') from error
  ledger = _Ledger(len(epoch))

  def arrive():
    for image, number in _take(served, ledger, _Service(address)):
      if ledger.mark(number):
        yield image, number

  take_lost = ledger.take_lost  # each access makes a new object

  def read_lost(_):
    lost = tf.numpy_function(pipeline_call.weak(take_lost), [], tf.bool)
    some = tf.cast(tf.reduce_any(lost), tf.int64)
    return tf.data.Dataset.range(some).flat_map(
        lambda _: here().filter(lambda _, number: lost[number]).map(decode))

  blank = (np.zeros(records.spec.image_shape,
                    np.uint8), np.int64(epoch_plan.BLANK))
  came = tf.data.Dataset.from_generator(pipeline_call.weak(arrive),
                                        output_signature=served.element_spec)
  lost = tf.data.Dataset.range(1).flat_map(read_lost)
  padded = batching.fill_up(came.concatenate(lost), blank, share, len(epoch), 0)
  parts = padded.batch(share.part_size, drop_remainder=True)
  made = batcher.own(batcher.finish(parts, drawn, share))
  return pipeline_call.keep(made, arrive, take_lost)


def _manifest_check(records: dataset.Records) -> Callable:
  """Returns a function that makes an operation which fails if the manifest that
  a worker sees is not this dataset's."""
  path = os.fsencode(os.path.join(records.directory, manifest.MANIFEST_NAME))
  expected = manifest.encode(records.manifest)

  def check():
    return tf.debugging.Assert(tf.equal(tf.io.read_file(path), expected),
                               [_OTHER_DATASET])

  return check


def _locate(directory: str) -> str:
  """Returns the records' address, or absolute path."""
  is_remote = filesystem.is_remote(directory)
  return directory if is_remote else os.path.abspath(directory)


def _take(served: tf.data.Dataset, ledger: '_Ledger',
          service: '_Service') -> Iterator[tuple]:
  """Yields the service's draws until all arrived, or those missing are lost.

  A thread takes them: TensorFlow 2.21 waits forever for a dead worker's draws.
  """
  ready = queue.Queue(_READY)

  def pull():
    try:
      for each in served.as_numpy_iterator():
        ready.put(each)
      ready.put(None)
    except tf.errors.OpError as error:
      ready.put(error)

  threading.Thread(target=pull, daemon=True).start()
  silences = 0
  while not ledger.is_complete():
    try:
      found = ready.get(timeout=_SILENCE_S)
    except queue.Empty:
      silences += 1
      if silences == _MOST_SILENCES or service.is_gone(tells=silences == 1):
        return
      continue
    silences = 0
    if found is None:
      return
    if isinstance(found, Exception):
      raise found
    yield found


class _Service:
  """Dispatcher and input workers, looked at from the trainer."""

  def __init__(self, address: str):
    self._dispatcher = address.removeprefix(SCHEME)
    # The dispatcher forgets a worker that is gone.
    self._workers = self._list_workers()

  def is_gone(self, tells: bool) -> bool:
    """Returns whether the dispatcher or a worker has ended.

    One that accepts connections and does not answer is paused, or very busy.

    Args:
      tells: whether to print what is waited for, if none has ended.
    """
    self._workers |= self._list_workers()
    waited_for = []
    for each in (self._dispatcher, *sorted(self._workers)):
      try:
        ports.check_server(*ports.split(each, 'data_service'), _CONNECT_S / 10)
      except (ConnectionError, errors.DataError):  # the port is another's
        return True
      except OSError as error:
        waited_for.append(f'{each}: {error}')
    if tells:
      state = '; '.join(waited_for) or ('all of them answer'
                                        if self._workers else 'there is none')
      print(
          f'No draw of the input workers for {_SILENCE_S:.0f} s ({state}); '
          f'waiting up to {_SILENCE_S * _MOST_SILENCES:.0f} s.',
          flush=True)
    return False

  def _list_workers(self) -> set[str]:
    """Returns host:port of each; none if the dispatcher does not answer."""
    options = (('grpc.enable_http_proxy', 0),)
    with grpc.insecure_channel(self._dispatcher, options) as channel:
      try:
        answer = channel.unary_unary(_GET_WORKERS)(b'', timeout=_CONNECT_S)
      except grpc.RpcError:
        return set()
    # Repeated messages 1, whose text 1 is an address: the shape of a ClusterDef
    # with the names of its jobs.
    return {each.name for each in tf.train.ClusterDef.FromString(answer).job}


class _Ledger:
  """The draws of an epoch that have arrived."""

  def __init__(self, total: int):
    self._came = np.zeros(total, bool)

  def mark(self, number: int) -> bool:
    """Marks a draw as arrived; returns whether it is the first time."""
    is_new = not self._came[number]
    self._came[number] = True
    return is_new

  def is_complete(self) -> bool:
    """Returns whether all draws have arrived."""
    return bool(self._came.all())

  def take_lost(self) -> np.ndarray:
    """Returns the missing draws, [total] bool, and prints their number."""
    lost = ~self._came
    if lost.any():
      print(
          f'{lost.sum()} of {len(lost)} draws were lost with input workers; '
          'reading them here.',
          flush=True)
    return lost
