"""The record format on one page: the spec of a dataset, keys, types, version.

Letters in all docstrings: B examples of a batch, N examples of a dataset,
H and W pixels, C channels, K classes, F folds. C and K are the numbers of
channels and classes of a dataset's Spec.

A dataset is a folder of TFRecord shards of tf.train.Example, index.parquet
with one row a record, and manifest.json, written last. Each record has

  id       bytes       the sample's Id in the CSV
  fold     int64       the fold that holds the sample, 0..F-1
  labels   int64[K]    multi-hot
  repeats  float32[F]  repeats[k]: expected draws of the record in one training
                       epoch when fold k is held out; 0 where k is its own fold
  image    bytes       raw (H*W*C bytes, row-major, in the spec's order of
                       channels) or png (one lossless PNG of 1, 3 or 4 channels)

Records of an unlabelled set, such as Kaggle's test images, have only id and
image, and its index has no labels. Its shards are named `test`.

An integer r in repeats means exactly r copies in each epoch. A fraction is
rounded up or down in each epoch so that its mean over epochs is exact. Over
each CYCLE_EPOCHS epochs, counted from the first, the number of copies is within
1 of the sum of the repeats.
"""

import dataclasses
import re
from typing import Iterable, Sequence

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import printable

FORMAT_VERSION = 1

# The number of epochs in the paper; an image with LEAST_REPEATS is drawn once
# in them.
CYCLE_EPOCHS = 80
LEAST_REPEATS = 1 / CYCLE_EPOCHS

# Philox keys are 64-bit words, and NumPy converts a larger integer to float,
# which maps many seeds to one.
MAX_SEED = 2**63 - 1
MAX_FOLDS = 2**16  # as many as the keys of random streams hold
MAX_REPEATS = 2**27  # of all records and folds of an index: 512 MiB
MAX_IMAGE_SIZE = 2**13  # pixels; 256 MiB a record
MAX_SETTING = 2**12  # characters of a setting in a manifest
MAX_CLASSES = 2000
MAX_COUNTS = 2**21  # images of each class in each fold: F * K of a dataset
MAX_CHANNELS = 16
MAX_DESCRIPTION = 2**18  # characters of a description in a manifest
MAX_NAME = 200  # characters of the name of a class, channel or stain

ID = 'id'
FOLD = 'fold'
LABELS = 'labels'
REPEATS = 'repeats'
IMAGE = 'image'

ENCODINGS = ('raw', 'png')

# Columns of index.parquet. All others are metadata.
INDEX_COLUMNS = ('id', 'fold', 'shard', 'record_offset', 'record_bytes',
                 'image_offset', 'image_bytes', 'labels', 'repeats', 'group',
                 'row')

UNLABELLED_GROUP = 'test'  # shard group of an unlabelled set

_COLOR = re.compile('#[0-9a-f]{6}')
_NUM_SHOWN = 5  # names in a message


@dataclasses.dataclass(frozen=True)
class Channel:
  """One channel of an image.

  Attributes:
    name: unique within a dataset.
    stain: what the channel shows, such as 'nucleus'; '' if unknown.
    color: in which it is displayed, '#rrggbb'.
  """
  name: str
  stain: str = ''
  color: str = '#ffffff'

  @property
  def rgb(self) -> tuple[int, int, int]:
    """The display color, each component 0..255."""
    red, green, blue = bytes.fromhex(self.color[1:])
    return red, green, blue


@dataclasses.dataclass(frozen=True)
class Spec:
  """The classes and channels of a dataset, and how its images are stored.

  Attributes:
    classes: their K names; label i is classes[i]. () if an unlabelled set does
      not know them.
    channels: the C channels, in stored order.
    image_size: height and width of every image, in pixels.
    encoding: one of ENCODINGS.

  Raises:
    ValueError: a number is out of range; or a name is empty, not printable, too
      long, or there twice.
  """
  classes: tuple[str, ...]
  channels: tuple[Channel, ...]
  image_size: int
  encoding: str = ENCODINGS[0]

  def __post_init__(self):
    check_names('class', self.classes, MAX_CLASSES)
    check_names('channel', self.channel_names, MAX_CHANNELS, least=1)
    for each in self.channels:
      if each.stain:
        _check_name('stain', each.stain)
      if not _COLOR.fullmatch(each.color):
        raise ValueError('expected a color such as #00ff00, received '
                         f'{printable.quote(each.color)}')
    if not 1 <= self.image_size <= MAX_IMAGE_SIZE:
      raise ValueError(f'expected an image size of 1..{MAX_IMAGE_SIZE}, '
                       f'received {self.image_size}')
    if self.encoding not in ENCODINGS:
      raise ValueError(f'expected an encoding of {ENCODINGS}, received '
                       f'{printable.quote(self.encoding)}')

  @property
  def num_classes(self) -> int:
    """K."""
    return len(self.classes)

  @property
  def num_channels(self) -> int:
    """C."""
    return len(self.channels)

  @property
  def channel_names(self) -> tuple[str, ...]:
    """The names of the channels, in stored order."""
    return tuple(each.name for each in self.channels)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C)."""
    return self.image_size, self.image_size, self.num_channels

  @property
  def raw_bytes(self) -> int:
    """Size of an image's pixels, in bytes."""
    return self.image_size**2 * self.num_channels

  def multi_hot(self, labels_column: Iterable[Sequence[int]]) -> np.ndarray:
    """Returns [N, K] uint8, 1 where the sample has the label.

    Args:
      labels_column: labels of each of N samples, 0..K-1.
    """
    labels = list(labels_column)
    hot = np.zeros([len(labels), self.num_classes], np.uint8)
    for row, classes in enumerate(labels):
      hot[row, list(classes)] = 1
    return hot

  def find_difference(self, other: 'Spec') -> str:
    """Returns the classes and channels that differ, as text; '' if none do.

    Args:
      other: the spec of other records; image sizes, encodings, stains and
        colors are not compared, nor unknown classes.
    """
    classes = other.classes or self.classes
    return '; '.join(
        filter(None,
               (_compare_names('classes', self.classes or classes, classes),
                _compare_names('channels', self.channel_names,
                               other.channel_names))))


def check_names(kind: str,
                names: Sequence[str],
                most: int,
                least: int = 0) -> None:
  """Checks the names of the classes or channels of a dataset.

  Args:
    kind: 'class' or 'channel', for messages.
    names: in order.
    most: the largest allowed number of them.
    least: the smallest.

  Raises:
    ValueError: there are too few, too many, or two equal ones; or a name is
      empty, too long or not printable.
  """
  if not least <= len(names) <= most:
    raise ValueError(f'expected {least} to {most:,} names ({kind}), received '
                     f'{len(names):,}')
  for name in names:
    _check_name(kind, name)
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'duplicate {kind} {printable.quote(twice)}')


def check_metadata(names: Sequence[str]) -> None:
  """Checks the names of the metadata columns of an index.

  Raises:
    ValueError: two are equal, or one is a column that every index has.
  """
  for i, name in enumerate(names):
    if name in INDEX_COLUMNS or name in names[:i]:
      raise ValueError(
          f'a metadata column cannot be called {printable.quote(name)}: the '
          'index has a column of this name')


def _check_name(kind: str, name: str) -> None:
  if not 0 < len(name) <= MAX_NAME or not name.isprintable() or (name.strip()
                                                                 != name):
    raise ValueError(f'expected the name of a {kind}, up to {MAX_NAME} '
                     'printable characters without spaces around it, received '
                     f'{printable.quote(name)}')


def _compare_names(kind: str, ours: tuple[str, ...], theirs: tuple[str,
                                                                   ...]) -> str:
  """Returns how two lists of names differ; '' if they are equal."""
  if ours == theirs:
    return ''
  parts = []
  for title, names in (('missing', [
      each for each in ours if each not in theirs
  ]), ('unknown', [each for each in theirs if each not in ours])):
    if names:
      more = len(names) - _NUM_SHOWN
      shown = ', '.join(map(printable.quote, names[:_NUM_SHOWN]))
      parts.append(f'{title} {shown}' +
                   (f' and {more:,} more' if more > 0 else ''))
  return f'{kind}: {", ".join(parts) or "another order"}'


def require_seed(seed: int) -> int:
  """Returns seed, checked.

  Raises:
    errors.DataError: seed is not in 0..MAX_SEED.
  """
  if not 0 <= seed <= MAX_SEED:
    raise errors.DataError(f'Expected a seed of 0..2^63-1, received {seed}.')
  return seed
