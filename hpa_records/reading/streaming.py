"""The streaming reader: shards in their own order, through tf.data.

Shards are interleaved, and each record is repeated as often as the epoch plan
says. All draws are shuffled in a buffer and batched (batching).

On a local disk the buffer has the numbers of the draws. When they enter it, the
kernel begins to read their records, in the order of the files, and a batch
copies them from the page cache into its memory, once. At an address tf.data
reads the records and the buffer has them, serialized; copies share memory.

An epoch draws each record, with each transform, exactly as often as the plan
says. Its order is a function of (seed, epoch, shuffle_mb), the dataset, the
version of TensorFlow and its global seed, which is not set here. It does not
depend on the share of a batch or the number of threads: tf.data is
deterministic. To resume inside an epoch, earlier records are read again, but
not decoded.

A pipeline is traced once; each epoch's plan is its argument. To trace it anew
took 120 ms an epoch, a quarter of the time of reading 2,400 records.

With input workers (data_service) the order cannot be repeated.
"""

import functools
import os
from typing import Callable, NamedTuple

import numpy as np

from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import shard_issue
from hpa_records.reading import tensorflow_address
from hpa_records.reading.payload import payload as payload_lib
from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import filesystem

# Read buffer at an address: one to three records; larger ones were not faster.
# On a local disk a buffer would be another copy.
_READ_BYTES = 2**20
_CYCLE = 8  # shards read at once
_TOGETHER = 64  # records that the kernel is told of by one call


class Source(NamedTuple):
  """The shards of an epoch, in the order of reading, and their draws.

  The n records are those of all S shards. A draw's number is its place in the
  epoch.

  Attributes:
    paths: [S] string.
    starts: [S + 1] int64, each shard's first record; last n.
    firsts: [n] int64, number of each record's first draw.
    times: [n] int64, how often each record is drawn.
    places: int64, size of the shuffle buffer.
    seed: int64, of the shuffle.
    total: int64, number of draws.
  """
  paths: tf.Tensor
  starts: tf.Tensor
  firsts: tf.Tensor
  times: tf.Tensor
  places: tf.Tensor
  seed: tf.Tensor
  total: tf.Tensor


_NUMBER, _NUMBERS = tf.TensorSpec([], tf.int64), tf.TensorSpec([None], tf.int64)
_PATHS = tf.TensorSpec([None], tf.string)
_SOURCE_SPEC = Source(_PATHS, *[_NUMBERS] * 3, *[_NUMBER] * 3)
# Of an evaluation: the shards, and which of all their records it wants.
_WANTED_SPEC = (_PATHS, tf.TensorSpec([None], tf.bool))


class Streaming:
  """Reads the batches of a dataset, in any number of epochs."""

  def __init__(self,
               records: dataset.Records,
               shuffle_mb: int,
               payload: payload_lib.Payload | None = None,
               take: Callable[[tuple[int, ...]], np.ndarray] | None = None):
    """Prepares the reader; opens no file.

    Args:
      records: the dataset.
      shuffle_mb: size of the shuffle buffer, in MiB of stored images.
      payload: as of batching.Batcher.
      take: as of batching.Batcher.
    """
    self._records, self._shuffle_mb = records, shuffle_mb
    self._payload, self._take = payload, take
    self._traced = {}
    # A new place for each record is another fifth of the time.
    process.keep_freed_memory()

  def training(self,
               fold: int,
               epoch: epoch_plan.Epoch,
               key: epoch_plan.Key,
               share: epoch_plan.Share,
               first_step: int = 0) -> tf.data.Dataset:
    """Returns one epoch of batches; opens no file of the held-out fold.

    Args:
      fold: the held-out fold, 0..F-1.
      epoch: the copies to draw; their order is ignored.
      key: of the epoch; its ORDER stream seeds the shuffle.
      share: the part of each batch to make.
      first_step: the step to start at; earlier records are read and dropped.

    Returns:
      For each step from first_step on, for each of the share's parts, a dict of
        image [b, H, W, C] uint8, labels [b, K] float32 multi-hot,
        weight [b] float32 (0 for a blank), element [b] int32 (the symmetry to
        apply), slot [b] int32 (places in the global batch).
    """
    epoch = epoch.in_record_order()
    source = arrange(self._records, fold, epoch, key, self._shuffle_mb)
    batcher = self._batcher

    def build(source, draws, first_step):
      if self._payload is not None:
        found = _shuffled_numbers(source,
                                  lambda numbers: batcher.begin(numbers, draws))
        make = batcher.batch_numbers
      else:
        found = shuffled_draws(self._records, source)
        make = batcher.batch_records
      return make(found, draws, share, source.total, first_step)

    return self._call(share, build, source,
                      batching.list_draws(self._records, epoch), first_step)

  def evaluation(self, rows: np.ndarray,
                 share: epoch_plan.Share) -> tf.data.Dataset:
    """Returns some records exactly once, in index order.

    TensorFlow reads them, with or without a payload: all of their shards.

    Args:
      rows: [n] int64, of the index, ascending.
      share: the part of each batch to make.

    Returns:
      Batches as training returns them, with element 0.
    """
    paths = _shard_names(self._records, rows)
    shards = self._records.index['shard']
    read = np.flatnonzero(shards.isin(shards.iloc[rows].unique()))
    wanted = tf.constant(_encode(paths)), tf.constant(np.isin(read, rows))
    draws = batching.list_draws(self._records, epoch_plan.once(rows))
    batcher = self._batcher

    def build(wanted, draws, total):
      names, is_wanted = wanted
      found = tf.data.Dataset.zip(_read(self._records, names),
                                  tf.data.Dataset.from_tensor_slices(is_wanted))
      found = found.filter(lambda _, each: each).map(lambda record, _: record)
      found = tf.data.Dataset.zip(found, tf.data.Dataset.range(total))
      return batcher.batch_records(found, draws, share, total, np.int64(0))

    return self._call(share, build, wanted, draws, len(rows))

  @functools.cached_property
  def _batcher(self) -> batching.Batcher:
    return batching.Batcher(self._records, self._payload, self._take)

  def _call(self, share: epoch_plan.Share, build: Callable,
            first: Source | tuple[tf.Tensor, tf.Tensor], draws: batching.Draws,
            number: int) -> tf.data.Dataset:
    """Returns the dataset that build makes, traced once for each share."""
    spec = _SOURCE_SPEC if isinstance(first, Source) else _WANTED_SPEC
    key = share, spec
    if key not in self._traced:
      self._traced[key] = tensorflow.traced(
          build, (spec, batching.DRAWS_SPEC, _NUMBER)).get_concrete_function()
    # Graphs of tf.data are those of the host.
    with tf.device('CPU'):
      made = self._traced[key](first, draws, tf.constant(number, tf.int64))
    return self._batcher.own(made)


def arrange(records: dataset.Records, fold: int, epoch: epoch_plan.Epoch,
            key: epoch_plan.Key, shuffle_mb: int) -> Source:
  """Returns an epoch's source.

  Args:
    records: the dataset.
    fold: as of Streaming.training.
    epoch: the copies, in record order.
    key: as of Streaming.training.
    shuffle_mb: size of the shuffle buffer, in MiB of stored images.
  """
  counts = np.bincount(epoch.record, minlength=len(records.index))
  seed = int(key.generator(epoch_plan.ORDER).integers(2**31))
  names = _shard_names(records, np.flatnonzero(records.index['fold'] != fold))
  # Not shuffled by tf.data: a service assigns the shards one by one, and a
  # shuffle would request all of them.
  names = np.random.default_rng(seed).permutation(names).tolist()
  rows_of = records.index.groupby('shard', sort=False).indices
  rows = [rows_of[os.path.basename(name)] for name in names]
  order = np.concatenate(rows)
  mean_bytes = records.index['record_bytes'].mean()
  # TensorFlow allocates all places, even unused ones.
  places = min(int(shuffle_mb * 2**20 / mean_bytes), len(epoch))
  return Source(tf.constant(_encode(names)),
                tf.constant(np.cumsum([0, *map(len, rows)])),
                tf.constant((np.cumsum(counts) - counts)[order]),
                tf.constant(counts[order]), tf.constant(max(1, places),
                                                        tf.int64),
                tf.constant(seed, tf.int64), tf.constant(len(epoch), tf.int64))


def _shuffled_numbers(
    source: Source, begin: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
  """Returns the numbers of an epoch's draws, in the order of shuffled_draws.

  Args:
    source: of the epoch.
    begin: takes numbers [n] before they are shuffled, and returns them.
  """

  def one_shard(number):
    mine = slice(source.starts[number], source.starts[number + 1])
    firsts, times = source.firsts[mine], source.times[mine]
    before = tf.cumsum(times, exclusive=True)
    return tf.data.Dataset.from_tensor_slices(
        tf.repeat(firsts - before, times) +
        tf.range(tf.reduce_sum(times), dtype=tf.int64))

  numbers = _interleave(source, one_shard)
  return _shuffle(numbers.batch(_TOGETHER).map(begin).unbatch(), source)


def shuffled_draws(records: dataset.Records,
                   source: Source,
                   check: Callable | None = None) -> tf.data.Dataset:
  """Returns an epoch's draws, each (serialized record, number of the draw).

  Args:
    records: the dataset.
    source: of the epoch.
    check: returns an operation that runs before a shard is opened, on the
      machine that opens it; None for none.
  """

  def copies(serialized, first, count):
    # Not a map, whose function would run for each copy.
    return tf.data.Dataset.zip(
        tf.data.Dataset.from_tensors(serialized).repeat(),
        tf.data.Dataset.range(first, first + count))

  def one_shard(number):
    # Zipped tables: look-ups in a function take half the time of reading.
    mine = slice(source.starts[number], source.starts[number + 1])
    with tf.control_dependencies([check()] if check else []):
      found = _read(records, tf.identity(source.paths[number]))
    numbers = tf.data.Dataset.from_tensor_slices(source.firsts[mine])
    drawn = tf.data.Dataset.from_tensor_slices(source.times[mine])
    return tf.data.Dataset.zip(found, numbers, drawn).flat_map(copies)

  return _shuffle(_interleave(source, one_shard, _CYCLE), source)


def _interleave(source: Source,
                one_shard: Callable,
                threads: int | None = None) -> tf.data.Dataset:
  shards = tf.data.Dataset.range(tf.size(source.paths, tf.int64))
  in_order = True if threads else None  # without threads it has no effect
  return shards.interleave(one_shard, _CYCLE, 1, threads, in_order)


def _shuffle(draws: tf.data.Dataset, source: Source) -> tf.data.Dataset:
  return draws.shuffle(source.places,
                       seed=source.seed,
                       reshuffle_each_iteration=False)


def _shard_names(records: dataset.Records, rows: np.ndarray) -> list[str]:
  """Returns the paths of the rows' shards, checked, in file order."""
  tensorflow_address.require_readable(records.directory)
  names = records.index['shard'].iloc[rows].unique().tolist()
  shard_issue.check_frames(records, names)
  return [os.path.join(records.directory, name) for name in names]


def _encode(paths: list[str]) -> list[bytes]:
  """Returns paths as bytes, since they need not be UTF-8."""
  return [os.fsencode(path) for path in paths]


def _read(records: dataset.Records, names: tf.Tensor) -> tf.data.Dataset:
  """Returns the serialized records of files, in order."""
  buffer = _READ_BYTES if filesystem.is_remote(records.directory) else 0
  return tf.data.TFRecordDataset(names, buffer_size=buffer)
