"""The plan of an epoch: a pure function of seed, epoch, fold and repeats.

Each record is expanded to its copies of this epoch, each copy gets one of the
eight symmetries of the square, and a permutation of all copies is cut into
global batches. So slot j of batch i is the same copy with the same symmetry on
any number of devices and in a resumed run. The position in training is two
integers, (epoch, step).

Random numbers come from Philox, a counter-based generator, keyed by (seed,
epoch, held-out fold, purpose), so no stream depends on another's length.

Fractional repeats are rounded by systematic sampling: with one random start u
in [0, 1), a record is rounded up where the running sum of fractions plus u
passes an integer. Each record's mean is exact, as with independent draws, but
the number of copies in an epoch varies by less than one in place of the square
root of the number of records. Records are visited in order of their labels, so
the copies of each class vary little too. The starts of CYCLE_EPOCHS epochs are
evenly spaced, in random order: an image with repeats 1/80 is drawn once in each
80 epochs.
"""

import dataclasses

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import errors

NUM_ELEMENTS = 8  # symmetries of the square
BLANK = -1  # row of the blank images that pad a batch

# Which copies are transformed. The paper transforms the copies of oversampled
# images only, each by one of six: rotations by 0, 90, 180 and 270 degrees, a
# horizontal flip, a vertical flip.
AUGMENTS = ('copies', 'all', 'none', 'paper')
# Element 4 * flip + k is k quarter turns, then a horizontal flip if flip is 1.
# Element 6, half a turn and a horizontal flip, is a vertical flip.
PAPER_ELEMENTS = (0, 1, 2, 3, 4, 6)

ROUNDING, ELEMENT, ORDER, PAIRS = range(4)  # purposes of random streams


@dataclasses.dataclass(frozen=True)
class Epoch:
  """The M copies of one epoch.

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
    """Returns the same copies in the order of expand."""
    return self.take(np.lexsort((self.copy, self.record)))


@dataclasses.dataclass(frozen=True)
class Share:
  """The slots of each global batch that one input pipeline fills.

  A global batch is cut into equal parts, one a replica; a pipeline feeds
  `count` replicas from `first` on. The content of a slot does not depend on the
  share.

  Attributes:
    batch_size: B, slots of a global batch.
    num_replicas: parts of a batch, over all pipelines; divides B.
    first: the pipeline's first part.
    count: number of the pipeline's parts.

  Raises:
    ValueError: num_replicas does not divide batch_size, or the parts are not
      in 0..num_replicas-1.
  """
  batch_size: int
  num_replicas: int = 1
  first: int = 0
  count: int = 1

  def __post_init__(self):
    if self.batch_size % self.num_replicas:
      raise ValueError('Expected a batch size divisible by '
                       f'{self.num_replicas} replicas, received '
                       f'{self.batch_size}.')
    if not 0 <= self.first < self.first + self.count <= self.num_replicas:
      raise ValueError(
          f'Expected parts of 0..{self.num_replicas - 1}, received '
          f'{self.count} from {self.first} on.')

  @property
  def part_size(self) -> int:
    """b, the slots of one replica's part."""
    return self.batch_size // self.num_replicas


@dataclasses.dataclass(frozen=True)
class Part:
  """One replica's part of a global batch.

  Attributes:
    record: [b] int64, row of the index; BLANK for padding.
    element: [b] int32 in 0..7; 0 for padding.
    weight: [b] float32, 1, or 0 for padding.
    slot: [b] int32, positions in the global batch.
  """
  record: np.ndarray
  element: np.ndarray
  weight: np.ndarray
  slot: np.ndarray


@dataclasses.dataclass(frozen=True)
class Key:
  """The key of an epoch's random streams, which no other key shares.

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
    """Returns the random stream of one purpose: one of those above."""
    word = self.epoch << 24 | self.fold << 8 | purpose
    return np.random.Generator(np.random.Philox(key=[self.seed, word]))


def draw_counts(repeats: np.ndarray,
                key: Key,
                ranks: np.ndarray | None = None) -> np.ndarray:
  """Returns how often each record is drawn in one epoch.

  Args:
    repeats: [N] float32 >= 0, expected draws of each record.
    key: of the epoch.
    ranks: [N] int64, the order in which records are rounded; the sum over
      records of neighbouring ranks varies least. None: random order.

  Returns:
    [N] int64, floor or ceiling of repeats. Their mean over epochs is repeats;
    their sum over epochs 80 c .. 80 c + 79 is within 1 of that of repeats.
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
  """Returns the copies of one epoch in record order.

  Args:
    repeats: [N] float32 >= 0, expected draws of each record.
    key: of the epoch.
    augment: which copies get a random symmetry: 'copies' all but a record's
      first, 'all', 'none'; 'paper' all but the first, one of PAPER_ELEMENTS.
    ranks: as in draw_counts.

  Raises:
    ValueError: augment is not in AUGMENTS.
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
  """Returns the permutation [length] int64 of an epoch's copies."""
  return key.generator(ORDER).permutation(length)


def shuffle(repeats: np.ndarray,
            key: Key,
            augment: str = 'copies',
            ranks: np.ndarray | None = None) -> Epoch:
  """Returns the copies of one epoch in the order of training.

  Args and errors: as in expand.
  """
  epoch = expand(repeats, key, augment, ranks)
  return epoch.take(order(len(epoch), key))


def pair(epoch: Epoch, kinds: np.ndarray, key: Key) -> Epoch:
  """Returns the copies in an order where those of one kind are neighbours.

  Positions 2i and 2i + 1 have two copies of one kind, as far as there are two.
  The pairs, and the copies of no kind, are in random order.

  Args:
    epoch: in the order of training.
    kinds: [N] int64, the kind of each record; -1 for none.
    key: of the epoch.
  """
  kind = kinds[epoch.record]
  paired = []
  for number in np.unique(kind[kind >= 0]):
    members = np.flatnonzero(kind == number)
    paired.append(members[:len(members) // 2 * 2])
  others = np.setdiff1d(np.arange(len(epoch)), np.concatenate([[], *paired]))
  order_of = np.concatenate([*paired, others]).astype(np.int64)
  end = len(epoch) // 2 * 2
  pairs = key.generator(PAIRS).permutation(order_of[:end].reshape(-1, 2))
  return epoch.take(np.append(pairs, order_of[end:]))


def once(rows: np.ndarray) -> Epoch:
  """Returns an epoch of the rows [n] int64, once each, in order, unchanged."""
  return Epoch(rows, np.zeros_like(rows), np.zeros(len(rows), np.int32))


def cut(epoch: Epoch, share: Share, number: int) -> Part:
  """Returns one part of a pipeline's share of an epoch.

  Args:
    epoch: in the order of training.
    share: of the pipeline.
    number: 0..num_steps * share.count - 1, counted by step, then by replica.
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
  """Returns the number of global batches of length copies, rounded up."""
  return -(-length // batch_size)
