"""The order of training: a pure function of seed, epoch, fold and repeats.

Every record is expanded to its copies of this epoch, each copy gets one of
the eight symmetries of the square, and a permutation of all copies is cut into
global batches. Slot j of batch i is then the same copy with the same transform
on one device or on eight, and in a run that was killed and resumed: its
position is (epoch, step), two integers.

Random numbers come from Philox, a counter-based generator, keyed by (seed,
epoch, held-out fold, purpose); so no stream depends on another's length.

Fractions are rounded by systematic sampling: one random start u in [0, 1), and
a record is rounded up where the running sum of fractions plus u passes a whole
number. Each record's mean is exact as with independent coins, but the number
of copies in an epoch varies by less than one instead of by the square root of
the number of records. Run along records in order of their labels, the copies of
each class vary little too. And the starts of CYCLE_EPOCHS epochs are spaced
evenly, in random order, so that none of a record's draws is left to luck for
longer than that: an image of 1/80 is seen once in each 80 epochs.
"""

import dataclasses

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import errors

NUM_ELEMENTS = 8  # symmetries of the square
BLANK = -1  # instead of a row: what only fills a batch up

# Which copies are transformed. The paper transforms the copies of oversampled
# images only, each by one of six: rotations by 0, 90, 180 and 270 degrees, a
# horizontal flip, a vertical flip.
AUGMENTS = ('copies', 'all', 'none', 'paper')
# Element 4 * flip + k is k quarter turns, then a horizontal flip if flip is 1:
# half a turn and a horizontal flip are a vertical one.
PAPER_ELEMENTS = (0, 1, 2, 3, 4, 6)

ROUNDING, ELEMENT, ORDER = range(3)  # purposes of random streams


@dataclasses.dataclass(frozen=True)
class Epoch:
  """All copies of one epoch; one entry a copy.

  Attributes:
    record: [M] int64, row of the index.
    copy: [M] int64, 0 for a record's first copy in this epoch, then 1, 2, ...
    element: [M] int32 in 0..7, the symmetry to apply; 0 is the identity.
  """
  record: np.ndarray
  copy: np.ndarray
  element: np.ndarray

  def __len__(self) -> int:
    return len(self.record)

  def take(self, positions: np.ndarray) -> 'Epoch':
    """Returns the copies at positions [n] int64, in that order."""
    return Epoch(self.record[positions], self.copy[positions],
                 self.element[positions])

  def in_record_order(self) -> 'Epoch':
    """Returns the same copies as expand() lists them."""
    return self.take(np.lexsort((self.copy, self.record)))


@dataclasses.dataclass(frozen=True)
class Share:
  """Which slots of each global batch one input pipeline fills.

  A global batch is cut into equal parts, one a replica; a pipeline feeds
  `count` replicas from `first` on. What stands in a slot does not depend on
  any of that, only who reads it.

  Attributes:
    batch_size: B, slots of a global batch.
    num_replicas: parts of a batch, over all pipelines; divides B.
    first: the pipeline's first part.
    count: how many parts are the pipeline's.

  Raises:
    ValueError: the parts are not equal, or not there.
  """
  batch_size: int
  num_replicas: int = 1
  first: int = 0
  count: int = 1

  def __post_init__(self):
    if self.batch_size % self.num_replicas:
      raise ValueError(f'Expected a batch that {self.num_replicas} replicas '
                       f'share evenly, received {self.batch_size}.')
    if not 0 <= self.first < self.first + self.count <= self.num_replicas:
      raise ValueError(
          f'Expected parts of 0..{self.num_replicas - 1}, received '
          f'{self.count} from {self.first} on.')

  @property
  def part_size(self) -> int:
    """b, slots of one replica's part."""
    return self.batch_size // self.num_replicas


@dataclasses.dataclass(frozen=True)
class Part:
  """One replica's part of a global batch.

  Attributes:
    record: [b] int64, row of the index; BLANK where the batch is filled up.
    element: [b] int32 in 0..7; 0 in a blank.
    weight: [b] float32, 1, or 0 for a blank.
    slot: [b] int32, places in the global batch.
  """
  record: np.ndarray
  element: np.ndarray
  weight: np.ndarray
  slot: np.ndarray


@dataclasses.dataclass(frozen=True)
class Key:
  """What an epoch's random numbers depend on; no two keys share them.

  Attributes:
    seed: 0..spec.MAX_SEED.
    epoch: 0..2^39-1.
    fold: 0..2^16-1.

  Raises:
    errors.DataError: one of them is out of range.
  """
  seed: int
  epoch: int
  fold: int

  def __post_init__(self):
    spec.require_seed(self.seed)
    if not (0 <= self.epoch < 2**39 and 0 <= self.fold < spec.MAX_FOLDS):
      raise errors.DataError(
          f'Expected an epoch of 0..2^39-1 and a fold of 0..2^16-1, received '
          f'{self.epoch} and {self.fold}.')

  def generator(self, purpose: int) -> np.random.Generator:
    """Returns the random stream of one purpose, independent of all others."""
    word = self.epoch << 24 | self.fold << 8 | purpose
    return np.random.Generator(np.random.Philox(key=[self.seed, word]))


def draw_counts(repeats: np.ndarray,
                key: Key,
                ranks: np.ndarray | None = None) -> np.ndarray:
  """Returns how often each record is drawn in one epoch.

  Args:
    repeats: [N] float32 >= 0, expected draws of each record.
    key: of the epoch.
    ranks: [N] int64; the sum of draws of records whose ranks follow each other
      varies least. None ranks all alike.

  Returns:
    [N] int64, floor or ceiling of repeats; the mean over epochs is repeats, and
    the sum over epochs 80 c .. 80 c + 79 that of repeats within 1.
  """
  cycle, epoch = divmod(key.epoch, spec.CYCLE_EPOCHS)
  random = Key(key.seed, cycle, key.fold).generator(ROUNDING)
  starts = random.permutation(spec.CYCLE_EPOCHS) + random.random()
  along = random.permutation(len(repeats))
  if ranks is not None:
    along = along[np.argsort(ranks[along], kind='stable')]
  repeats = np.asarray(repeats, np.float64)[along]
  whole = np.floor(repeats)
  passed = np.floor(
      np.cumsum(repeats - whole) + starts[epoch] / spec.CYCLE_EPOCHS)
  counts = np.empty(len(repeats), np.int64)
  counts[along] = whole + np.diff(passed, prepend=0.0)
  return counts


def expand(repeats: np.ndarray,
           key: Key,
           augment: str = 'copies',
           ranks: np.ndarray | None = None) -> Epoch:
  """Returns the copies of one epoch in record order, not yet permuted.

  Args:
    repeats: [N] float32 >= 0, expected draws of each record.
    key: of the epoch.
    augment: 'copies' transforms every copy but a record's first by any
      symmetry, 'all' every one, 'none' none; 'paper' every copy but the first
      by one of PAPER_ELEMENTS.
    ranks: as of draw_counts.

  Raises:
    ValueError: augment is none of AUGMENTS.
  """
  if augment not in AUGMENTS:
    raise ValueError(f'Expected augment in {AUGMENTS}, received {augment!r}.')
  counts = draw_counts(repeats, key, ranks)
  record = np.repeat(np.arange(len(counts)), counts)
  first = np.cumsum(counts) - counts
  copy = np.arange(len(record)) - first[record]
  element = key.generator(ELEMENT).integers(0,
                                            NUM_ELEMENTS,
                                            len(record),
                                            dtype=np.int32)
  if augment == 'paper':
    chosen = key.generator(ELEMENT).integers(0, len(PAPER_ELEMENTS),
                                             len(record))
    element = np.array(PAPER_ELEMENTS, np.int32)[chosen]
  if augment in ('copies', 'paper'):
    element[copy == 0] = 0
  elif augment == 'none':
    element[:] = 0
  return Epoch(record, copy, element)


def order(length: int, key: Key) -> np.ndarray:
  """Returns the epoch's permutation [length] int64 of its copies."""
  return key.generator(ORDER).permutation(length)


def shuffle(repeats: np.ndarray,
            key: Key,
            augment: str = 'copies',
            ranks: np.ndarray | None = None) -> Epoch:
  """Returns the copies of one epoch in the order of training.

  Args: as of expand.
  """
  epoch = expand(repeats, key, augment, ranks)
  return epoch.take(order(len(epoch), key))


def once(rows: np.ndarray) -> Epoch:
  """Returns each of the rows [n] int64 once, in that order, untransformed."""
  return Epoch(rows, np.zeros_like(rows), np.zeros(len(rows), np.int32))


def cut(epoch: Epoch, share: Share, number: int) -> Part:
  """Returns a pipeline's part of that number: batch by batch, replica by
  replica.

  Args:
    epoch: in the order of training.
    share: of the pipeline.
    number: 0..num_steps * share.count - 1.
  """
  step, replica = divmod(number, share.count)
  slot = np.arange(share.part_size, dtype=np.int32)
  slot += (share.first + replica) * share.part_size
  position = step * share.batch_size + slot.astype(np.int64)
  real = position < len(epoch)
  position[~real] = 0
  return Part(record=np.where(real, epoch.record[position], BLANK),
              element=np.where(real, epoch.element[position], np.int32(0)),
              weight=real.astype(np.float32),
              slot=slot)


def num_steps(length: int, batch_size: int) -> int:
  """Returns how many global batches hold length copies; the last may be part.
  """
  return -(-length // batch_size)
