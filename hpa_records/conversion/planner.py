"""Assigns samples to folds and shards.

Order, folds, repeats and cut points depend on the samples and the settings
only, not on the order of the CSV's rows. No pixel is read.
"""

import numpy as np
import pandas as pd

from hpa_records.conversion import shard_plan
from hpa_records.format import ordering
from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import folds
from hpa_records.sampling import resampling


def lay_out(table: pd.DataFrame,
            settings: shard_plan.Settings) -> list[shard_plan.Shard]:
  """Returns the shards of a dataset in file order.

  Args:
    table: as sample_table.load returns it, in any row order.
    settings: of the dataset.

  Raises:
    errors.DataError: there are fewer samples or groups than folds, or more
      repeats than an index may have; a fold of the settings' fold_column is
      empty; an unlabelled set has no samples.
  """
  table = table.iloc[ordering.hash_order(list(table['id']), settings.seed)]
  if settings.unlabelled:
    if table.empty:
      raise errors.DataError('No valid samples are left to convert.')
    return [
        _make(table.iloc[chosen], settings, name, None, None,
              None) for name, chosen in _cut(spec.UNLABELLED_GROUP,
                                             np.arange(len(table)), settings)
    ]
  if len(table) * settings.num_folds > spec.MAX_REPEATS:
    raise errors.DataError(
        f'{len(table):,} samples in {settings.num_folds:,} folds have more '
        f'than {spec.MAX_REPEATS:,} repeats; lower --num_folds.')
  num_classes = settings.spec.num_classes
  if settings.num_folds * num_classes > spec.MAX_COUNTS:
    raise errors.DataError(
        f'{settings.num_folds:,} folds of {num_classes:,} classes are more than'
        f' {spec.MAX_COUNTS:,} counts; lower --num_folds.')
  labels = settings.spec.multi_hot(table['labels'])
  fold_of = _find_folds(table, labels, settings)
  repeats = resampling.repeats(list(table['id']), labels,
                               fold_of, settings.num_folds,
                               balance.of_flags(settings), settings.seed)
  return [
      _make(table.iloc[chosen], settings, name, fold, labels[chosen],
            repeats[chosen])
      for fold in range(settings.num_folds)
      for name, chosen in _cut(f'fold{fold}', np.flatnonzero(
          fold_of == fold), settings)
  ]


def _make(table: pd.DataFrame, settings: shard_plan.Settings, name: str,
          fold: int | None, labels: np.ndarray | None,
          repeats: np.ndarray | None) -> shard_plan.Shard:
  """Returns the shard of some rows of a table."""

  def pick(column: str, is_used: bool) -> tuple | None:
    return tuple(table[column].tolist()) if is_used else None

  return shard_plan.Shard(
      name, fold, tuple(table['row'].tolist()), tuple(table['id'].tolist()),
      tuple(table['files'].tolist()), labels, repeats,
      pick('group', labels is not None and bool(table['group'].any())),
      pick('metadata', bool(settings.description.table.metadata)),
      pick('pixel_um', bool(settings.pixel_um)),
      pick('plate', settings.description.needs_plates))


def _find_folds(table: pd.DataFrame, labels: np.ndarray,
                settings: shard_plan.Settings) -> np.ndarray:
  """Returns the fold of each row, [N] int64: from the table, or assigned."""
  if not settings.fold_column:
    groups = list(table['group']) if table['group'].any() else None
    return folds.assign(list(table['id']), labels, settings.num_folds,
                        settings.seed, groups)
  fold_of = table['fold'].to_numpy(np.int64)
  empty = np.setdiff1d(np.arange(settings.num_folds), fold_of)
  if empty.size:
    raise errors.DataError(
        f'No samples in fold {empty[0]} of the column {settings.fold_column}, '
        f'with --num_folds={settings.num_folds}; pass the number of folds that '
        'the column has.')
  return fold_of


def _cut(group: str, members: np.ndarray,
         settings: shard_plan.Settings) -> list[tuple[str, np.ndarray]]:
  """Returns (file name, its members [n]) of every shard of a group."""
  cuts = tfrecord.cut(len(members), settings.records_per_shard)
  return [(tfrecord.file_name(group, number, len(cuts)), members[start:stop])
          for number, (start, stop) in enumerate(cuts)]
