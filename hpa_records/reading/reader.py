"""The reader of a run: chooses indexed or streaming, caches and checks.

`indexed` reads records on local disk, at any address or in memory, in exactly
the order of the epoch plan. `streaming` reads them by tf.data, as far as
TensorFlow knows the address, and shuffles in a buffer. Both draw each record as
often as the plan says.
"""

import contextlib
from typing import Iterable, Iterator

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import data_service
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import indexed
from hpa_records.reading import shard_issue
from hpa_records.reading import streaming
from hpa_records.reading import tensorflow_address
from hpa_records.reading.payload import payload as payload_lib
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import remote_shards
from hpa_records.reading.payload import shard_cache
from hpa_records.reading.payload import shards
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import printable
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import filesystem
from hpa_records.storage import storage_error

_FILL_BATCH = 32  # images a batch, to fill a cache
_INPUT = 'IteratorGetNext'  # in TensorFlow's errors of the input


class Reader:
  """Reads the records of a run with one fold held out.

  Attributes:
    kind: 'indexed' or 'streaming'.
    holds_pixels: whether all pixels are in host memory.
    is_ordered: whether the order of an epoch can be repeated.
  """

  def __init__(self, records: dataset.Records, fold: int | None,
               how: how_lib.How):
    """Opens the records; fills the cache in host memory, if there is one.

    Args:
      records: the dataset.
      fold: the held-out fold, 0..F-1; None if nothing is trained.
      how: how to read.

    Raises:
      errors.DataError: the records cannot be read like that, or do not fit into
        memory; or the data service does not answer.
    """
    self._records, self._fold, self._how = records, fold, how
    self.kind, self.holds_pixels = choose(records, how), how.cache == 'host'
    self.is_ordered = not how.data_service
    if how.data_service:
      data_service.check_address(how.data_service)
    self._buffers = indexed.make_buffers()  # reused in each epoch
    self._payload = find_payload(records, how, self.kind)
    self._streaming = streaming.Streaming(records, how.shuffle_mb,
                                          self._payload, self._buffers.take)
    if self.holds_pixels:
      pixels = _reserve(records)
      for rows, images in self.images(range(records.manifest.num_folds)):
        pixels[rows] = images
      self._payload = payload_lib.Memory(pixels)

  def training(self,
               epoch: epoch_plan.Epoch,
               key: epoch_plan.Key,
               share: epoch_plan.Share,
               first_step: int = 0) -> tf.data.Dataset:
    """Returns one epoch of batches; opens no file of the held-out fold.

    Args:
      epoch: the copies, in the order of training.
      key: of the epoch.
      share: the part of each batch to make.
      first_step: the step to start at.

    Returns:
      Batches as indexed.batches returns them; with the cache 'device' they have
      rows in place of the image.

    Raises:
      errors.DataError: first_step is not 0 with a data service; or as
        data_service.training_batches.
    """
    if self._how.data_service:
      if first_step:
        raise errors.DataError(
            f'Cannot resume at step {first_step} of an epoch with '
            '--data_service: input workers send samples in no fixed order; '
            'leave --data_service out until that epoch ends.')
      return data_service.training_batches(self._records, self._fold, epoch,
                                           key, share, self._how.shuffle_mb,
                                           self._how.data_service)
    if self.kind == 'streaming':
      return self._streaming.training(self._fold, epoch, key, share, first_step)
    payload = None if self._how.cache == 'device' else self._payload
    return self._batch(payload, epoch, share, first_step)

  def evaluation(self, rows: np.ndarray,
                 share: epoch_plan.Share) -> tf.data.Dataset:
    """Returns some records exactly once, in index order.

    Args:
      rows: [n] int64, of the index, ascending, such as Records.rows of a fold.
      share: the part of each batch to make.

    Returns:
      Batches as indexed.batches returns them, with images and element 0.
    """
    if self._payload is None:
      return self._streaming.evaluation(rows, share)
    return self._batch(self._payload, epoch_plan.once(rows), share, 0)

  def check_unchanged(self) -> None:
    """Checks that the shards that were read have not changed.

    Shards on local disk that are read by index are checked while they are read.

    Raises:
      errors.DataError: a shard was changed or removed.
    """
    shard_issue.check_unchanged(self._records)
    if self._payload is not None:
      self._payload.check_unchanged()

  def _batch(self, payload: payload_lib.Payload | None, epoch: epoch_plan.Epoch,
             share: epoch_plan.Share, first_step: int) -> tf.data.Dataset:
    return indexed.batches(self._records.labels, self._records.spec.image_shape,
                           payload, epoch, share, first_step, self._buffers)

  def images(self,
             folds: Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all images of some folds once, in batches.

    Args:
      folds: 0..F-1, each once.

    Yields:
      Rows of the index [n] int64, and their pixels [n, H, W, C] uint8, which
      are valid until the next batch.
    """
    share = epoch_plan.Share(_FILL_BATCH)
    for fold in folds:
      rows = self._records.rows(fold)
      with self.translate_errors():
        for i, batch in enumerate(
            self.evaluation(rows, share).as_numpy_iterator()):
          part = rows[i * _FILL_BATCH:(i + 1) * _FILL_BATCH]
          yield part, batch[spec.IMAGE][:len(part)]

  @contextlib.contextmanager
  def translate_errors(self) -> Iterator[None]:
    """Replaces TensorFlow's error in a block that reads batches.

    Raises:
      errors.DataError: names the file and the record, in place of TensorFlow's
        error.
    """
    try:
      with tensorflow_address.translate_errors(self._records.directory):
        yield
    except (tf.errors.OpError, storage_error.StorageError) as error:
      found = self._payload.error if self._payload is not None else None
      if isinstance(error, storage_error.StorageError):
        raise found or error
      if found is None and _INPUT in str(error):
        found = _translate_system_error(error, self._records.directory)
      streams = self.kind == 'streaming' or self._payload is None
      if found is None and streams and _INPUT in str(error):
        found = shard_issue.find(self._records)
      if found is None and self._how.data_service:
        found = data_service.find_issue(error, self._records.directory)
      if found:
        raise found from error
      raise


def _translate_system_error(error: tf.errors.OpError,
                            directory: str) -> errors.DataError | None:
  """Returns a DataError for a failure of the system; None for other errors."""
  reason = errors.explain_text(str(error))
  return (errors.DataError(f'Cannot read {directory}: {reason}.')
          if reason else None)


def find_payload(records: dataset.Records, how: how_lib.How,
                 kind: str) -> payload_lib.Payload | None:
  """Returns what reads records by index; None where tf.data reads them all.

  Args:
    records: the dataset.
    how: how to read.
    kind: of choose.
  """
  if how.by_tensorflow:
    return None
  if not filesystem.is_remote(records.directory):
    # What is streamed is always checked.
    return shards.Shards(records, 'crc' if kind == 'streaming' else how.check)
  if kind == 'streaming':
    return None
  places, cache = record_places.RecordPlaces(records), None
  if how.cache == 'disk':
    cache = shard_cache.ShardCache(records, places, how.cache_dir,
                                   int(how.cache_gb * 1e9))
  return remote_shards.RemoteShards(places, cache)


def choose(records: dataset.Records, how: how_lib.How) -> str:
  """Returns the reader for the records: 'indexed' or 'streaming'.

  Args:
    records: the dataset.
    how: how to read.

  Opens no file and no socket.

  Raises:
    errors.DataError: options exclude each other, or do not fit the records.
  """
  cached = how.cache != 'none'
  if how.data_service:
    if cached or how.reader == 'indexed':
      raise errors.DataError(
          f'--data_service excludes --reader={how.reader} with '
          f'--cache={how.cache}; leave both out.')
    return 'streaming'
  if how.reader == 'streaming' and cached:
    raise errors.DataError(
        f'--reader=streaming excludes --cache={how.cache}; leave --reader out: '
        'a cache is read by index.')
  if how.cache == 'disk' and not filesystem.is_remote(records.directory):
    raise errors.DataError(
        '--cache=disk keeps records of an address, received the local folder '
        f'{records.directory}; leave --cache out, or --stage_dir.')
  streams = how.by_tensorflow or how.reader == 'streaming'
  return 'streaming' if streams else 'indexed'


def _reserve(records: dataset.Records) -> np.ndarray:
  """Returns memory [N, H, W, C] uint8 for all images, if there is enough."""
  shape = (len(records.index), *records.spec.image_shape)
  check_fits(shape, host.free_memory_bytes(), 'host')
  return np.empty(shape, np.uint8)


def check_fits(shape: tuple[int, ...], free_bytes: int | None,
               cache: str) -> None:
  """Refuses a cache that is larger than the free memory.

  Args:
    shape: of the pixels, one byte each.
    free_bytes: free memory in bytes; None, if unknown, refuses nothing.
    cache: 'host' or 'device'.

  Raises:
    errors.DataError: there is not enough memory.
  """
  wanted = int(np.prod(shape, dtype=np.int64))
  if free_bytes is not None and wanted > free_bytes:
    raise errors.DataError(
        f'Not enough memory for --cache={cache}: {shape[0]:,} images of '
        f'{shape[1]}x{shape[2]}x{shape[3]} take '
        f'{printable.show_bytes(wanted)}, '
        f'{printable.show_bytes(free_bytes)} are free; pass --cache=none, or '
        'convert with a smaller --image_size.')
