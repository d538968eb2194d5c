"""Input workers on other machines: tf.data service before the streaming reader.

tools/serve_input.py starts a dispatcher and workers, which see the records
under the same path as the trainer does. Workers read, shuffle, parse and decode
single draws; the trainer batches them.

What is promised: each draw of the plan comes exactly once an epoch, whatever
workers die or join meanwhile. The service itself visits a draw at most once:
shards are dealt out as workers ask, and what a dead one had is not dealt again.
So each draw carries its number, the trainer keeps account of those that came,
and reads what is missing itself when the service has run dry, which it says.
The order is that of arrival, and no run repeats it: checkpoints are for ends of
epochs. Evaluation does not use the service.
"""

import dataclasses
import functools
import os
import queue
import re
import threading
from typing import Callable, Iterator

import numpy as np

from hpa_records.format import manifest
from hpa_records.format import spec
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
_SILENCE_S = 10.0  # after which what has not come is read here
# What TensorFlow says of one, somewhere in a page.
_WORKERS_ERROR = re.compile(
    r'Failed to get element from worker (?P<worker>\S+): .*'
    r'Failed to get element: (?P<reason>.*?)\.?(?: \[Op:.*)?$', re.MULTILINE)
_OTHER_DATASET = 'the manifest is not that of the trainer'
_READY = 64  # draws that wait to be batched


def check_address(address: str) -> None:
  """Checks that a dispatcher listens.

  Args:
    address: such as grpc://host:5050.

  Raises:
    errors.DataError: it is no such address, or no such server answers.
  """
  if not address.startswith(SCHEME):
    raise errors.DataError('Expected --data_service such as grpc://host:5050, '
                           f'received {address}.')
  host, port = ports.split(address.removeprefix(SCHEME), 'data_service')
  try:
    ports.check_server(host, port, _CONNECT_S)
  except OSError as error:
    raise errors.DataError(
        f'No dispatcher answers at {address} ({error}); start one with python '
        f'tools/serve_input.py dispatcher --port={port}.') from error


def find_issue(error: tf.errors.OpError,
               directory: str) -> errors.DataError | None:
  """Returns what an input worker could not do; None if it is about none.

  Args:
    error: that came in place of a batch.
    directory: of the records, which are sound here.
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
  """Returns one epoch of batches as streaming.training_batches does.

  Args:
    records: the dataset.
    fold: held out, 0..F-1.
    epoch: the copies to draw.
    key: of the epoch.
    share: all parts of each batch.
    shuffle_mb: size of each worker's shuffle buffer, in MiB of stored images.
    address: of the dispatcher.

  Raises:
    errors.DataError: the share is not the whole batch, or what listens is no
      dispatcher.
    errors.BrokenOff: the dispatcher is gone.
  """
  if share.count != share.num_replicas:
    raise errors.DataError(
        'Expected one trainer with --data_service, received '
        f'{share.num_replicas // share.count} workers of TF_CONFIG; let each '
        'read its share itself.')
  try:
    check_address(address)  # TensorFlow would wait for it without end
  except errors.DataError as error:
    raise errors.BrokenOff(
        f'{error} The same training goes on from its last epoch.', 1) from error
  records = dataclasses.replace(records, directory=_locate(records.directory))
  epoch = epoch.in_record_order()
  decode = batching.decoder(records, epoch)
  here = functools.partial(streaming.shuffled_draws, records, fold, epoch, key,
                           shuffle_mb)
  draws = here(_manifest_check(records))
  try:
    served = draws.map(decode, num_parallel_calls=tf.data.AUTOTUNE).apply(
        tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            address,
            compression=None))
  except tf.errors.OpError as error:
    raise errors.DataError(
        f'What listens at {address} is no dispatcher of TensorFlow '
        f'{tf.__version__}; give --data_service the address that '
        'tools/serve_input.py dispatcher says.') from error
  ledger = _Ledger(len(epoch))

  def arrive():
    for image, number in _take(served, ledger):
      if ledger.mark(number):
        yield image, number

  take_lost = ledger.take_lost  # an object of its own each time it is named

  def read_lost(_):
    lost = tf.numpy_function(pipeline_call.weak(take_lost), [], tf.bool)
    some = tf.cast(tf.reduce_any(lost), tf.int64)
    return tf.data.Dataset.range(some).flat_map(
        lambda _: here().filter(lambda _, number: lost[number]).map(decode))

  size = records.manifest.image_size
  black = np.zeros((size, size, spec.NUM_CHANNELS), np.uint8)
  blank = tf.data.Dataset.from_tensors((black, np.int64(epoch_plan.BLANK)))
  steps = epoch_plan.num_steps(len(epoch), share.batch_size)
  came = tf.data.Dataset.from_generator(pipeline_call.weak(arrive),
                                        output_signature=served.element_spec)
  whole = came.concatenate(
      tf.data.Dataset.range(1).flat_map(read_lost)).concatenate(
          blank.repeat(steps * share.batch_size - len(epoch))).apply(
              tf.data.experimental.assert_cardinality(steps * share.batch_size))
  parts = whole.batch(share.part_size, drop_remainder=True)
  made = batching.finish(parts, records, epoch, share)
  return pipeline_call.keep(made, arrive, take_lost)


def _manifest_check(records: dataset.Records) -> Callable:
  """Makes a check that whoever reads sees this dataset, and no other of the
  same ids and sizes."""
  path = os.fsencode(os.path.join(records.directory, manifest.MANIFEST_NAME))
  expected = manifest.encode(records.manifest)

  def check():
    return tf.debugging.Assert(tf.equal(tf.io.read_file(path), expected),
                               [_OTHER_DATASET])

  return check


def _locate(directory: str) -> str:
  """Returns the records' folder as workers see it, wherever they started."""
  is_remote = filesystem.is_remote(directory)
  return directory if is_remote else os.path.abspath(directory)


def _take(served: tf.data.Dataset, ledger: '_Ledger') -> Iterator[tuple]:
  """Yields what a service gives, until all came, it ends, or falls silent.

  What a dead worker had is waited for without end (TensorFlow 2.21), so taking
  it is left to a thread.
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
  while not ledger.is_complete():
    try:
      found = ready.get(timeout=_SILENCE_S)
    except queue.Empty:
      return
    if found is None:
      return
    if isinstance(found, Exception):
      raise found
    yield found


class _Ledger:
  """Which draws of an epoch came."""

  def __init__(self, total: int):
    self._came = np.zeros(total, bool)

  def mark(self, number: int) -> bool:
    """Returns whether a draw comes for the first time."""
    is_new = not self._came[number]
    self._came[number] = True
    return is_new

  def is_complete(self) -> bool:
    """Returns whether all came."""
    return bool(self._came.all())

  def take_lost(self) -> np.ndarray:
    """Returns which did not come, [total] bool, and says how many."""
    lost = ~self._came
    if lost.any():
      print(
          f'{lost.sum()} of {len(lost)} draws were lost with input workers; '
          'reading them here.',
          flush=True)
    return lost
