"""Settings of a conversion and its plan: the content of each shard.

Cheap to import and to send: worker processes, Beam workers and Slurm jobs get a
Plan, which does not grow with the data, and one Shard at a time. planner makes
them.
"""

import dataclasses
import hashlib
import json
import os

import numpy as np

from hpa_records.format import spec
from hpa_records.images import file_pattern
from hpa_records.images import resize as resize_lib
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib

_FRAME_AND_HEAD_BYTES = 512  # at most, beside the id and the image


@dataclasses.dataclass(frozen=True)
class Settings:
  """The settings that decide the bytes of a dataset, together with the data.

  Attributes are the flags of hpa-make-records with the same names, and
  groups_sha256, the hex digest of the --groups CSV, which convert fills in. For
  an unlabelled set, folds and balance have no effect.

  Raises:
    errors.DataError: a value is out of range.
  """
  image_size: int = 299
  resize: str = resize_lib.DEFAULT_FILTER
  encoding: str = 'raw'
  num_folds: int = 5
  seed: int = 0
  balance: str = 'none'
  balance_target: int = balance_lib.Balance.target
  balance_tolerance: float = balance_lib.Balance.tolerance
  max_repeat: float = balance_lib.Balance.max_repeat
  balance_factors: str = balance_lib.Balance.factors
  shard_mb: int = 128
  limit: int = 0
  pattern: str = '{id}_{channel}.png'
  white_level: int = 0
  unlabelled: bool = False
  fold_column: str = ''
  groups_sha256: str = ''

  def __post_init__(self):
    for name, values in (('resize', resize_lib.RESIZE_FILTERS),
                         ('encoding', spec.ENCODINGS)):
      if getattr(self, name) not in values:
        raise errors.DataError(f'Expected --{name} to be one of {values}, '
                               f'received {getattr(self, name)!r}.')
    for name, least in (('image_size', 1), ('num_folds', 2), ('seed', 0),
                        ('shard_mb', 1), ('limit', 0), ('white_level', 0)):
      if getattr(self, name) < least:
        raise errors.DataError(f'Expected --{name} of at least {least}, '
                               f'received {getattr(self, name)}.')
    # Limits of 16 and 64 bits, and of a manifest.
    for name, most in (('white_level',
                        65535), ('limit', 2**63 - 1), ('seed', spec.MAX_SEED),
                       ('image_size', spec.MAX_IMAGE_SIZE), ('num_folds',
                                                             spec.MAX_FOLDS)):
      if getattr(self, name) > most:
        raise errors.DataError(f'Expected --{name} of at most {most}, '
                               f'received {getattr(self, name)}.')
    for name in ('pattern', 'fold_column', 'balance_factors'):
      if len(getattr(self, name)) > spec.MAX_SETTING:
        raise errors.DataError(
            f'Expected at most {spec.MAX_SETTING:,} characters in --{name}, '
            f'received {len(getattr(self, name)):,}.')
    if self.fold_column and self.unlabelled:
      raise errors.DataError('--fold_column and --unlabelled exclude each '
                             'other: unlabelled records have no folds; leave '
                             'one out.')
    file_pattern.check(self.pattern)
    balance_lib.of_flags(self)

  @property
  def records_per_shard(self) -> int:
    """The maximum: shard_mb MiB of raw pixels, whatever the encoding."""
    return max(1, self.shard_mb * 2**20 // self.raw_bytes)

  @property
  def raw_bytes(self) -> int:
    """Size of one image's pixels in bytes."""
    return self.image_size**2 * spec.NUM_CHANNELS

  @property
  def most_record_bytes(self) -> int:
    """Maximum size of a raw record in bytes, with an id of 64 bytes."""
    repeats = 0 if self.unlabelled else 4 * self.num_folds
    return self.raw_bytes + repeats + _FRAME_AND_HEAD_BYTES


@dataclasses.dataclass(frozen=True)
class Plan:
  """The part of a conversion that all shards share.

  Attributes:
    images: folder of the image files.
    output: folder of the dataset.
    settings: of the dataset.
  """
  images: str
  output: str
  settings: Settings

  def files(self, sample_id: str) -> tuple[str, ...]:
    """Returns a sample's four paths, in spec.CHANNELS order."""
    return tuple(
        os.path.join(
            self.images,
            file_pattern.name(self.settings.pattern, sample_id, channel))
        for channel in spec.CHANNELS)


@dataclasses.dataclass(frozen=True)
class Shard:
  """The samples of one shard, in order.

  Attributes:
    name: of the file.
    fold: of its records; None in an unlabelled set.
    rows: line of each sample in the CSV, for messages.
    ids: id of each sample.
    labels: [N, K] uint8 multi-hot; None in an unlabelled set.
    repeats: [N, F] float32; None in an unlabelled set.
    groups: group of each sample; None without groups.
  """
  name: str
  fold: int | None
  rows: tuple[int, ...]
  ids: tuple[str, ...]
  labels: np.ndarray | None
  repeats: np.ndarray | None
  groups: tuple[str, ...] | None = None

  def sha256(self) -> str:
    """Returns the hex digest of the records' content without the images."""
    digest = hashlib.sha256(
        json.dumps([spec.FORMAT_VERSION, self.name, self.fold,
                    self.ids]).encode())
    for array in (self.labels, self.repeats):
      digest.update(b'' if array is None else array.tobytes())
    return digest.hexdigest()
