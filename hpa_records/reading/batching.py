"""Draws of serialized records to batches, in tf.data: share, decode, name.

Raw records are batched and then parsed, which copies their pixels once less;
PNGs are decoded first, several at once.
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

# Takes (serialized record, number of its draw), gives (image, number).
Decode = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def batch(draws: tf.data.Dataset, records: dataset.Records,
          epoch: epoch_plan.Epoch, share: epoch_plan.Share,
          first_step: int) -> tf.data.Dataset:
  """Returns a share of the draws as batches, decoded.

  Args:
    draws: (serialized record, number of the draw), all of the epoch.
    records: the dataset.
    epoch: the draws, by number.
    share: which part of each batch to make.
    first_step: the step to start at.

  Returns:
    Batches as streaming.training_batches gives them.
  """
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
