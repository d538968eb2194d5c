"""Records to tf.data batches: the streaming reader and the evaluation reader.

Both give uint8 pixels: conversion to float, scaling and the transform happen
on the device, where a byte a pixel has travelled instead of four. Every batch
has the same static shape; the last is filled up with blank records of weight
0, so nothing is dropped and nothing is compiled twice.

Training streams: shards interleaved, each record repeated in place by the
count that the epoch plan gives it, all shuffled through a buffer of serialized
records (copies in it share their memory), then batched, parsed and decoded as
a batch. Order depends on (seed, epoch) alone: tf.data keeps its order with
deterministic on, however many threads read.
"""

import dataclasses
import os

import numpy as np
import pandas as pd

from hpa_records import balance as balance_lib
from hpa_records import image as image_lib
from hpa_records import manifest as manifest_lib
from hpa_records import plan
from hpa_records import record
from hpa_records import sample_table
from hpa_records import schema
from hpa_records.backend import tf

WEIGHT = 'weight'
ELEMENT = 'element'
SLOT = 'slot'

_BLANK = -1  # instead of a draw's number: a record that only fills a batch
_READ_BYTES = 8 * 2**20  # a file's read buffer; measured no faster beyond
_CYCLE = 8  # shards that are open at once


@dataclasses.dataclass(frozen=True)
class Records:
  """A dataset on disk, checked: sizes of the shards, hash of the index.

  Attributes:
    directory: of the dataset.
    manifest: its manifest.
    index: one row a record, in file order; see manifest.load_index.
  """
  directory: str
  manifest: manifest_lib.Manifest
  index: pd.DataFrame

  def rows(self, fold: int) -> np.ndarray:
    """Returns the index rows [n] int64 of one fold, in file order."""
    return np.flatnonzero(self.index['fold'] == fold)

  def multi_hot(self, rows: np.ndarray) -> np.ndarray:
    """Returns the labels [n, K] uint8 multi-hot of index rows [n]."""
    return sample_table.multi_hot(self.index['labels'].iloc[rows])

  def repeats(self,
              fold: int,
              balance: balance_lib.Balance | None = None) -> np.ndarray:
    """Returns each record's expected draws [N] float32, fold held out.

    Args:
      fold: 0..F-1.
      balance: in place of the stored repeats, those that the converter would
        have stored with it; computed from the index.
    """
    if balance is None:
      return np.stack(self.index['repeats'])[:, fold]
    return balance_lib.repeats_of_fold(list(self.index['id']), self._labels(),
                                       self.index['fold'].to_numpy(), fold,
                                       balance, self.manifest.settings['seed'])

  def ranks(self) -> np.ndarray:
    """Returns the ranks [N] int64 that plan.expand rounds along."""
    return balance_lib.rank_label_sets(self._labels())

  def _labels(self) -> np.ndarray:
    return self.multi_hot(np.arange(len(self.index)))


def load(directory: str) -> Records:
  """Returns the dataset in a folder, checked without reading the shards.

  Raises:
    schema.DataError: the manifest, the index or a shard is missing or not
      what it was; or the records have no labels.
  """
  found = manifest_lib.load(directory)
  if not found.is_labelled:
    raise schema.DataError(
        f'Expected records with labels, received unlabelled ones at {directory}'
        '; convert a CSV with the column Target, without --unlabelled.')
  manifest_lib.check_shards(directory, found)
  return Records(directory, found, manifest_lib.load_index(directory, found))


def training_batches(records: Records, fold: int, epoch: plan.Epoch,
                     batch_size: int, shuffle_mb: int,
                     key: plan.Key) -> tf.data.Dataset:
  """Returns one epoch of batches, fold held out; opens no file of that fold.

  Args:
    records: the dataset.
    fold: held out, 0..F-1.
    epoch: the copies to draw, in record order, as plan.expand returns them.
    batch_size: B, the global batch.
    shuffle_mb: size of the shuffle buffer, in MiB of stored images.
    key: of the epoch; its stream of order decides the shuffle.

  Returns:
    plan.num_steps(len(epoch), B) batches, dicts of
      image [B, H, W, C] uint8, labels [B, K] float32 multi-hot,
      weight [B] float32 (0 for a blank), element [B] int32 (the symmetry to
      apply), slot [B] int32 (0..B-1).
  """
  counts = np.bincount(epoch.record, minlength=len(records.index))
  firsts = np.cumsum(counts) - counts
  seed = int(key.generator(plan.ORDER).integers(2**31))
  draws = _interleave(records, fold, counts, firsts, seed)
  mean_bytes = records.index['record_bytes'].mean()
  draws = draws.shuffle(max(1, int(shuffle_mb * 2**20 / mean_bytes)),
                        seed=seed,
                        reshuffle_each_iteration=False)
  return _batch(draws, records, epoch.element, len(epoch), batch_size)


def evaluation_batches(records: Records, fold: int,
                       batch_size: int) -> tf.data.Dataset:
  """Returns every record of a fold exactly once, in index order.

  Returns:
    Batches as training_batches gives them, element 0.
  """
  names = _shard_names(records, lambda held: held == fold)
  total = len(records.rows(fold))
  draws = tf.data.Dataset.zip(
      tf.data.TFRecordDataset(names, buffer_size=_READ_BYTES),
      tf.data.Dataset.range(total))
  return _batch(draws, records, np.zeros(total, np.int32), total, batch_size)


def _shard_names(records: Records, wanted) -> list[str]:
  """Paths of the shards whose fold is wanted, in file order."""
  firsts = records.index.groupby('shard', sort=False)['fold'].first()
  return [
      os.path.join(records.directory, name)
      for name, fold in firsts.items()
      if wanted(fold)
  ]


def _interleave(records: Records, fold: int, counts: np.ndarray,
                firsts: np.ndarray, seed: int) -> tf.data.Dataset:
  """(serialized record, number of the draw) of every copy, shards mixed."""
  names = _shard_names(records, lambda held: held != fold)
  starts = {}
  for row, name in enumerate(records.index['shard']):
    starts.setdefault(os.path.join(records.directory, name), row)
  first_rows = tf.constant([starts[name] for name in names], tf.int64)
  names = tf.constant(names)
  counts, firsts = tf.constant(counts), tf.constant(firsts)

  def copies(serialized, row):
    numbers = tf.data.Dataset.range(firsts[row], firsts[row] + counts[row])
    return numbers.map(lambda number: (serialized, number))

  def one_shard(number):
    rows = tf.data.Dataset.counter(first_rows[number])
    shard = tf.data.TFRecordDataset(names[number], buffer_size=_READ_BYTES)
    return tf.data.Dataset.zip(shard, rows).flat_map(copies)

  shards = tf.data.Dataset.range(len(first_rows)).shuffle(
      len(first_rows), seed=seed, reshuffle_each_iteration=False)
  return shards.interleave(one_shard,
                           cycle_length=_CYCLE,
                           block_length=1,
                           num_parallel_calls=tf.data.AUTOTUNE,
                           deterministic=True)


def _batch(draws: tf.data.Dataset, records: Records, elements: np.ndarray,
           total: int, batch_size: int) -> tf.data.Dataset:
  """Fills up, batches and decodes (serialized record, number of the draw)."""
  made = records.manifest
  steps = plan.num_steps(total, batch_size)
  blank = tf.data.Dataset.from_tensors(
      (_blank_record(made),
       np.int64(_BLANK))).repeat(steps * batch_size - total)
  elements = tf.constant(np.append(elements, np.int32(0)), tf.int32)
  parse = _parser(made)

  def finish(serialized, numbers):
    image, labels = parse(serialized)
    real = numbers != _BLANK
    return {
        schema.IMAGE: image,
        schema.LABELS: labels,
        WEIGHT: tf.cast(real, tf.float32),
        ELEMENT: tf.gather(elements, tf.where(real, numbers, total)),
        SLOT: tf.range(batch_size),
    }

  batches = draws.concatenate(blank).batch(batch_size, drop_remainder=True).map(
      finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  # A shard that lost its tail reads clean; the count is what shows it.
  counted = batches.apply(tf.data.experimental.assert_cardinality(steps))
  options = tf.data.Options()
  # The batches are global: replicas take slices of each, not files of their
  # own. The rewrite would also drop the count.
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  return counted.with_options(options).prefetch(tf.data.AUTOTUNE)


def _blank_record(made: manifest_lib.Manifest) -> bytes:
  """A serialized record of black pixels without labels."""
  black = np.zeros((made.image_size, made.image_size, schema.NUM_CHANNELS),
                   np.uint8)
  sample = record.Sample('', image_lib.encode(black, made.settings['encoding']),
                         0, np.zeros(schema.NUM_CLASSES, np.int64),
                         np.zeros(made.num_folds, np.float32))
  return record.encode_head(sample) + sample.image.tobytes()


def _parser(made: manifest_lib.Manifest):
  """[B] serialized records -> image [B, H, W, C] uint8, labels [B, K] float.
  """
  shape = (made.image_size, made.image_size, schema.NUM_CHANNELS)
  features = {
      schema.IMAGE: tf.io.FixedLenFeature([], tf.string),
      schema.LABELS: tf.io.FixedLenFeature([schema.NUM_CLASSES], tf.int64),
  }

  def decode_png(data):
    return tf.ensure_shape(tf.io.decode_png(data, channels=schema.NUM_CHANNELS),
                           shape)

  def parse(serialized):
    parsed = tf.io.parse_example(serialized, features)
    if made.settings['encoding'] == 'png':
      image = tf.map_fn(decode_png,
                        parsed[schema.IMAGE],
                        fn_output_signature=tf.uint8)
    else:
      image = tf.reshape(tf.io.decode_raw(parsed[schema.IMAGE], tf.uint8),
                         (-1, *shape))
    return (tf.ensure_shape(image, (serialized.shape[0], *shape)),
            tf.cast(parsed[schema.LABELS], tf.float32))

  return parse
