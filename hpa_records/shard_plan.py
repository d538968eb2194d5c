"""Settings and samples to shards: everything that decides a dataset's bytes.

Order, folds, repeats and cut points are fixed here, before the first pixel is
read; they depend on the samples and the settings alone, not on the order of
the CSV's rows.
"""

import dataclasses

import numpy as np
import pandas as pd

from hpa_records import balance
from hpa_records import file_pattern
from hpa_records import folds
from hpa_records import image
from hpa_records import sample_table
from hpa_records import schema
from hpa_records import shard


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides the bytes of a dataset, beside the data.

  Of an unlabelled set the folds and the balance decide nothing.

  Raises:
    schema.DataError: a value is out of range.
  """
  image_size: int = 299
  resize: str = 'area'
  encoding: str = 'raw'
  num_folds: int = 5
  seed: int = 0
  balance: str = 'none'
  balance_target: int = 500
  shard_mb: int = 128
  limit: int = 0
  pattern: str = '{id}_{channel}.png'
  white_level: int = 0
  unlabelled: bool = False

  def __post_init__(self):
    for name, values in (('resize', image.RESIZE_FILTERS),
                         ('encoding', schema.ENCODINGS), ('balance',
                                                          balance.POLICIES)):
      if getattr(self, name) not in values:
        raise schema.DataError(f'Expected --{name} to be one of {values}, '
                               f'received {getattr(self, name)!r}.')
    for name, least in (('image_size', 1), ('num_folds', 2), ('seed', 0),
                        ('balance_target',
                         1), ('shard_mb', 1), ('limit', 0), ('white_level', 0)):
      if getattr(self, name) < least:
        raise schema.DataError(f'Expected --{name} of at least {least}, '
                               f'received {getattr(self, name)}.')
    if self.white_level > 65535:
      raise schema.DataError(
          'Expected --white_level of at most 65535, the '
          f'largest of 16 bits, received {self.white_level}.')
    file_pattern.check(self.pattern)

  @property
  def records_per_shard(self) -> int:
    """At most this many: shard_mb of raw pixels, whatever the encoding."""
    record_bytes = self.image_size**2 * schema.NUM_CHANNELS
    return max(1, self.shard_mb * 2**20 // record_bytes)


@dataclasses.dataclass(frozen=True)
class ShardTask:
  """All that one shard is made from.

  Attributes:
    directory: of the dataset.
    name: of the shard's file.
    fold: of its records; None in an unlabelled set.
    rows: line of each sample in the CSV, for messages.
    ids: of each sample.
    files: the four paths of each sample, in schema.CHANNELS order.
    labels: [N, K] uint8 multi-hot; None in an unlabelled set.
    repeats: [N, F] float32; None in an unlabelled set.
    settings: of the dataset.
  """
  directory: str
  name: str
  fold: int | None
  rows: tuple[int, ...]
  ids: tuple[str, ...]
  files: tuple[tuple[str, ...], ...]
  labels: np.ndarray | None
  repeats: np.ndarray | None
  settings: Settings


def plan(table: pd.DataFrame, output: str,
         settings: Settings) -> list[ShardTask]:
  """Returns the shards of a dataset in file order; reads no pixel.

  Args:
    table: as sample_table.load returns it, in any row order.
    output: folder of the dataset.
    settings: what to make.

  Raises:
    schema.DataError: there are fewer samples than folds; of an unlabelled set,
      none.
  """
  table = table.iloc[shard.hash_order(list(table['id']), settings.seed)]
  if settings.unlabelled:
    if table.empty:
      raise schema.DataError('Expected at least one sound sample, received '
                             'none.')
    return _cut(table, output, settings, None, None, None)
  labels = sample_table.multi_hot(table['labels'])
  fold_of = folds.assign(list(table['id']), labels, settings.num_folds,
                         settings.seed)
  repeats = balance.repeats(labels, fold_of, settings.num_folds,
                            settings.balance, settings.balance_target,
                            settings.seed)
  tasks = []
  for fold in range(settings.num_folds):
    members = np.flatnonzero(fold_of == fold)
    tasks += _cut(table.iloc[members], output, settings, fold, labels[members],
                  repeats[members])
  return tasks


def _cut(table: pd.DataFrame, output: str, settings: Settings, fold: int | None,
         labels: np.ndarray | None,
         repeats: np.ndarray | None) -> list[ShardTask]:
  """Returns the shards of one fold, or of an unlabelled set."""
  group = schema.UNLABELLED_GROUP if fold is None else f'fold{fold}'
  files = list(zip(*(table[channel] for channel in schema.CHANNELS)))
  cuts = shard.cut(len(table), settings.records_per_shard)
  return [
      ShardTask(directory=output,
                name=shard.file_name(group, number, len(cuts)),
                fold=fold,
                rows=tuple(table['row'].iloc[start:stop]),
                ids=tuple(table['id'].iloc[start:stop]),
                files=tuple(files[start:stop]),
                labels=None if labels is None else labels[start:stop],
                repeats=None if repeats is None else repeats[start:stop],
                settings=settings) for number, (start, stop) in enumerate(cuts)
  ]
