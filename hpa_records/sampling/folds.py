"""Multilabel-stratified folds: each class is spread evenly over all folds.

Classes of 11 to 12,885 images overlap, so stratifying by one class is not
enough, and a random split leaves a fold without Rods & rings. Iterative
stratification assigns the rarest class first, each sample to the fold that
lacks most of that class. On Kaggle's table each class is within 1 of n/5 in
each fold (BUILD_NOTES.md, "Folds"). Fold sizes are not forced to be equal.

The package iterative-stratification is not used: it needs scikit-learn and
SciPy, whose import takes longer than converting 300 samples.

A group of samples is assigned as one, larger groups first. Most groups have an
image of a common class, so few are left when its turn comes, and it can be 5 %
off. Groups are then moved while a move makes the folds more even.

The result depends only on ids, labels, seed and on which samples share a group,
not on the groups' names: rows are assigned in the order of a salted hash,
groups in that of their first row.
"""

import dataclasses
from typing import Sequence

import numpy as np

from hpa_records.format import ordering
from hpa_records.format import spec
from hpa_records.runtime import errors


def assign(ids: Sequence[str],
           labels: np.ndarray,
           num_folds: int,
           seed: int,
           groups: Sequence[str] | None = None) -> np.ndarray:
  """Returns the fold of each sample, [N] int64, 0..num_folds-1.

  No fold is empty. A class with fewer groups than folds is missing in some
  folds.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot; rows without a label are spread evenly.
    num_folds: 2..the number of groups.
    seed: 0..spec.MAX_SEED; another seed gives other folds.
    groups: N names; samples with the same name are in one fold. None: each
      sample is a group of its own.

  Raises:
    errors.DataError: num_folds < 2, fewer samples or groups than folds, or a
      seed out of range.

  Source: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label
  Data, ECML PKDD 2011.
  """
  if num_folds < 2:
    raise errors.DataError(f'Expected --num_folds >= 2, received {num_folds}.')
  order = ordering.hash_order(ids, seed)
  unit_of, num_units = _number(groups, order)
  if num_units < num_folds:
    what = 'samples' if groups is None else 'groups'
    raise errors.DataError(f'Expected at least {num_folds} {what} for '
                           f'{num_folds} folds, received {num_units}; '
                           'lower --num_folds.')
  # Raw bits: a Generator's methods may change between NumPy versions.
  bits = np.random.Philox(
      key=spec.require_seed(seed)).random_raw(num_units).tolist()
  cells = _Cells.count(labels, unit_of, num_units)
  sizes = np.bincount(unit_of, minlength=num_units)
  fold_of = np.array(_assign(cells, sizes, num_folds, bits), np.int64)
  if num_units < len(ids):
    _even_out(fold_of, cells, num_folds)
  return fold_of[unit_of]


@dataclasses.dataclass(frozen=True)
class _Cells:
  """Images of each class in each group, without the zeros: M cells.

  A dense table of 100,000 samples and 2,000 classes would take gigabytes.

  Attributes:
    unit: [M] int64, numbers of groups, ascending.
    label: [M] int64, classes, ascending in each group.
    images: [M] int64, how many, > 0.
    by_label: [M] int64, positions of the cells of class 0, then 1, ...
    unit_starts: [U + 1] int64, positions where each group's cells begin.
    label_starts: [K + 1] int64, places in by_label where each class begins.
  """
  unit: np.ndarray
  label: np.ndarray
  images: np.ndarray
  by_label: np.ndarray
  unit_starts: np.ndarray
  label_starts: np.ndarray

  @classmethod
  def count(cls, labels: np.ndarray, unit_of: np.ndarray,
            num_units: int) -> '_Cells':
    """Returns the cells of labels [N, K] uint8 in groups unit_of [N]."""
    num_classes = labels.shape[1]
    rows, classes = np.nonzero(labels)
    codes, images = np.unique(unit_of[rows] * num_classes + classes,
                              return_counts=True)
    unit, label = np.divmod(codes, num_classes)
    by_label = np.argsort(label, kind='stable')
    return cls(unit, label, images, by_label,
               np.searchsorted(unit, np.arange(num_units + 1)),
               np.searchsorted(label[by_label], np.arange(num_classes + 1)))

  def of_unit(self, unit: int) -> slice:
    """Returns the positions of a group's cells."""
    return slice(*self.unit_starts[unit:unit + 2].tolist())

  def of_label(self, label: int) -> np.ndarray:
    """Returns the positions of a class's cells, [m] int64, ascending."""
    return self.by_label[slice(*self.label_starts[label:label + 2].tolist())]

  def totals(self) -> np.ndarray:
    """Returns the images of each class, [K] int64."""
    # Whole numbers below 2^53 are exact as float64.
    return np.bincount(self.label,
                       self.images,
                       minlength=len(self.label_starts) - 1).astype(np.int64)


def _number(groups: Sequence[str] | None,
            order: np.ndarray) -> tuple[np.ndarray, int]:
  """Returns the number of each row's group, [N] int64, and of all groups.

  Args:
    groups: N names, or None.
    order: [N] int64, rows; groups are numbered by their first row in it.
  """
  unit_of = np.empty(len(order), np.int64)
  if groups is None:
    unit_of[order] = np.arange(len(order))
    return unit_of, len(order)
  numbers = {}
  for row in order.tolist():
    unit_of[row] = numbers.setdefault(groups[row], len(numbers))
  return unit_of, len(numbers)


def _assign(cells: _Cells, sizes: np.ndarray, num_folds: int,
            bits: list[int]) -> list[int]:
  """Returns the fold of each of U groups.

  Args:
    cells: images of each class in each group.
    sizes: [U] int64, images of each group.
    num_folds: F.
    bits: [U] random integers that break ties.
  """
  # What each fold still lacks, of each class and in all, times num_folds, so
  # that all are integers. An empty fold lacks most, so no fold stays empty.
  totals = cells.totals()
  wanted = [totals.tolist() for _ in range(num_folds)]
  room = [int(sizes.sum())] * num_folds
  left = totals * num_folds  # images of each class that are unassigned, as well
  most = left.sum() + 1
  fold_of = [-1] * len(sizes)
  labels, counts = cells.label.tolist(), (cells.images * num_folds).tolist()
  size_of = (sizes * num_folds).tolist()

  def assign_units(units, key):
    for unit in units.tolist():
      keys = list(map(key, range(num_folds)))
      best = max(keys)
      tied = [fold for fold in range(num_folds) if keys[fold] == best]
      fold = fold_of[unit] = tied[bits[unit] % len(tied)]
      room[fold] -= size_of[unit]
      mine = cells.of_unit(unit)
      for label, count in zip(labels[mine], counts[mine]):
        wanted[fold][label] -= count
        left[label] -= count

  unassigned = np.ones(len(sizes), bool)
  while left.any():
    rarest = int(np.where(left > 0, left, most).argmin())
    found = cells.of_label(rarest)
    found = found[unassigned[cells.unit[found]]]
    found = found[np.argsort(-cells.images[found], kind='stable')]
    units = cells.unit[found]
    assign_units(units, lambda fold: (wanted[fold][rarest], room[fold]))  # pylint: disable=cell-var-from-loop
    unassigned[units] = False
  units = np.flatnonzero(unassigned)
  assign_units(units[np.argsort(-sizes[units], kind='stable')],
               lambda fold: room[fold])
  return fold_of


def _even_out(fold_of: np.ndarray, cells: _Cells, num_folds: int) -> None:
  """Moves groups to other folds, in place, until no move makes them more even.

  Each move is the one that most reduces the sum of (images - n/F)^2 / n over
  all folds and classes, where n is the number of images of the class. A fold's
  last group is not moved.

  Args:
    fold_of: [U] int64, of each group.
    cells: images of each class in each group.
    num_folds: F.
  """
  # All numbers are integers far below 2^53, also for millions of samples, so
  # float sums are exact in any order, and all machines make the same moves.
  totals = cells.totals()
  change = (cells.images * num_folds).astype(np.float64)
  weighted = change * (totals.sum() // np.maximum(totals, 1))[cells.label]
  units = np.arange(len(fold_of))

  def sum_of_units(values):
    return np.bincount(cells.unit, values, minlength=len(units))

  # The cost of adding a group to a perfectly balanced fold.
  own = sum_of_units(change * weighted)[:, None]
  # The cost of adding it because of what each fold has too many of.
  costs = np.empty([len(units), num_folds])
  for fold in range(num_folds):
    inside = change * (fold_of[cells.unit] == fold)
    excess = np.bincount(cells.label, inside, minlength=len(totals)) - totals
    costs[:, fold] = sum_of_units(weighted * excess[cells.label])
  while True:
    gains = costs[units, fold_of][:, None] - costs - own
    gains[units, fold_of] = 0
    gains[np.bincount(fold_of)[fold_of] == 1] = 0
    unit, fold = divmod(int(gains.argmax()), num_folds)
    if gains[unit, fold] <= 0:
      return
    for cell in range(*cells.of_unit(unit).indices(len(change))):
      same = cells.of_label(cells.label[cell])
      moved = weighted[same] * change[cell]
      costs[cells.unit[same], fold_of[unit]] -= moved
      costs[cells.unit[same], fold] += moved
    fold_of[unit] = fold
