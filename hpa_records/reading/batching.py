"""Turns the draws of an epoch into decoded batches, in tf.data.

The draws are either numbers, whose records a payload reads by one call of
Python into memory that is reused, or serialized records, which TensorFlow
decodes by itself, such as on another machine.
"""

from typing import Any, Callable, NamedTuple

import numpy as np

from hpa_records.format import example
from hpa_records.format import spec
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.reading import pipeline_call
from hpa_records.reading.payload import payload as payload_lib
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan

# (serialized record, number of its draw) -> (image, number).
Decode = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Draws(NamedTuple):
  """The M draws of an epoch by number, and one more for blanks.

  Attributes:
    rows: [M + 1] int64, of the index; N for blanks.
    elements: [M + 1] int32, the symmetries to apply.
  """
  rows: tf.Tensor
  elements: tf.Tensor

  def at(self, numbers: tf.Tensor) -> 'Draws':
    """Returns the draws with these numbers, or epoch_plan.BLANK."""
    last = tf.size(self.rows, tf.int64) - 1
    places = tf.where(numbers != epoch_plan.BLANK, numbers, last)
    return Draws(tf.gather(self.rows, places), tf.gather(self.elements, places))


DRAWS_SPEC = Draws(tf.TensorSpec([None], tf.int64),
                   tf.TensorSpec([None], tf.int32))


def list_draws(records: dataset.Records, epoch: epoch_plan.Epoch) -> Draws:
  """Returns the draws of an epoch, whose numbers are their places in it."""
  return Draws(tf.constant(np.append(epoch.record, len(records.index))),
               tf.constant(np.append(epoch.element, np.int32(0))))


class Batcher:
  """Makes batches of the draws of any epoch."""

  def __init__(self,
               records: dataset.Records,
               payload: payload_lib.Payload | None = None,
               take: Callable[[tuple[int, ...]], np.ndarray] | None = None):
    """Prepares the tables of ids and labels.

    Args:
      records: the dataset.
      payload: reads records by index, for batch_numbers.
      take: returns memory for the payload's batches, [shape] uint8, such as
        buffers.Buffers.take.
    """
    self._records = records
    self._ids = tf.constant([*records.index['id'], ''])
    # Converted after the look-up: of many classes float32 would take gigabytes.
    self._labels = tf.constant(np.pad(records.labels, ((0, 1), (0, 0))))
    filler = _Filler(records, payload, take)
    self._begin, self._fill = filler.begin, filler.fill

  def begin(self, numbers: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Returns numbers [n] int64 of draws, whose records the payload begins to
    read."""
    begun = tf.numpy_function(pipeline_call.weak(self._begin),
                              [draws.at(numbers).rows, numbers], tf.int64)
    return tf.ensure_shape(begun, numbers.shape)

  def batch_numbers(self, numbers: tf.data.Dataset, draws: Draws,
                    share: epoch_plan.Share, total: tf.Tensor,
                    first_step: tf.Tensor) -> tf.data.Dataset:
    """Returns a share of the draws as batches that the payload reads.

    Args:
      numbers: of all draws, in order.
      draws: of the epoch.
      share: the part of each batch to make.
      total: int64, number of draws.
      first_step: int64, the step to start at.

    Returns:
      Batches as streaming.Streaming.training returns them; call own on them.
    """
    mine = _take_share(
        fill_up(numbers, np.int64(epoch_plan.BLANK), share, total, first_step),
        share)
    parts = mine.batch(share.part_size, drop_remainder=True)

    def read(_, rows):
      images = tf.numpy_function(pipeline_call.weak(self._fill), [rows],
                                 tf.uint8)
      shape = (share.part_size, *self._records.spec.image_shape)
      return tf.ensure_shape(images, shape)

    return self.finish(parts.map(lambda each: (each, each)), draws, share, read)

  def batch_records(self, found: tf.data.Dataset, draws: Draws,
                    share: epoch_plan.Share, total: tf.Tensor,
                    first_step: tf.Tensor) -> tf.data.Dataset:
    """Returns a share of the draws as batches that TensorFlow decodes.

    Args:
      found: (serialized record, number of the draw) for all draws.
      draws, share, total, first_step: as of batch_numbers.

    Returns:
      As batch_numbers.
    """
    blank = self._blank_record(), np.int64(epoch_plan.BLANK)
    mine = _take_share(fill_up(found, blank, share, total, first_step), share)
    decoded = _map(mine, self.decoder(draws))
    return self.finish(decoded.batch(share.part_size, drop_remainder=True),
                       draws, share)

  def own(self, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches of this object, read ahead, which keep it alive."""
    made = batches.with_options(global_batches()).prefetch(2)
    return pipeline_call.keep(made, self._begin, self._fill)

  def decoder(self, draws: Draws) -> Decode:
    """Returns a function that decodes a draw to (image [H, W, C] uint8, number)
    by operations of TensorFlow alone.

    It fails if a record's id is not the draw's, as in a replaced shard.

    Args:
      draws: of the epoch.
    """
    shape = height, _, num_channels = self._records.spec.image_shape
    is_png = self._records.spec.encoding == 'png'
    head = pixel_codec.png_head(height, num_channels) if is_png else b''
    features = {
        name: tf.io.FixedLenFeature([], tf.string)
        for name in (spec.ID, spec.IMAGE)
    }

    def decode(serialized, number):
      found = tf.io.parse_single_example(serialized, features)
      is_right = found[spec.ID] == tf.gather(self._ids, draws.at(number).rows)
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
      return tf.reshape(tf.io.decode_raw(data, tf.uint8), shape), number

    return decode

  def finish(
      self,
      parts: tf.data.Dataset,
      draws: Draws,
      share: epoch_plan.Share,
      decode: Callable[[tf.Tensor, tf.Tensor],
                       tf.Tensor] = lambda images, _: images
  ) -> tf.data.Dataset:
    """Returns batches with labels, weights, symmetries and slots added.

    Args:
      parts: (images [b, H, W, C] uint8, numbers [b] of the draws or
        epoch_plan.BLANK), or with decode (anything, numbers).
      draws: of the epoch.
      share: the part of each batch that the draws are.
      decode: makes images of what is there and the rows [b] int64; in the same
        call, since each function is optimized anew in each epoch.

    Returns:
      Batches as batch returns them.
    """
    size = share.part_size

    def name(number, part):
      found, numbers = part
      drawn = draws.at(numbers)
      place = share.first + tf.cast(number % share.count, tf.int32)
      labels = tf.gather(self._labels, drawn.rows)
      return {
          spec.IMAGE: decode(found, drawn.rows),
          spec.LABELS: tf.cast(labels, tf.float32),
          dataset.WEIGHT: tf.cast(numbers != epoch_plan.BLANK, tf.float32),
          dataset.ELEMENT: drawn.elements,
          dataset.SLOT: place * size + tf.range(size),
      }

    return _map(parts.enumerate(), name)

  def _blank_record(self) -> bytes:
    """Returns a serialized record of black pixels without labels."""
    found = self._records.spec
    black = np.zeros(found.image_shape, np.uint8)
    sample = example.Sample('', pixel_codec.encode(black, found.encoding))
    return example.encode_head(sample) + sample.image.tobytes()


class _Filler:
  """Reads records by index. A class of its own: pipeline_call holds its
  methods, and through them nothing that holds the pipeline.
  """

  def __init__(self, records: dataset.Records,
               payload: payload_lib.Payload | None, take: Callable | None):
    self._blank, self._shape = len(records.index), records.spec.image_shape
    self._payload, self._take = payload, take

  def begin(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Begins to read rows [n] int64, and returns numbers."""
    self._payload.prefetch(rows)
    return numbers

  def fill(self, rows: np.ndarray) -> np.ndarray:
    """Returns the images [b, H, W, C] uint8 of rows [b] int64; black for N."""
    images = self._take((len(rows), *self._shape))
    self._payload.read(np.where(rows == self._blank, epoch_plan.BLANK, rows),
                       images)
    return images


def fill_up(found: tf.data.Dataset, blank: Any, share: epoch_plan.Share,
            total: tf.Tensor | int,
            first_step: tf.Tensor | int) -> tf.data.Dataset:
  """Returns the draws from a step on, and blanks in the last batch.

  Args:
    found: all draws.
    blank: an element in place of a draw.
    share: the part of each batch to make.
    total: number of draws.
    first_step: the step to start at.
  """
  slots = -(-total // share.batch_size) * share.batch_size
  blanks = tf.data.Dataset.from_tensors(blank).repeat(slots - total)
  # A truncated shard may read without an error; only the count detects it.
  padded = found.concatenate(blanks).apply(
      tf.data.experimental.assert_cardinality(slots))
  return padded.skip(first_step * share.batch_size)


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


def _require(is_right: tf.Tensor, value: tf.Tensor, message: str) -> tf.Tensor:
  """Returns the value; fails with the message if is_right is False."""
  right = tf.raw_ops.Assert(condition=is_right, data=[message])
  with tf.control_dependencies([right]):
    return tf.identity(value)


def global_batches() -> tf.data.Options:
  """Returns options that turn off sharding by tf.distribute.

  Replicas get parts of each batch, not separate files. Reading begins when the
  iterator is created, before a batch is requested.
  """
  options = tf.data.Options()
  options.experimental_warm_start = True
  options.autotune.enabled = False  # all numbers of threads are set
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.OFF)
  return options
