"""Settings of a conversion and its plan: the content of each shard.

Cheap to import and to send: worker processes, Beam workers and Slurm jobs get a
Plan, which does not grow with the data, and one Shard at a time. planner makes
them.
"""

import dataclasses
import functools
import hashlib
import json
import os
from typing import Any, Iterable

import numpy as np

from hpa_records.datasets import description as description_lib
from hpa_records.datasets import layout
from hpa_records.datasets import toml_form
from hpa_records.format import example
from hpa_records.format import spec as spec_lib
from hpa_records.images import crop
from hpa_records.images import how as how_lib
from hpa_records.images import pixel_codec
from hpa_records.images import resize as resize_lib
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib

_FRAME_AND_HEAD_BYTES = 512  # at most, beside the id, labels and image


@dataclasses.dataclass(frozen=True)
class Settings:
  """The settings that decide the bytes of a dataset, together with the data.

  Attributes are the flags of hpa-make-records with the same names, and three
  others. For an unlabelled set, folds and balance have no effect.

  pattern, white_level and fold_column are those of the description if they are
  not given, and replace them if they are.

  Attributes:
    groups_sha256: hex digest of the --groups CSV, which convert fills in.
    description: of the dataset.
    classes: names in place of the description's, which convert fills in if it
      has none.

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
  balance_percent: int = balance_lib.Balance.percent
  shard_mb: int = 128
  limit: int = 0
  pattern: str = ''
  white_level: int = 0
  unlabelled: bool = False
  fold_column: str = ''
  groups_sha256: str = ''
  pixel_um: float = 0.0
  description: layout.Description = dataclasses.field(
      default_factory=description_lib.default)
  classes: tuple[str, ...] = ()

  def __post_init__(self):
    self._take_description()
    for name, values in (('resize', resize_lib.RESIZE_FILTERS),
                         ('encoding', spec_lib.ENCODINGS)):
      if getattr(self, name) not in values:
        raise errors.DataError(f'Expected --{name} to be one of {values}, '
                               f'received {getattr(self, name)!r}.')
    for name, least in (('image_size', 1), ('num_folds', 2), ('seed', 0),
                        ('shard_mb', 1), ('limit', 0), ('white_level', 0)):
      if getattr(self, name) < least:
        raise errors.DataError(f'Expected --{name} of at least {least}, '
                               f'received {getattr(self, name)}.')
    # Limits of 16 and 64 bits, and of a manifest.
    for name, most in (('white_level', 65535), ('limit', 2**63 - 1),
                       ('seed', spec_lib.MAX_SEED), ('image_size',
                                                     spec_lib.MAX_IMAGE_SIZE),
                       ('num_folds', spec_lib.MAX_FOLDS)):
      if getattr(self, name) > most:
        raise errors.DataError(f'Expected --{name} of at most {most}, '
                               f'received {getattr(self, name)}.')
    for name in ('pattern', 'fold_column', 'balance_factors'):
      if len(getattr(self, name)) > spec_lib.MAX_SETTING:
        raise errors.DataError(
            f'Expected at most {spec_lib.MAX_SETTING:,} characters in '
            f'--{name}, received {len(getattr(self, name)):,}.')
    if not 0 <= self.pixel_um < crop.MAX_UM:
      raise errors.DataError('Expected --pixel_um above 0, or 0 for none, '
                             f'received {self.pixel_um}.')
    if self.pixel_um and not self.description.images.pixel_um:
      raise errors.DataError(
          '--pixel_um needs the size of a pixel of the images; pass '
          '--set=images.pixel_um=N, or the name of its column.')
    num_channels = len(self.description.channels)
    if self.encoding not in pixel_codec.encodings(num_channels):
      raise errors.DataError(f'--encoding={self.encoding} cannot store '
                             f'{num_channels} channels; pass --encoding=raw.')
    balance_lib.of_flags(self)

  def _take_description(self) -> None:
    """Fills in what is not given, and replaces what is."""
    if self.fold_column and self.unlabelled:
      raise errors.DataError('--fold_column and --unlabelled exclude each '
                             'other: unlabelled records have no folds; leave '
                             'one out.')
    found = description_lib.change(self.description, self.pattern,
                                   self.white_level, self.fold_column)
    object.__setattr__(self, 'description', found)
    white_level = found.intensity.white_level
    if any(each.white_level for each in found.channels):
      white_level = 0  # dataclasses.replace must not apply it to all channels
    for name, value in (('pattern', found.images.pattern),
                        ('fold_column',
                         '' if self.unlabelled else found.table.fold),
                        ('white_level', white_level)):
      object.__setattr__(self, name, value)

  @functools.cached_property
  def how(self) -> how_lib.How:
    """How the files of a sample become one image, but for its own levels."""
    return self.description.how(self.image_size, self.resize, self.pixel_um)

  @property
  def spec(self) -> spec_lib.Spec:
    """The spec of the dataset, once its classes are known."""
    return self.description.spec(self.image_size, self.encoding, self.classes)

  def encode(self) -> dict[str, Any]:
    """Returns the settings as JSON types, for the manifest.

    Those of Kaggle's dataset are those of earlier versions, without the keys
    that were added for others.
    """
    content = {
        field.name: getattr(self, field.name)
        for field in dataclasses.fields(self)
        if field.name not in ('description', 'classes')
    }
    if not self.pixel_um:
      del content['pixel_um']
    if self.balance not in balance_lib.CLONING:
      del content['balance_percent']
    if not description_lib.is_default(self.description):
      content['description'] = toml_form.encode(self.description)
      content['classes_sha256'] = self._classes_sha256()
    return content

  def _classes_sha256(self) -> str:
    """Returns the digest of the names and aliases, which encode leaves out."""
    classes = [
        (each.name, sorted(each.aliases)) for each in self.description.classes
    ]
    return hashlib.sha256(json.dumps(classes).encode()).hexdigest()

  @property
  def records_per_shard(self) -> int:
    """The maximum: shard_mb MiB of raw pixels, whatever the encoding."""
    return max(1, self.shard_mb * 2**20 // self.raw_bytes)

  @property
  def raw_bytes(self) -> int:
    """Size of one image's pixels in bytes."""
    return self.image_size**2 * len(self.description.channels)

  @property
  def most_record_bytes(self) -> int:
    """Maximum size of a raw record in bytes, with an id of 64 bytes."""
    num_classes = len(self.classes or self.description.classes)
    labels = 0 if self.unlabelled else num_classes + 4 * self.num_folds
    return self.raw_bytes + labels + _FRAME_AND_HEAD_BYTES


@dataclasses.dataclass(frozen=True)
class Plan:
  """The part of a conversion that all shards share.

  Attributes:
    images: folder of the image files.
    output: folder of the dataset.
    settings: of the dataset.
    levels: as of manifest.Manifest.
  """
  images: str
  output: str
  settings: Settings
  levels: dict[str, list[list[float]]] | None = None

  def paths(self, files: Iterable[str]) -> tuple[str, ...]:
    """Returns the paths of files in the folder of images."""
    return tuple(os.path.join(self.images, name) for name in files)


@dataclasses.dataclass(frozen=True)
class Shard:
  """The samples of one shard, in order.

  Attributes:
    name: of the file.
    fold: of its records; None in an unlabelled set.
    rows: line of each sample in the CSV, for messages.
    ids: id of each sample.
    files: names of each sample's files in the folder of images.
    labels: [N, K] uint8 multi-hot; None in an unlabelled set.
    repeats: [N, F] float32; None in an unlabelled set.
    groups: group of each sample; None without groups.
    metadata: values of each sample's columns to copy; None without them.
    pixel_um: size of each sample's pixels; None if it is not used.
    plates: plate of each sample; None if it is not used.
  """
  name: str
  fold: int | None
  rows: tuple[int, ...]
  ids: tuple[str, ...]
  files: tuple[tuple[str, ...], ...]
  labels: np.ndarray | None
  repeats: np.ndarray | None
  groups: tuple[str, ...] | None = None
  metadata: tuple[tuple[str, ...], ...] | None = None
  pixel_um: tuple[float, ...] | None = None
  plates: tuple[str, ...] | None = None

  def sha256(self) -> str:
    """Returns the hex digest of the records' content without the images."""
    digest = hashlib.sha256(
        json.dumps([
            spec_lib.FORMAT_VERSION, self.name, self.fold, self.ids, self.files,
            self.pixel_um, self.plates
        ]).encode())
    for array in (self.labels, self.repeats):
      digest.update(b'' if array is None else array.tobytes())
    return digest.hexdigest()

  def encode_head(self, i: int, payload: np.ndarray) -> bytes:
    """Returns the bytes of sample i's record before its payload [n] uint8."""
    return example.encode_head(
        example.Sample(self.ids[i], payload, self.fold,
                       None if self.labels is None else self.labels[i],
                       None if self.repeats is None else self.repeats[i]))
