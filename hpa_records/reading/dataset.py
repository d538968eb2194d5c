"""A dataset on disk: its manifest and index.

Also defines the keys of a batch for all readers. Pixels are uint8: the device
augments, converts and scales them, so a fourth of the bytes is transferred.
All batches have the same static shape: blanks of weight 0 pad the last one, so
no record is dropped and no function is compiled twice.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd

from hpa_records.datasets import description
from hpa_records.format import manifest as manifest_lib
from hpa_records.format import spec as spec_lib
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling

ROW = 'row'  # of the index, in place of the image
WEIGHT = 'weight'  # of the loss: 1, or 0 for a blank
ELEMENT = 'element'  # of the square's symmetries, 0..7; see dihedral
SLOT = 'slot'  # place in the global batch


@dataclasses.dataclass(frozen=True)
class Records:
  """A dataset on disk, whose manifest, index and shard sizes are valid.

  Attributes:
    directory: of the dataset.
    manifest: its manifest.
    index: one row a record, in file order; see manifest.load_index.
  """
  directory: str
  manifest: manifest_lib.Manifest
  index: pd.DataFrame

  def rows(self, fold: int | None) -> np.ndarray:
    """Returns the index rows of a fold, [n] int64, in file order.

    Args:
      fold: 0..F-1; None for all rows.
    """
    if fold is None:
      return np.arange(len(self.index))
    return np.flatnonzero(self.index['fold'] == fold)

  @functools.cached_property
  def spec(self) -> spec_lib.Spec:
    """The classes and channels of the records."""
    return description.spec_of(self.manifest)

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """[N, K] uint8 multi-hot, one row for each of the index; 0 if unlabelled.
    """
    if not self.manifest.is_labelled:
      return np.zeros([len(self.index), self.spec.num_classes], np.uint8)
    return self.spec.multi_hot(self.index['labels'])

  def repeats(self,
              fold: int,
              balance: balance_lib.Balance | None = None) -> np.ndarray:
    """Returns each record's expected draws with the fold held out, [N] float32.

    Args:
      fold: 0..F-1.
      balance: computes the repeats that the converter would store with it; None
        returns the stored ones.

    Raises:
      errors.DataError: the balance is impossible, or would draw too much.
    """
    if balance is None:
      return np.stack(self.index['repeats'])[:, fold]
    return resampling.repeats_of_fold(list(self.index['id']), self.labels,
                                      self.index['fold'].to_numpy(), fold,
                                      balance, self.manifest.settings['seed'])

  @property
  def has_fold_sums(self) -> bool:
    """Whether the manifest has the pixel sums of each fold."""
    return 'folds' in self.manifest.pixels

  def pixels(self, fold: int) -> dict[str, list[float]]:
    """Returns mean and std of the pixels that are not of a fold.

    Without has_fold_sums they are those of all records, the fold's too.

    Args:
      fold: 0..F-1, the one that is held out; not all records are in it.

    Returns:
      mean and std, C numbers each, 0..255.
    """
    found = self.manifest.pixels
    if self.has_fold_sums:
      held_out = found['folds'][fold]
      found = pixel_codec.statistics(
          found['count'] - held_out['count'],
          *(np.subtract(found[key], held_out[key])
            for key in ('sum', 'sum_of_squares')))
    return {name: found[name] for name in ('mean', 'std')}

  def stored_balance(self) -> balance_lib.Balance:
    """Returns the balance of the stored repeats."""
    return balance_lib.of_settings(self.manifest.settings)

  @functools.cached_property
  def checked_shards(self) -> dict[str, tuple]:
    """File state, by name, of the shards whose frames match the index."""
    return {}

  def ranks(self) -> np.ndarray:
    """Returns the ranks, [N] int64, that epoch_plan.expand rounds along."""
    return label_set.rank(self.labels)


def load(directory: str, allow_unlabelled: bool = False) -> Records:
  """Returns the dataset in a folder, checked without reading the shards.

  Args:
    directory: of the dataset, or its address.
    allow_unlabelled: whether to accept records without labels and folds.

  Raises:
    errors.DataError: the manifest, the index or a shard is missing or was
      changed; or the records are unlabelled, or of another format.
  """
  found = manifest_lib.load(directory)
  if not found.is_labelled and not allow_unlabelled:
    raise errors.DataError(
        f'Expected records with labels, received unlabelled ones at {directory}'
        '; convert a CSV with the column Target, without --unlabelled.')
  tfrecord.check_sizes(directory, found.shard_bytes)
  issues = manifest_check.check(found)
  if not issues:
    index = manifest_lib.load_index(directory, found)
    issues = index_check.check(found, index)
  if issues:
    raise errors.DataError(f'Invalid records at {directory}: '
                           f'{issues[0]}; convert the data again.')
  return Records(directory, found, index)
