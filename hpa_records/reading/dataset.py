"""A dataset on disk: its manifest, its index, and what a run takes from them.

Also the names of what a batch holds, whichever reader makes it: uint8 pixels
(conversion to float, scaling and the transform happen on the device, where a
byte a pixel has travelled instead of four) and what belongs to them. Every
batch has the same static shape; the last is filled up with blanks of weight 0,
so nothing is dropped and nothing is compiled twice.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd

from hpa_records.format import manifest as manifest_lib
from hpa_records.format import spec
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling

ROW = 'row'  # of the index, in place of the image
WEIGHT = 'weight'
ELEMENT = 'element'
SLOT = 'slot'

READERS = ('auto', 'indexed', 'streaming')
CACHES = ('none', 'host', 'device')
CHECKS = ('none', 'crc')


@dataclasses.dataclass(frozen=True)
class How:
  """How records are read.

  Attributes:
    reader: one of READERS; 'auto' is indexed where that is possible.
    cache: one of CACHES; 'host' reads all pixels once and keeps them in memory,
      'device' leaves them to the caller, who gets rows.
    check: one of CHECKS; 'crc' recomputes the checksum of each record that is
      read. The streaming reader always does.
    shuffle_mb: shuffle buffer of the streaming reader, MiB of stored images.
    data_service: address of a tf.data service, grpc://host:port, that reads for
      the streaming reader; '' reads here.
  """
  reader: str = 'auto'
  cache: str = 'none'
  check: str = 'none'
  shuffle_mb: int = 512
  data_service: str = ''


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

  def rows(self, fold: int | None) -> np.ndarray:
    """Returns the index rows [n] int64 of one fold, or of all, in file order.
    """
    if fold is None:
      return np.arange(len(self.index))
    return np.flatnonzero(self.index['fold'] == fold)

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """[N, K] uint8 multi-hot, one row for each of the index; of an unlabelled
    set all 0."""
    if not self.manifest.is_labelled:
      return np.zeros([len(self.index), spec.NUM_CLASSES], np.uint8)
    return spec.multi_hot(self.index['labels'])

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
    return resampling.repeats_of_fold(list(self.index['id']), self.labels,
                                      self.index['fold'].to_numpy(), fold,
                                      balance, self.manifest.settings['seed'])

  def stored_balance(self) -> balance_lib.Balance:
    """Returns the balance that made the stored repeats."""
    return balance_lib.of_settings(self.manifest.settings)

  @functools.cached_property
  def checked_shards(self) -> dict[str, tuple]:
    """Shards whose frames were found to be what the index says: by name, what
    their file system said of them then."""
    return {}

  def ranks(self) -> np.ndarray:
    """Returns the ranks [N] int64 that epoch_plan.expand rounds along."""
    return label_set.rank(self.labels)


def load(directory: str, allow_unlabelled: bool = False) -> Records:
  """Returns the dataset in a folder, checked without reading the shards.

  Args:
    directory: of the dataset.
    allow_unlabelled: takes one without labels and folds, too.

  Raises:
    errors.DataError: the manifest, the index or a shard is missing or not
      what it was; the records have no labels, or are of another format,
      size or list of classes than they should be.
  """
  found = manifest_lib.load(directory)
  if not found.is_labelled and not allow_unlabelled:
    raise errors.DataError(
        f'Expected records with labels, received unlabelled ones at {directory}'
        '; convert a CSV with the column Target, without --unlabelled.')
  manifest_lib.check_shards(directory, found)
  issues = manifest_check.check(found)
  if not issues:
    index = manifest_lib.load_index(directory, found)
    issues = index_check.check(found, index)
  if issues:
    raise errors.DataError(f'Invalid records at {directory}: '
                           f'{issues[0]}; convert the data again.')
  return Records(directory, found, index)
