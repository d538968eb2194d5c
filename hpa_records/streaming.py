"""The streaming reader: any filesystem and encoding, by tf.data alone.

Shards are interleaved, each record is repeated in place by the count that the
epoch plan gives it, all are shuffled through a buffer of serialized records
(copies in it share their memory), then batched, parsed and decoded. Order
depends on (seed, epoch) alone: tf.data keeps its order with deterministic on,
however many threads read.
"""

import os

import numpy as np

from hpa_records import dataset
from hpa_records import image as image_lib
from hpa_records import manifest as manifest_lib
from hpa_records import plan
from hpa_records import record
from hpa_records import schema
from hpa_records.backend import tf

_READ_BYTES = 8 * 2**20  # a file's read buffer; measured no faster beyond
_CYCLE = 8  # shards that are open at once


def training_batches(records: dataset.Records,
                     fold: int,
                     epoch: plan.Epoch,
                     key: plan.Key,
                     share: plan.Share,
                     shuffle_mb: int,
                     first_step: int = 0) -> tf.data.Dataset:
  """Returns one epoch of batches, fold held out; opens no file of that fold.

  Args:
    records: the dataset.
    fold: held out, 0..F-1.
    epoch: the copies to draw; only how often each record and transform occurs
      matters.
    key: of the epoch; its stream of order decides the shuffle.
    share: which part of each batch to make.
    shuffle_mb: size of the shuffle buffer, in MiB of stored images.
    first_step: the step to start at; what comes before is read and left out.

  Returns:
    For each step from first_step on, for each of the share's parts, a dict of
      image [b, H, W, C] uint8, labels [b, K] float32 multi-hot,
      weight [b] float32 (0 for a blank), element [b] int32 (the symmetry to
      apply), slot [b] int32 (places in the global batch).
  """
  epoch = epoch.in_record_order()
  counts = np.bincount(epoch.record, minlength=len(records.index))
  firsts = np.cumsum(counts) - counts
  seed = int(key.generator(plan.ORDER).integers(2**31))
  draws = _interleave(records, fold, counts, firsts, seed)
  mean_bytes = records.index['record_bytes'].mean()
  draws = draws.shuffle(max(1, int(shuffle_mb * 2**20 / mean_bytes)),
                        seed=seed,
                        reshuffle_each_iteration=False)
  return _batch(draws, records, epoch.element, len(epoch), share, first_step)


def evaluation_batches(records: dataset.Records, fold: int,
                       share: plan.Share) -> tf.data.Dataset:
  """Returns every record of a fold exactly once, in index order.

  Returns:
    Batches as training_batches gives them, element 0.
  """
  names = _shard_names(records, lambda held: held == fold)
  total = len(records.rows(fold))
  draws = tf.data.Dataset.zip(
      tf.data.TFRecordDataset(names, buffer_size=_READ_BYTES),
      tf.data.Dataset.range(total))
  return _batch(draws, records, np.zeros(total, np.int32), total, share, 0)


def _shard_names(records: dataset.Records, wanted) -> list[str]:
  """Paths of the shards whose fold is wanted, in file order."""
  firsts = records.index.groupby('shard', sort=False)['fold'].first()
  return [
      os.path.join(records.directory, name)
      for name, fold in firsts.items()
      if wanted(fold)
  ]


def _interleave(records: dataset.Records, fold: int, counts: np.ndarray,
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


def _batch(draws: tf.data.Dataset, records: dataset.Records,
           elements: np.ndarray, total: int, share: plan.Share,
           first_step: int) -> tf.data.Dataset:
  """Fills up, batches and decodes (serialized record, number of the draw)."""
  made, batch_size = records.manifest, share.batch_size
  steps = plan.num_steps(total, batch_size)
  blank = tf.data.Dataset.from_tensors(
      (_blank_record(made),
       np.int64(plan.BLANK))).repeat(steps * batch_size - total)
  elements = tf.constant(np.append(elements, np.int32(0)), tf.int32)
  parse = _parser(made)

  def finish(serialized, numbers):
    image, labels = parse(serialized)
    real = numbers != plan.BLANK
    return {
        schema.IMAGE: image,
        schema.LABELS: labels,
        dataset.WEIGHT: tf.cast(real, tf.float32),
        dataset.ELEMENT: tf.gather(elements, tf.where(real, numbers, total)),
        dataset.SLOT: tf.range(batch_size),
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
