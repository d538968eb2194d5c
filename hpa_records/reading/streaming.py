"""The streaming reader: any filesystem and encoding, by tf.data alone.

Shards are interleaved, each record is repeated in place by the count that the
epoch plan gives it, and all are shuffled through a buffer of serialized records
(copies in it share their memory). Raw ones are then batched and parsed, which
copies their pixels once less; PNGs are decoded first, several at once.

What is promised: an epoch draws each record, with each transform, exactly as
often as the plan says. Its order is a function of (seed, epoch, shuffle_mb),
the dataset, the version of TensorFlow and its global seed, which nothing here
sets, whoever takes which part of a batch and however many threads read: tf.data
keeps its order with deterministic on. A run that goes on inside an epoch gets
the batch that would have come; what was before is read once more, and not
decoded.

A service of input workers (data_service) may do the reading; then order is not
promised.
"""

import os
from typing import Callable

import numpy as np

from hpa_records.format import example
from hpa_records.format import spec
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.reading import shard_issue
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import address

# Read buffer of a file at an address: a record or three; larger ones were no
# faster. On a local disk a buffer is one copy more.
_READ_BYTES = 2**20
_CYCLE = 8  # shards that are read at once

# Takes (serialized record, number of its draw), gives (image, number).
Decode = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def training_batches(records: dataset.Records,
                     fold: int,
                     epoch: epoch_plan.Epoch,
                     key: epoch_plan.Key,
                     share: epoch_plan.Share,
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
  draws = shuffled_draws(records, fold, epoch, key, shuffle_mb)
  return _batch(draws, records, epoch, share, first_step)


def evaluation_batches(records: dataset.Records, fold: int | None,
                       share: epoch_plan.Share) -> tf.data.Dataset:
  """Returns every record of a fold, or of all, exactly once, in index order.

  Returns:
    Batches as training_batches gives them, element 0.
  """
  rows = records.rows(fold)
  paths = _encode(_shard_names(records, rows))
  draws = tf.data.Dataset.zip(_read(records, paths),
                              tf.data.Dataset.range(len(rows)))
  return _batch(draws, records, epoch_plan.once(rows), share, 0)


def shuffled_draws(records: dataset.Records,
                   fold: int,
                   epoch: epoch_plan.Epoch,
                   key: epoch_plan.Key,
                   shuffle_mb: int,
                   check: Callable | None = None) -> tf.data.Dataset:
  """Returns an epoch's draws, each (serialized record, number of the draw).

  Args: as of training_batches; the number is the place in `epoch`, which is in
    record order. `check` returns an operation that is run before a shard is
    opened, where that is.
  """
  counts = np.bincount(epoch.record, minlength=len(records.index))
  seed = int(key.generator(epoch_plan.ORDER).integers(2**31))
  draws = _interleave(records, fold, counts, seed, check)
  mean_bytes = records.index['record_bytes'].mean()
  # TensorFlow takes memory for places that no draw comes to.
  places = min(int(shuffle_mb * 2**20 / mean_bytes), len(epoch))
  return draws.shuffle(max(1, places),
                       seed=seed,
                       reshuffle_each_iteration=False)


def _shard_names(records: dataset.Records, rows: np.ndarray) -> list[str]:
  """Paths of the shards that hold rows of the index, checked, in file order."""
  names = records.index['shard'].iloc[rows].unique().tolist()
  shard_issue.check_frames(records, names)
  return [os.path.join(records.directory, name) for name in names]


def _encode(paths: list[str]) -> list[bytes]:
  """What TensorFlow takes also of paths that are not UTF-8."""
  return [os.fsencode(path) for path in paths]


def _read(records: dataset.Records, names) -> tf.data.Dataset:
  """Serialized records of files, one after another."""
  buffer = _READ_BYTES if address.is_address(records.directory) else 0
  return tf.data.TFRecordDataset(names, buffer_size=buffer)


def _interleave(records: dataset.Records, fold: int, counts: np.ndarray,
                seed: int, check: Callable | None) -> tf.data.Dataset:
  """(serialized record, number of the draw) of every copy, shards mixed."""
  names = _shard_names(records, np.flatnonzero(records.index['fold'] != fold))
  # Not by tf.data: a service deals out the shards one by one, and a shuffle of
  # them would take all.
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
    # Not a map: its function would run once for each copy.
    return tf.data.Dataset.zip(
        tf.data.Dataset.from_tensors(serialized).repeat(),
        tf.data.Dataset.range(first, first + count))

  def one_shard(number):
    # Tables beside it: look-ups by function cost half as much as reading.
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


def _batch(draws: tf.data.Dataset, records: dataset.Records,
           epoch: epoch_plan.Epoch, share: epoch_plan.Share,
           first_step: int) -> tf.data.Dataset:
  """Takes a share of the draws, decodes and batches it."""
  total = len(epoch)
  steps = epoch_plan.num_steps(total, share.batch_size)
  blank = tf.data.Dataset.from_tensors(
      (_blank_record(records), np.int64(epoch_plan.BLANK)))
  blanks = blank.repeat(steps * share.batch_size - total)
  # A shard that lost its tail reads clean; the count is what shows it.
  whole = draws.concatenate(blanks).apply(
      tf.data.experimental.assert_cardinality(steps * share.batch_size))
  mine = _take_share(whole.skip(first_step * share.batch_size), share)
  decode, size = decoder(records, epoch), share.part_size
  if _is_png(records):
    parts = _map(mine, decode).batch(size, drop_remainder=True)
  else:
    parts = _map(mine.batch(size, drop_remainder=True), decode)
  return finish(parts, records, epoch, share)


def _map(draws: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
  """Maps in order, on all cores. AUTOTUNE finds their number too late."""
  return draws.map(function, host.num_cores(), deterministic=True)


def _take_share(draws: tf.data.Dataset,
                share: epoch_plan.Share) -> tf.data.Dataset:
  """Those draws of each global batch that are the share's."""
  if share.count == share.num_replicas:
    return draws
  size = share.part_size

  def is_mine(place, _):
    part = place % share.batch_size // size
    return tf.logical_and(part >= share.first, part < share.first + share.count)

  return draws.enumerate().filter(is_mine).map(lambda _, draw: draw)


def decoder(records: dataset.Records, epoch: epoch_plan.Epoch) -> Decode:
  """Returns what makes (image [H, W, C] uint8, number) of a draw.

  Of raw records it takes batches of draws, too. A record that is not the one
  whose draw it should be, as in a shard that was replaced, is an error.
  """
  size = records.manifest.image_size
  shape = (size, size, spec.NUM_CHANNELS)
  is_png, head = _is_png(records), pixel_codec.png_head(size)
  features = {
      name: tf.io.FixedLenFeature([], tf.string)
      for name in (spec.ID, spec.IMAGE)
  }
  ids, rows = tf.constant([*records.index['id'], '']), _rows(records, epoch)

  def decode(serialized, number):
    parse = (tf.io.parse_example
             if serialized.shape.rank else tf.io.parse_single_example)
    found = parse(serialized, features)
    wanted = tf.gather(ids, tf.gather(rows, _places(number, epoch)))
    is_it = tf.reduce_all(found[spec.ID] == wanted)
    number = _require(is_it, number, 'received other records')
    data = found[spec.IMAGE]
    if is_png:
      # decode_png takes memory for the size that the PNG says.
      is_it = tf.strings.substr(data, 0, len(head)) == head
      # And unpacks compressed text, which may be large, before the pixels.
      is_it &= tf.strings.substr(data, 37, 4) == b'IDAT'
      data = _require(is_it, data, 'received another PNG than was stored')
      image = tf.io.decode_png(data, channels=spec.NUM_CHANNELS)
      return tf.ensure_shape(image, shape), number
    image = tf.io.decode_raw(data, tf.uint8)
    return tf.reshape(image, (*serialized.shape, *shape)), number

  return decode


def _require(is_right: tf.Tensor, value: tf.Tensor, message: str) -> tf.Tensor:
  """The value, or an error where it is not right."""
  right = tf.raw_ops.Assert(condition=is_right, data=[message])
  with tf.control_dependencies([right]):
    return tf.identity(value)


def _rows(records: dataset.Records, epoch: epoch_plan.Epoch) -> tf.Tensor:
  """The index row of each draw [M + 1] int64, one more for blanks."""
  return tf.constant(np.append(epoch.record, len(records.index)))


def _places(numbers: tf.Tensor, epoch: epoch_plan.Epoch) -> tf.Tensor:
  """Where draws stand in tables of M + 1, blanks being the last."""
  return tf.where(numbers != epoch_plan.BLANK, numbers, len(epoch))


def _is_png(records: dataset.Records) -> bool:
  return records.manifest.settings['encoding'] == 'png'


def finish(parts: tf.data.Dataset, records: dataset.Records,
           epoch: epoch_plan.Epoch, share: epoch_plan.Share) -> tf.data.Dataset:
  """Returns batches of decoded draws, with all that goes with them.

  Args:
    parts: (images [b, H, W, C] uint8, numbers [b] of the draws or
      epoch_plan.BLANK).
    records: the dataset.
    epoch: the draws, by number.
    share: of which the draws are.
  """
  rows = _rows(records, epoch)
  elements = tf.constant(np.append(epoch.element, np.int32(0)))
  labels = np.zeros((len(records.index) + 1, spec.NUM_CLASSES), np.float32)
  labels[:-1] = records.labels
  labels, size = tf.constant(labels), share.part_size

  def name(number, draws):
    images, numbers = draws
    places = _places(numbers, epoch)
    part = share.first + tf.cast(number % share.count, tf.int32)
    return {
        spec.IMAGE: images,
        spec.LABELS: tf.gather(labels, tf.gather(rows, places)),
        dataset.WEIGHT: tf.cast(numbers != epoch_plan.BLANK, tf.float32),
        dataset.ELEMENT: tf.gather(elements, places),
        dataset.SLOT: part * size + tf.range(size),
    }

  named = _map(parts.enumerate(), name)
  return named.with_options(global_batches()).prefetch(2)


def global_batches() -> tf.data.Options:
  """Returns options that leave a dataset of global batches as it is.

  Replicas take parts of each batch, not files of their own. Reading begins with
  the iterator, before a batch is asked for.
  """
  options = tf.data.Options()
  options.experimental_warm_start = True
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  return options


def _blank_record(records: dataset.Records) -> bytes:
  """A serialized record of black pixels without labels."""
  made = records.manifest
  black = np.zeros((made.image_size, made.image_size, spec.NUM_CHANNELS),
                   np.uint8)
  sample = example.Sample('',
                          pixel_codec.encode(black, made.settings['encoding']),
                          0, np.zeros(spec.NUM_CLASSES, np.int64),
                          np.zeros(made.num_folds, np.float32))
  return example.encode_head(sample) + sample.image.tobytes()
