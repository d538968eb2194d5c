"""A dataset as a sequence of samples, for loops that are not this project's.

It has what PyTorch's DataLoader, Grain and JAX expect of a data source: a
length, access by index, copies by pickle, and safety in threads and after a
fork. TensorFlow is not needed.
"""

from concurrent import futures
import dataclasses
import functools
import multiprocessing
import os
from typing import Any, Iterable

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.reading.payload import buffers as buffers_lib
from hpa_records.reading.payload import payload as payload_lib
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import remote_shards
from hpa_records.reading.payload import shards
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.storage import driver

_LEAST_BYTES = 2**20  # of a part of a batch, which another thread reads
# Columns of the index that say where a record is.
_PLACES = ('id', 'shard', 'record_offset', 'record_bytes', 'image_offset',
           'image_bytes')
_FREE_BATCHES = 4  # that are kept to be filled again


class Storage:
  """What a source and its splits share.

  Each process opens the shards anew, so neither a fork nor a copy by pickle
  shares locks, threads or connections with another process.

  Attributes:
    records: the dataset, without the columns of a sample.
    buffers: memory of the batches.
  """

  def __init__(self, records: dataset.Records, check: str):
    """Prepares to read; files are opened when a record of them is read.

    Args:
      records: the dataset.
      check: as of hpa_records.open.
    """
    self.records = dataclasses.replace(records,
                                       index=records.index[list(_PLACES)])
    self.buffers = buffers_lib.Buffers(_FREE_BATCHES)
    self._check = check
    self._payloads: dict[int, payload_lib.Payload] = {}  # by process

  def __reduce__(self):
    return Storage, (self.records, self._check)

  @property
  def payload(self) -> payload_lib.Payload:
    """The payload of this process, which reads the pixels."""
    process = os.getpid()
    if process not in self._payloads:
      # No lock: a child that is forked meanwhile would have it for ever.
      self._payloads.setdefault(process, self._open())
    return self._payloads[process]

  def _open(self) -> payload_lib.Payload:
    if driver.is_address(self.records.directory):
      return remote_shards.RemoteShards(record_places.RecordPlaces(
          self.records))
    return shards.Shards(self.records, self._check)


class Source:
  """Random access to the records of a dataset, or to a part of them.

  Attributes:
    spec: names of classes and channels, image size.
    ids: [n] str.
    labels: [n, K] uint8 multi-hot; None if the records are unlabelled.
    folds: [n] int64, 0..F-1; None if the records are unlabelled.
    repeats: [n, F] float32, expected draws of each record in one epoch with
      fold k held out, 0 in its own fold; None if the records are unlabelled.
  """

  def __init__(self, storage: Storage, rows: np.ndarray, tables: dict[str, Any],
               part: str):
    """Makes a source; call open or split.

    Args:
      storage: of the dataset.
      rows: [n] int64, rows of the dataset's index.
      tables: values of the records, [n, ...], in the order of a sample.
      part: which records these are, for people.
    """
    self.spec = storage.records.spec
    self.ids = tables[spec_lib.ID]
    self.labels = tables.get(spec_lib.LABELS)
    self.folds = tables.get(spec_lib.FOLD)
    self.repeats = tables.get(spec_lib.REPEATS)
    self._storage, self._rows, self._tables = storage, rows, tables
    self._part = part

  def __len__(self) -> int:
    """Returns the number of records, n."""
    return len(self._rows)

  def __repr__(self) -> str:
    """Returns a text that is equal for equal parts of one dataset."""
    return (f'<hpa_records source: {len(self):,} records of '
            f'{self._storage.records.directory}{self._part}>')

  def __getitem__(self, index: Any) -> dict[str, Any]:
    """Returns a sample, or a batch.

    Args:
      index: an integer gives a sample, -n..n-1. A list or array of integers, a
        slice or a mask, [n] bool, gives a batch of b.

    Returns:
      Of a sample: image [H, W, C] uint8, id str, labels [K] uint8 multi-hot,
      fold int, repeats [F] float32. Of a batch the same keys, with arrays of
      shape [b, ...]. Unlabelled records have image and id alone. The arrays are
      the caller's.

    Raises:
      IndexError: there is no such record.
      errors.DataError: a record cannot be read; names file and record.
    """
    rows = self._rows[index]
    if rows.ndim > 1:
      raise IndexError('Expected an integer, or integers in one dimension, '
                       f'received {rows.ndim} dimensions.')
    image = self._read(np.atleast_1d(rows))
    if rows.ndim:
      found = {spec_lib.IMAGE: image}
      for name, table in self._tables.items():
        found[name] = np.array(table[index])
      return found
    return self._sample(image[0], index)

  def __getitems__(self, indices: Iterable[int]) -> list[dict[str, Any]]:
    """Returns the samples of indices, [b] int, as PyTorch's loader asks.

    The images are read together, and are parts of one array [b, H, W, C].

    Raises:
      IndexError: there is no such record.
      errors.DataError: a record cannot be read; names file and record.
    """
    images = self._read(self._rows[list(indices)])
    return [self._sample(*each) for each in zip(images, indices)]

  def split(self, fold: int) -> tuple['Source', 'Source']:
    """Returns the records for training, and those of the held-out fold.

    A record's draws in an epoch are repeats[:, fold] of the first.

    Args:
      fold: 0..F-1.

    Raises:
      errors.DataError: there is no such fold, or the records are unlabelled.
    """
    if self.folds is None:
      raise errors.DataError(
          f'Expected records with folds, received unlabelled ones at '
          f'{self._storage.records.directory}; convert a CSV with labels.')
    num_folds = self.repeats.shape[1]
    if fold not in range(num_folds):
      raise errors.DataError(f'Expected a fold of 0..{num_folds - 1}, received '
                             f'{fold}.')
    is_held_out = self.folds == fold
    return (self._select(~is_held_out, f', without fold {fold}'),
            self._select(is_held_out, f', fold {fold}'))

  def check_unchanged(self) -> None:
    """Checks that the shards of an address have not changed since their first
    record was read in this process; shards on disk are checked by each read.

    Raises:
      errors.DataError: one was changed or removed.
    """
    self._storage.payload.check_unchanged()

  def _select(self, mask: np.ndarray, part: str) -> 'Source':
    tables = {name: table[mask] for name, table in self._tables.items()}
    return Source(self._storage, self._rows[mask], tables, self._part + part)

  def _sample(self, image: np.ndarray, index: int) -> dict[str, Any]:
    found = {spec_lib.IMAGE: image}
    for name, table in self._tables.items():
      value = table[index]
      # Arrays are copied, so that the caller may write to them.
      found[name] = value.copy() if table.ndim > 1 else table.item(index)
    return found

  def _read(self, rows: np.ndarray) -> np.ndarray:
    """Returns the pixels of rows [b], [b, H, W, C] uint8."""
    shape = (len(rows), *self.spec.image_shape)
    num_bytes = len(rows) * self.spec.raw_bytes
    count = min(_num_threads(os.getpid()), len(rows), num_bytes // _LEAST_BYTES)
    read = self._storage.payload.read
    out = (self._storage.buffers.take(shape)
           if num_bytes >= _LEAST_BYTES else np.empty(shape, np.uint8))
    if count < 2:
      if len(rows):
        read(rows, out)
      return out
    ends = np.linspace(0, len(rows), count + 1).astype(int).tolist()
    parts = [slice(*each) for each in zip(ends, ends[1:])]
    pool = _threads(os.getpid())
    others = [pool.submit(read, rows[part], out[part]) for part in parts[1:]]
    read(rows[parts[0]], out[parts[0]])
    for each in others:
      each.result()
    return out


@functools.cache
def _num_threads(process: int) -> int:
  """Returns how many threads read a batch: a worker process is one of many."""
  del process
  return 1 if multiprocessing.parent_process() else host.num_cores()


@functools.cache
def _threads(process: int) -> futures.ThreadPoolExecutor:
  """Returns the threads of a process; none survive a fork."""
  return futures.ThreadPoolExecutor(_num_threads(process))


def open_source(address: str | os.PathLike, check: str = 'none') -> Source:
  """Returns a dataset's records, as hpa_records.open describes."""
  records = dataset.load(os.fspath(address), allow_unlabelled=True)
  index = records.index
  tables = {spec_lib.ID: index['id'].to_numpy(object)}
  if records.manifest.is_labelled:
    tables |= {
        spec_lib.LABELS:
            records.labels,
        spec_lib.FOLD:
            index['fold'].to_numpy(np.int64),
        spec_lib.REPEATS:
            np.stack(index['repeats']).astype(np.float32, copy=False),
    }
  storage = Storage(records, check)
  return Source(storage, np.arange(len(index)), tables, '')
