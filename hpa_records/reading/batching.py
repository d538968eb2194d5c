"""Turns serialized records into decoded batches, in tf.data.

A batch of serialized records is decoded by one call of Python (_Filler), into
memory that is reused: new memory for each batch costs more than its content,
since the kernel zeroes it page by page. Each record must hold its id; its image
is where the index says, so nothing is parsed.

PNGs are decoded there by a library that keeps the GIL. So on more cores than
pixel_codec.GIL_CORES TensorFlow decodes them in parallel, before they are
batched (BUILD_NOTES.md, "Streaming reader").
"""

from typing import Callable, NamedTuple

import numpy as np

from hpa_records.format import example
from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.reading import pipeline_call
from hpa_records.runtime import errors
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
               take: Callable[[tuple[int, ...]], np.ndarray] | None = None):
    """Prepares the tables of ids and labels.

    Args:
      records: the dataset.
      take: returns memory for batches, [shape] uint8, such as
        buffers.Buffers.take; with None TensorFlow alone makes them.
    """
    self._records, self._take = records, take
    self._ids = tf.constant([*records.index['id'], ''])
    # Converted after the look-up: of many classes float32 would take gigabytes.
    self._labels = tf.constant(np.pad(records.labels, ((0, 1), (0, 0))))
    self._fill = _Filler(records, take).fill

  def batch(self, found: tf.data.Dataset, draws: Draws, share: epoch_plan.Share,
            total: tf.Tensor, first_step: tf.Tensor) -> tf.data.Dataset:
    """Returns a share of the draws as batches, decoded.

    Args:
      found: (serialized record, number of the draw) for all draws.
      draws: of the epoch.
      share: the part of each batch to make.
      total: int64, number of draws.
      first_step: int64, the step to start at.

    Returns:
      Batches as streaming.Streaming.training returns them; call own on them.
    """
    slots = -(-total // share.batch_size) * share.batch_size
    blank = tf.data.Dataset.from_tensors(
        (self._blank_record(), np.int64(epoch_plan.BLANK)))
    # A truncated shard may read without an error; only the count detects it.
    padded = found.concatenate(blank.repeat(slots - total)).apply(
        tf.data.experimental.assert_cardinality(slots))
    mine = _take_share(padded.skip(first_step * share.batch_size), share)
    if self._is_decoded_first():
      parts = _map(mine, self.decoder(draws)).batch(share.part_size,
                                                    drop_remainder=True)
      return self.finish(parts, draws, share)
    parts = mine.batch(share.part_size, drop_remainder=True)
    return self.finish(parts, draws, share, self._fill_part)

  def own(self, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches of this object, read ahead, which keep it alive."""
    made = batches.with_options(global_batches()).prefetch(2)
    return pipeline_call.keep(made, self._fill)

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
        epoch_plan.BLANK), or with decode (serialized records [b], numbers).
      draws: of the epoch.
      share: the part of each batch that the draws are.
      decode: makes images of serialized records and their rows [b] int64; in
        the same call, since each function is optimized anew in each epoch.

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

  def _is_decoded_first(self) -> bool:
    """Returns whether TensorFlow decodes the records, before they are batched.
    """
    is_png = self._records.spec.encoding == 'png'
    return self._take is None or (is_png and
                                  host.num_cores() > pixel_codec.GIL_CORES)

  def _fill_part(self, serialized: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the images [b, H, W, C] uint8; arguments as of _Filler.fill."""
    images = tf.numpy_function(pipeline_call.weak(self._fill),
                               [serialized, rows], tf.uint8)
    return tf.ensure_shape(images,
                           (*rows.shape, *self._records.spec.image_shape))

  def _blank_record(self) -> bytes:
    """Returns a serialized record of black pixels without labels."""
    found = self._records.spec
    black = np.zeros(found.image_shape, np.uint8)
    sample = example.Sample('', pixel_codec.encode(black, found.encoding))
    return example.encode_head(sample) + sample.image.tobytes()


class _Filler:
  """Decodes serialized records into the memory of a batch."""

  def __init__(self, records: dataset.Records, take: Callable):
    index, self._spec = records.index, records.spec
    self._take = take
    self._ids = index['id'].to_numpy()
    self._heads = (index['image_offset'] - index['record_offset'] -
                   tfrecord.FRAME_HEAD_BYTES).to_numpy()
    self._ends = self._heads + index['image_bytes'].to_numpy()

  def fill(self, serialized: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the images [b, H, W, C] uint8 of records.

    Args:
      serialized: [b], bytes of the records.
      rows: [b] int64, of the index; N for a black image.

    Raises:
      errors.DataError: a record is not that of the row.
    """
    images = self._take((len(rows), *self._spec.image_shape))
    for data, row, image in zip(serialized, rows.tolist(), images):
      image[:] = self._decode(data, row) if row < len(self._ids) else 0
    return images

  def _decode(self, data: bytes, row: int) -> np.ndarray:
    """Returns the image [H, W, C] uint8 of a record."""
    start, end = int(self._heads[row]), int(self._ends[row])
    entry = example.encode_id(self._ids[row])
    if len(data) != end or entry not in data[:start]:
      raise errors.DataError(f'another record than that of {self._ids[row]}')
    image = np.frombuffer(data, np.uint8, end - start, start)
    return pixel_codec.decode(image, self._spec.encoding, self._spec.image_size,
                              self._spec.num_channels)


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
