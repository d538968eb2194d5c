"""The streaming reader: all filesystems and encodings, by tf.data alone.

Shards are interleaved, and each record is repeated as often as the epoch plan
says. All draws are shuffled in a buffer of serialized records, whose copies
share memory, and batched (batching).

An epoch draws each record, with each transform, exactly as often as the plan
says. Its order is a function of (seed, epoch, shuffle_mb), the dataset, the
version of TensorFlow and its global seed, which is not set here. It does not
depend on the share of a batch or the number of threads: tf.data is
deterministic. To resume inside an epoch, earlier records are read again, but
not decoded.

With input workers (data_service) the order cannot be repeated.
"""

import os
from typing import Callable

import numpy as np

from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import shard_issue
from hpa_records.reading import tensorflow_address
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import filesystem

# Read buffer at an address: one to three records; larger ones were not faster.
# On a local disk a buffer would be another copy.
_READ_BYTES = 2**20
_CYCLE = 8  # shards read at once


def training_batches(records: dataset.Records,
                     fold: int,
                     epoch: epoch_plan.Epoch,
                     key: epoch_plan.Key,
                     share: epoch_plan.Share,
                     shuffle_mb: int,
                     first_step: int = 0) -> tf.data.Dataset:
  """Returns one epoch of batches; opens no file of the held-out fold.

  Args:
    records: the dataset.
    fold: the held-out fold, 0..F-1.
    epoch: the copies to draw; their order is ignored.
    key: of the epoch; its ORDER stream seeds the shuffle.
    share: the part of each batch to make.
    shuffle_mb: size of the shuffle buffer, in MiB of stored images.
    first_step: the step to start at; earlier records are read and dropped.

  Returns:
    For each step from first_step on, for each of the share's parts, a dict of
      image [b, H, W, C] uint8, labels [b, K] float32 multi-hot,
      weight [b] float32 (0 for a blank), element [b] int32 (the symmetry to
      apply), slot [b] int32 (places in the global batch).
  """
  epoch = epoch.in_record_order()
  draws = shuffled_draws(records, fold, epoch, key, shuffle_mb)
  return batching.batch(draws, records, epoch, share, first_step)


def evaluation_batches(records: dataset.Records, fold: int | None,
                       share: epoch_plan.Share) -> tf.data.Dataset:
  """Returns every record of a fold exactly once, in index order.

  Args:
    records: the dataset.
    fold: 0..F-1; None for all records.
    share: the part of each batch to make.

  Returns:
    Batches as training_batches returns them, with element 0.
  """
  rows = records.rows(fold)
  paths = _encode(_shard_names(records, rows))
  draws = tf.data.Dataset.zip(_read(records, paths),
                              tf.data.Dataset.range(len(rows)))
  return batching.batch(draws, records, epoch_plan.once(rows), share, 0)


def shuffled_draws(records: dataset.Records,
                   fold: int,
                   epoch: epoch_plan.Epoch,
                   key: epoch_plan.Key,
                   shuffle_mb: int,
                   check: Callable | None = None) -> tf.data.Dataset:
  """Returns an epoch's draws, each (serialized record, number of the draw).

  Args:
    records: as of training_batches.
    fold: as of training_batches.
    epoch: the copies, in record order; a draw's number is its place there.
    key: as of training_batches.
    shuffle_mb: as of training_batches.
    check: returns an operation that runs before a shard is opened, on the
      machine that opens it; None for none.
  """
  counts = np.bincount(epoch.record, minlength=len(records.index))
  seed = int(key.generator(epoch_plan.ORDER).integers(2**31))
  draws = _interleave(records, fold, counts, seed, check)
  mean_bytes = records.index['record_bytes'].mean()
  # TensorFlow allocates all places, even unused ones.
  places = min(int(shuffle_mb * 2**20 / mean_bytes), len(epoch))
  return draws.shuffle(max(1, places),
                       seed=seed,
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


def _read(records: dataset.Records, names) -> tf.data.Dataset:
  """Returns the serialized records of files, in order."""
  buffer = _READ_BYTES if filesystem.is_remote(records.directory) else 0
  return tf.data.TFRecordDataset(names, buffer_size=buffer)


def _interleave(records: dataset.Records, fold: int, counts: np.ndarray,
                seed: int, check: Callable | None) -> tf.data.Dataset:
  """Returns (serialized record, number) of every draw, shards interleaved."""
  names = _shard_names(records, np.flatnonzero(records.index['fold'] != fold))
  # Not shuffled by tf.data: a service assigns the shards one by one, and a
  # shuffle would request all of them.
  names = np.random.default_rng(seed).permutation(names).tolist()
  rows_of = records.index.groupby('shard', sort=False).indices
  rows = [rows_of[os.path.basename(name)] for name in names]
  order = np.concatenate(rows)
  firsts = tf.constant((np.cumsum(counts) - counts)[order])
  times = tf.constant(counts[order])
  starts = tf.constant(np.cumsum([0, *map(len, rows)]))
  paths = tf.constant(_encode(names))
  is_once = (counts[order] == 1).all()

  def copies(serialized, first, count):
    # Not a map, whose function would run for each copy.
    return tf.data.Dataset.zip(
        tf.data.Dataset.from_tensors(serialized).repeat(),
        tf.data.Dataset.range(first, first + count))

  def one_shard(number):
    # Zipped tables: look-ups in a function take half the time of reading.
    mine = slice(starts[number], starts[number + 1])
    with tf.control_dependencies([check()] if check else []):
      found = _read(records, tf.identity(paths[number]))
    numbers = tf.data.Dataset.from_tensor_slices(firsts[mine])
    if is_once:
      return tf.data.Dataset.zip(found, numbers)
    drawn = tf.data.Dataset.from_tensor_slices(times[mine])
    return tf.data.Dataset.zip(found, numbers, drawn).flat_map(copies)

  shards = tf.data.Dataset.range(len(names))
  return shards.interleave(one_shard,
                           cycle_length=_CYCLE,
                           block_length=1,
                           num_parallel_calls=_CYCLE,
                           deterministic=True)
