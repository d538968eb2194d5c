"""How a run reads its records: which reader, what is kept, what is checked.

`indexed` follows the epoch plan to the letter, from raw records on local disk
or from memory; `streaming` reads anything from anywhere and shuffles through a
buffer. Both draw each record as often as the plan says.
"""

import contextlib
from typing import Iterable, Iterator

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import data_service
from hpa_records.reading import dataset
from hpa_records.reading import indexed
from hpa_records.reading import shard_issue
from hpa_records.reading import shards
from hpa_records.reading import streaming
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import printable
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import address

_FILL_BATCH = 32  # images, when a cache is filled
_INPUT = 'IteratorGetNext'  # names the input in what TensorFlow raises


class Reader:
  """Reads the records of a run with one fold held out.

  Attributes:
    kind: 'indexed' or 'streaming'.
    holds_pixels: whether all are in memory of the host.
    is_ordered: whether an epoch comes in the same order again.
  """

  def __init__(self, records: dataset.Records, fold: int | None,
               how: dataset.How):
    """Args: dataset; the fold, 0..F-1, or None where nothing is trained; how.
    Fills the cache in host memory.

    Raises:
      errors.DataError: it cannot be read like that, or does not fit.
    """
    self._records, self._fold, self._how = records, fold, how
    self.kind, self.holds_pixels = choose(records, how), how.cache == 'host'
    self.is_ordered = not how.data_service
    self._payload: shards.Payload | None = None
    self._buffers = indexed.Buffers()  # one epoch's are the next one's
    if _is_indexable(records):
      self._payload = shards.Shards(records, how.check)
    if self.holds_pixels:
      pixels = _reserve(records)
      for rows, images in self.images(range(records.manifest.num_folds)):
        pixels[rows] = images
      self._payload = shards.Memory(pixels)

  def training(self,
               epoch: epoch_plan.Epoch,
               key: epoch_plan.Key,
               share: epoch_plan.Share,
               first_step: int = 0) -> tf.data.Dataset:
    """Returns one epoch of batches; opens no file of the held-out fold.

    Args:
      epoch: the copies, in the order of training.
      key: of the epoch.
      share: which part of each batch to make.
      first_step: the step to start at.

    Returns:
      Batches as indexed.batches gives them; with the cache 'device' they have
      rows in place of the image.

    Raises:
      errors.DataError: a data service cannot start inside an epoch; or as
        data_service.training_batches raises.
    """
    if self._how.data_service:
      if first_step:
        raise errors.DataError(
            'Expected the start of an epoch with --data_service, received its '
            f'step {first_step}: input workers send samples in no fixed order, '
            'so an epoch cannot be continued. Leave --data_service out until '
            'that epoch is over.')
      return data_service.training_batches(self._records, self._fold, epoch,
                                           key, share, self._how.shuffle_mb,
                                           self._how.data_service)
    if self.kind == 'streaming':
      return streaming.training_batches(self._records, self._fold, epoch, key,
                                        share, self._how.shuffle_mb, first_step)
    payload = None if self._how.cache == 'device' else self._payload
    return self._batch(payload, epoch, share, first_step)

  def evaluation(self, fold: int | None,
                 share: epoch_plan.Share) -> tf.data.Dataset:
    """Returns every record of a fold, or of all, exactly once, in index order.

    Returns:
      Batches as indexed.batches gives them, with images and element 0.
    """
    if self._payload is None:
      return streaming.evaluation_batches(self._records, fold, share)
    once = epoch_plan.once(self._records.rows(fold))
    return self._batch(self._payload, once, share, 0)

  def check_unchanged(self) -> None:
    """Checks that what was streamed comes from the shards that were checked.

    What is read by index is checked as it is read.

    Raises:
      errors.DataError: a shard was changed or removed meanwhile.
    """
    shard_issue.check_unchanged(self._records)

  def _batch(self, payload: shards.Payload | None, epoch: epoch_plan.Epoch,
             share: epoch_plan.Share, first_step: int) -> tf.data.Dataset:
    return indexed.batches(self._records.labels,
                           self._records.manifest.image_size, payload, epoch,
                           share, first_step, self._buffers)

  def images(self,
             folds: Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all images of some folds, once, a batch at a time.

    Yields:
      Rows of the index [n] int64, and their pixels [n, H, W, C] uint8, which
      are not to be kept.
    """
    share = epoch_plan.Share(_FILL_BATCH)
    for fold in folds:
      rows = self._records.rows(fold)
      with self.told_errors():
        for i, batch in enumerate(
            self.evaluation(fold, share).as_numpy_iterator()):
          part = rows[i * _FILL_BATCH:(i + 1) * _FILL_BATCH]
          yield part, batch[spec.IMAGE][:len(part)]

  @contextlib.contextmanager
  def told_errors(self) -> Iterator[None]:
    """Tells what went wrong with the records while a block took batches.

    Raises:
      errors.DataError: in place of TensorFlow's error; names file and record.
    """
    try:
      with address.told_errors(self._records.directory, naming=_INPUT):
        yield
    except tf.errors.OpError as error:
      issue = getattr(self._payload, 'error', None)
      if issue is None and _INPUT in str(error):
        issue = _tell_system_error(error, self._records.directory)
      streams = self.kind == 'streaming' or self._payload is None
      if issue is None and streams and _INPUT in str(error):
        issue = shard_issue.find(self._records)
      if issue is None and self._how.data_service:
        issue = data_service.find_issue(error, self._records.directory)
      if issue:
        raise issue from error
      raise


def _tell_system_error(error: tf.errors.OpError,
                       directory: str) -> errors.DataError | None:
  """Returns the error to raise for a failure of the system, not the data."""
  told = errors.explain_text(str(error))
  return errors.DataError(f'Cannot read {directory}: {told}.') if told else None


def _is_indexable(records: dataset.Records) -> bool:
  """Whether payloads can be read where they lie: raw, and local."""
  return (records.manifest.settings['encoding'] == 'raw' and
          not address.is_address(records.directory))


def choose(records: dataset.Records, how: dataset.How) -> str:
  """Returns which reader reads records like that: 'indexed' or 'streaming'.

  Raises:
    errors.DataError: settings that do not go together, or with the records.
  """
  cached = how.cache != 'none'
  if how.data_service:
    if cached or how.reader == 'indexed':
      raise errors.DataError(
          'Expected --data_service to be alone, received it with '
          f'--reader={how.reader} and --cache={how.cache}; leave them out.')
    data_service.check_address(how.data_service)
    return 'streaming'
  if how.reader == 'streaming' and cached:
    raise errors.DataError(
        f'Expected --cache=none with --reader=streaming, received {how.cache}; '
        'leave --reader out: what is cached is read by index.')
  possible = cached or _is_indexable(records)
  if how.reader == 'indexed' and not possible:
    raise errors.DataError(
        'Expected raw records on local disk for --reader=indexed, received '
        f'{records.manifest.settings["encoding"]} ones at {records.directory}; '
        'pass --cache=host, or --stage_dir=DIR for an address, or '
        '--reader=streaming.')
  return 'indexed' if possible and how.reader != 'streaming' else 'streaming'


def _reserve(records: dataset.Records) -> np.ndarray:
  """Memory [N, H, W, C] uint8 for all images, if there is as much."""
  size = records.manifest.image_size
  shape = (len(records.index), size, size, spec.NUM_CHANNELS)
  check_fits(shape, host.free_memory_bytes(), 'host')
  return np.empty(shape, np.uint8)


def check_fits(shape: tuple[int, ...], free_bytes: int | None,
               cache: str) -> None:
  """Refuses a cache that is larger than the memory that is left.

  Args:
    shape: of the pixels, one byte each.
    free_bytes: of the memory; None if unknown, which refuses nothing.
    cache: 'host' or 'device'.

  Raises:
    errors.DataError: with the figures.
  """
  wanted = int(np.prod(shape, dtype=np.int64))
  if free_bytes is not None and wanted > free_bytes:
    raise errors.DataError(
        f'Not enough memory for --cache={cache}: {shape[0]:,} images of '
        f'{shape[1]}x{shape[2]}x{shape[3]} take '
        f'{printable.show_bytes(wanted)}, '
        f'{printable.show_bytes(free_bytes)} are free; pass --cache=none, or '
        'convert with a smaller --image_size.')
