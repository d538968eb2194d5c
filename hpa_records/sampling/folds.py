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
  counts = np.zeros([num_units, labels.shape[1]], np.int32)
  np.add.at(counts, unit_of, labels)
  sizes = np.bincount(unit_of, minlength=num_units)
  fold_of = np.array(_assign(counts, sizes, num_folds, bits), np.int64)
  if num_units < len(ids):
    _even_out(fold_of, counts, num_folds)
  return fold_of[unit_of]


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


def _assign(counts: np.ndarray, sizes: np.ndarray, num_folds: int,
            bits: list[int]) -> list[int]:
  """Returns the fold of each of U groups.

  Args:
    counts: [U, K] int32, images of each class in each group.
    sizes: [U] int64, images of each group.
    num_folds: F.
    bits: [U] random integers that break ties.
  """
  left = counts.sum(axis=0, dtype=np.int64)  # of each class, unassigned
  # What each fold still lacks, of each class and in all, times num_folds, so
  # that all are integers. An empty fold lacks most, so no fold stays empty.
  wanted = [left.tolist() for _ in range(num_folds)]
  room = [int(sizes.sum())] * num_folds
  fold_of = [-1] * len(sizes)
  changes = _list_changes(counts, num_folds)
  size_of = (sizes * num_folds).tolist()

  def assign_units(units, key):
    for unit in units.tolist():
      keys = list(map(key, range(num_folds)))
      best = max(keys)
      tied = [fold for fold in range(num_folds) if keys[fold] == best]
      fold = fold_of[unit] = tied[bits[unit] % len(tied)]
      room[fold] -= size_of[unit]
      for label, count in changes[unit]:
        wanted[fold][label] -= count

  unassigned = np.ones(len(sizes), bool)
  while left.any():
    rarest = int(np.where(left > 0, left, sizes.sum() + 1).argmin())
    units = np.flatnonzero(unassigned & (counts[:, rarest] > 0))
    units = units[np.argsort(-counts[units, rarest], kind='stable')]
    assign_units(units, lambda fold: (wanted[fold][rarest], room[fold]))  # pylint: disable=cell-var-from-loop
    unassigned[units] = False
    left -= counts[units].sum(axis=0, dtype=np.int64)
  units = np.flatnonzero(unassigned)
  assign_units(units[np.argsort(-sizes[units], kind='stable')],
               lambda fold: room[fold])
  return fold_of


def _even_out(fold_of: np.ndarray, counts: np.ndarray, num_folds: int) -> None:
  """Moves groups to other folds, in place, until no move makes them more even.

  Each move is the one that most reduces the sum of (images - n/F)^2 / n over
  all folds and classes, where n is the number of images of the class. A fold's
  last group is not moved.

  Args:
    fold_of: [U] int64, of each group.
    counts: [U, K] int32, images of each class in each group.
    num_folds: F.
  """
  # All numbers are integers far below 2^53, also for millions of samples, so
  # float sums are exact in any order, and all machines make the same moves.
  totals = counts.sum(axis=0, dtype=np.int64)
  weights = totals.sum() // np.maximum(totals, 1)
  change = (counts * num_folds).astype(np.float64)
  weighted = change * weights
  # The cost of adding a group to a perfectly balanced fold.
  own = (change * weighted).sum(axis=1)[:, None]
  # Images that each fold has too many of each class, times F.
  excess = np.stack(
      [change[fold_of == fold].sum(axis=0) for fold in range(num_folds)])
  excess -= totals
  units = np.arange(len(fold_of))
  while True:
    costs = weighted @ excess.T
    gains = costs[units, fold_of][:, None] - costs - own
    gains[units, fold_of] = 0
    gains[np.bincount(fold_of)[fold_of] == 1] = 0
    unit, fold = divmod(int(gains.argmax()), num_folds)
    if gains[unit, fold] <= 0:
      return
    excess[fold_of[unit]] -= change[unit]
    excess[fold] += change[unit]
    fold_of[unit] = fold


def _list_changes(counts: np.ndarray,
                  times: int) -> list[list[tuple[int, int]]]:
  """Returns for each row of counts [U, K] the pairs (class, times * count)."""
  pairs = [[] for _ in range(len(counts))]
  units, classes = np.nonzero(counts)
  for unit, *pair in zip(units.tolist(), classes.tolist(),
                         (times * counts[units, classes]).tolist()):
    pairs[unit].append(tuple(pair))
  return pairs
