"""Turns serialized records into decoded batches, in tf.data.

Raw records are batched before they are parsed, which saves one copy of their
pixels. PNGs are decoded before they are batched, in parallel.
"""

from typing import Callable

import numpy as np

from hpa_records.format import example
from hpa_records.format import spec
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan

# (serialized record, number of its draw) -> (image, number).
Decode = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def batch(draws: tf.data.Dataset, records: dataset.Records,
          epoch: epoch_plan.Epoch, share: epoch_plan.Share,
          first_step: int) -> tf.data.Dataset:
  """Returns a share of the draws as batches, decoded.

  Args:
    draws: (serialized record, number of the draw) for all draws of the epoch.
    records: the dataset.
    epoch: the draws, by number.
    share: the part of each batch to make.
    first_step: the step to start at.

  Returns:
    Batches as streaming.training_batches returns them.
  """
  total = len(epoch)
  steps = epoch_plan.num_steps(total, share.batch_size)
  blank = tf.data.Dataset.from_tensors(
      (_blank_record(records), np.int64(epoch_plan.BLANK)))
  blanks = blank.repeat(steps * share.batch_size - total)
  # A truncated shard may read without an error; only the count detects it.
  padded = draws.concatenate(blanks).apply(
      tf.data.experimental.assert_cardinality(steps * share.batch_size))
  mine = _take_share(padded.skip(first_step * share.batch_size), share)
  decode, size = decoder(records, epoch), share.part_size
  if _is_png(records):
    parts = _map(mine, decode).batch(size, drop_remainder=True)
  else:
    parts = _map(mine.batch(size, drop_remainder=True), decode)
  return finish(parts, records, epoch, share)


def _map(draws: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
  """Maps in order, on all cores; AUTOTUNE takes too long to use them all."""
  return draws.map(function, host.num_cores(), deterministic=True)


def _take_share(draws: tf.data.Dataset,
                share: epoch_plan.Share) -> tf.data.Dataset:
  """Returns the share's draws of each global batch."""
  if share.count == share.num_replicas:
    return draws
  size = share.part_size

  def is_mine(place, _):
    part = place % share.batch_size // size
    return tf.logical_and(part >= share.first, part < share.first + share.count)

  return draws.enumerate().filter(is_mine).map(lambda _, draw: draw)


def decoder(records: dataset.Records, epoch: epoch_plan.Epoch) -> Decode:
  """Returns a function that decodes a draw to (image [H, W, C] uint8, number).

  For raw records it also decodes batches of draws. It fails if a record's id is
  not the draw's, as in a replaced shard.

  Args:
    records: the dataset.
    epoch: the draws, by number.
  """
  shape = height, _, num_channels = records.spec.image_shape
  is_png = _is_png(records)
  head = pixel_codec.png_head(height, num_channels) if is_png else b''
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
    is_right = tf.reduce_all(found[spec.ID] == wanted)
    number = _require(is_right, number, 'received other records')
    data = found[spec.IMAGE]
    if is_png:
      # decode_png allocates memory for the size in the PNG's header.
      is_right = tf.strings.substr(data, 0, len(head)) == head
      # It also unpacks compressed text chunks before the pixels.
      is_right &= tf.strings.substr(data, 37, 4) == b'IDAT'
      data = _require(is_right, data, 'received another PNG than was stored')
      image = tf.io.decode_png(data, channels=num_channels)
      return tf.ensure_shape(image, shape), number
    image = tf.io.decode_raw(data, tf.uint8)
    return tf.reshape(image, (*serialized.shape, *shape)), number

  return decode


def _require(is_right: tf.Tensor, value: tf.Tensor, message: str) -> tf.Tensor:
  """Returns the value; fails with the message if is_right is False."""
  right = tf.raw_ops.Assert(condition=is_right, data=[message])
  with tf.control_dependencies([right]):
    return tf.identity(value)


def _rows(records: dataset.Records, epoch: epoch_plan.Epoch) -> tf.Tensor:
  """Returns the index row of each draw and of a blank, [M + 1] int64."""
  return tf.constant(np.append(epoch.record, len(records.index)))


def _places(numbers: tf.Tensor, epoch: epoch_plan.Epoch) -> tf.Tensor:
  """Returns the draws' places in tables of M + 1 rows, blanks last."""
  return tf.where(numbers != epoch_plan.BLANK, numbers, len(epoch))


def _is_png(records: dataset.Records) -> bool:
  return records.spec.encoding == 'png'


def finish(parts: tf.data.Dataset, records: dataset.Records,
           epoch: epoch_plan.Epoch, share: epoch_plan.Share) -> tf.data.Dataset:
  """Returns batches with labels, weights, symmetries and slots added.

  Args:
    parts: (images [b, H, W, C] uint8, numbers [b] of the draws or
      epoch_plan.BLANK).
    records: the dataset.
    epoch: the draws, by number.
    share: the part of each batch that the draws are.

  Returns:
    Batches as streaming.training_batches returns them.
  """
  rows = _rows(records, epoch)
  elements = tf.constant(np.append(epoch.element, np.int32(0)))
  # Converted after the look-up: of many classes float32 would take gigabytes.
  labels = tf.constant(np.pad(records.labels, ((0, 1), (0, 0))))
  size = share.part_size

  def name(number, draws):
    images, numbers = draws
    places = _places(numbers, epoch)
    part = share.first + tf.cast(number % share.count, tf.int32)
    return {
        spec.IMAGE:
            images,
        spec.LABELS:
            tf.cast(tf.gather(labels, tf.gather(rows, places)), tf.float32),
        dataset.WEIGHT:
            tf.cast(numbers != epoch_plan.BLANK, tf.float32),
        dataset.ELEMENT:
            tf.gather(elements, places),
        dataset.SLOT:
            part * size + tf.range(size),
    }

  named = _map(parts.enumerate(), name)
  return named.with_options(global_batches()).prefetch(2)


def global_batches() -> tf.data.Options:
  """Returns options that turn off sharding by tf.distribute.

  Replicas get parts of each batch, not separate files. Reading begins when the
  iterator is created, before a batch is requested.
  """
  options = tf.data.Options()
  options.experimental_warm_start = True
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  return options


def _blank_record(records: dataset.Records) -> bytes:
  """Returns a serialized record of black pixels without labels."""
  found = records.spec
  black = np.zeros(found.image_shape, np.uint8)
  sample = example.Sample('', pixel_codec.encode(black, found.encoding), 0,
                          np.zeros(found.num_classes, np.int64),
                          np.zeros(records.manifest.num_folds, np.float32))
  return example.encode_head(sample) + sample.image.tobytes()
