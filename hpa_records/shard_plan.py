"""Settings and samples to shards: everything that decides a dataset's bytes.

Order, folds, repeats and cut points are fixed here, before the first pixel is
read; they depend on the samples and the settings alone, not on the order of
the CSV's rows.
"""

import dataclasses

import numpy as np
import pandas as pd

from hpa_records import balance
from hpa_records import folds
from hpa_records import image
from hpa_records import sample_table
from hpa_records import schema
from hpa_records import shard


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides the bytes of a dataset, beside the data.

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
    fold: of its records.
    rows: line of each sample in the CSV, for messages.
    ids: of each sample.
    files: the four paths of each sample, in schema.CHANNELS order.
    labels: [N, K] uint8 multi-hot.
    repeats: [N, F] float32.
    settings: of the dataset.
  """
  directory: str
  name: str
  fold: int
  rows: tuple[int, ...]
  ids: tuple[str, ...]
  files: tuple[tuple[str, ...], ...]
  labels: np.ndarray
  repeats: np.ndarray
  settings: Settings


def plan(table: pd.DataFrame, output: str,
         settings: Settings) -> list[ShardTask]:
  """Returns the shards of a dataset in file order; reads no pixel.

  Args:
    table: as sample_table.load returns it, in any row order.
    output: folder of the dataset.
    settings: what to make.

  Raises:
    schema.DataError: there are fewer samples than folds.
  """
  table = table.iloc[shard.hash_order(list(table['id']), settings.seed)]
  labels = sample_table.multi_hot(table['labels'])
  fold_of = folds.assign(list(table['id']), labels, settings.num_folds,
                         settings.seed)
  repeats = balance.repeats(labels, fold_of, settings.num_folds,
                            settings.balance, settings.balance_target,
                            settings.seed)
  files = list(zip(*(table[channel] for channel in schema.CHANNELS)))
  tasks = []
  for fold in range(settings.num_folds):
    members = np.flatnonzero(fold_of == fold)
    cuts = shard.cut(len(members), settings.records_per_shard)
    for number, (start, stop) in enumerate(cuts):
      chosen = members[start:stop]
      tasks.append(
          ShardTask(directory=output,
                    name=shard.file_name(f'fold{fold}', number, len(cuts)),
                    fold=fold,
                    rows=tuple(table['row'].iloc[chosen]),
                    ids=tuple(table['id'].iloc[chosen]),
                    files=tuple(files[i] for i in chosen),
                    labels=labels[chosen],
                    repeats=repeats[chosen],
                    settings=settings))
  return tasks
