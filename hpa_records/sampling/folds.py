"""Multilabel-stratified folds: every class is spread evenly over all of them.

Classes of 11 to 12,885 images that occur together cannot be cut by one class,
and cutting at random leaves a fold without Rods & rings. Iterative
stratification deals the rarest class first, each sample to the fold that still
wants most of that class: on Kaggle's whole table each class is within 1 of n/5
in every fold (BUILD_NOTES.md, "Folds"). It does not force equal fold sizes.

Written here, not taken from iterative-stratification: that brings scikit-learn
and SciPy, whose import takes longer than converting 300 samples.

A group of samples is dealt as one, with all the images that it brings of each
class; the larger ones come first, while there is room to even them out. Most
groups have an image of a common class, so when its turn comes few are left and
it can be 5 % off; groups are then moved while that makes the folds more even.

The result depends on ids, labels, seed and on which samples share a group
alone, not on the groups' names: rows are dealt in the order of a salted hash,
the way that shards order their records, groups in that of their first row.
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
  """Returns the fold of every sample, [N] int64, 0..num_folds-1.

  No fold is empty, since a group is dealt to the emptiest of the folds that
  want its rarest class most, and an empty fold wants every class most; no move
  takes a fold's last group. A class of fewer groups than folds is in as many
  folds as it has groups, at most.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot; rows without a label are dealt evenly.
    num_folds: 2..the number of groups.
    seed: 0..spec.MAX_SEED; another seed gives other folds.
    groups: N names; samples of one name are in one fold. None: each sample is
      a group of its own.

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
  # Raw bits: what a generator makes of them may change with NumPy.
  bits = np.random.Philox(
      key=spec.require_seed(seed)).random_raw(num_units).tolist()
  brings = np.zeros([num_units, labels.shape[1]], np.int32)
  np.add.at(brings, unit_of, labels)
  sizes = np.bincount(unit_of, minlength=num_units)
  fold_of = np.array(_deal(brings, sizes, num_folds, bits), np.int64)
  if num_units < len(ids):
    _even_out(fold_of, brings, num_folds)
  return fold_of[unit_of]


def _number(groups: Sequence[str] | None,
            order: np.ndarray) -> tuple[np.ndarray, int]:
  """Returns each row's group [N] int64 by number, and how many there are.

  Groups are numbered as their first rows come in order [N].
  """
  unit_of = np.empty(len(order), np.int64)
  if groups is None:
    unit_of[order] = np.arange(len(order))
    return unit_of, len(order)
  numbers = {}
  for row in order.tolist():
    unit_of[row] = numbers.setdefault(groups[row], len(numbers))
  return unit_of, len(numbers)


def _deal(brings: np.ndarray, sizes: np.ndarray, num_folds: int,
          bits: list[int]) -> list[int]:
  """Returns the fold of each of U groups.

  Args:
    brings: [U, K] int32, images of each class in each group.
    sizes: [U] int64, images of each group.
    num_folds: F.
    bits: [U], break ties.
  """
  counts = brings.sum(axis=0, dtype=np.int64)
  # How much each fold still wants, of each class and in all, times num_folds,
  # so that all are whole numbers.
  wanted = [counts.tolist() for _ in range(num_folds)]
  room = [int(sizes.sum())] * num_folds
  fold_of = [-1] * len(sizes)
  changes = _list_changes(brings, num_folds)
  size_of = (sizes * num_folds).tolist()

  def deal(units, key):
    for unit in units.tolist():
      keys = list(map(key, range(num_folds)))
      best = max(keys)
      tied = [fold for fold in range(num_folds) if keys[fold] == best]
      fold = fold_of[unit] = tied[bits[unit] % len(tied)]
      room[fold] -= size_of[unit]
      for label, count in changes[unit]:
        wanted[fold][label] -= count

  undealt = np.ones(len(sizes), bool)
  while counts.any():
    rarest = int(np.where(counts > 0, counts, sizes.sum() + 1).argmin())
    units = np.flatnonzero(undealt & (brings[:, rarest] > 0))
    units = units[np.argsort(-brings[units, rarest], kind='stable')]
    deal(units, lambda fold: (wanted[fold][rarest], room[fold]))  # pylint: disable=cell-var-from-loop
    undealt[units] = False
    counts -= brings[units].sum(axis=0, dtype=np.int64)
  units = np.flatnonzero(undealt)
  deal(units[np.argsort(-sizes[units], kind='stable')], lambda fold: room[fold])
  return fold_of


def _even_out(fold_of: np.ndarray, brings: np.ndarray, num_folds: int) -> None:
  """Moves groups to other folds, in place, until no move makes them more even.

  Each time the move that most reduces the sum of (images - n/F)^2 / n over all
  folds and classes, n being the images of the class: being one image off
  matters more to a rare class.

  All numbers are whole, far below 2^53 up to millions of samples: floats add
  them exactly, in any order, so all machines make the same moves.

  Args:
    fold_of: [U] int64, of each group.
    brings: [U, K] int32, images of each class in each group.
    num_folds: F.
  """
  totals = brings.sum(axis=0, dtype=np.int64)
  weights = totals.sum() // np.maximum(totals, 1)
  change = (brings * num_folds).astype(np.float64)
  weighted = change * weights
  # What a group costs a fold that has of each class just what it should.
  own = (change * weighted).sum(axis=1)[:, None]
  # How many images each fold has too many, times F.
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


def _list_changes(brings: np.ndarray,
                  times: int) -> list[list[tuple[int, int]]]:
  """Returns (class, times its number) of each row where it is not 0."""
  pairs = [[] for _ in range(len(brings))]
  units, classes = np.nonzero(brings)
  for unit, *pair in zip(units.tolist(), classes.tolist(),
                         (times * brings[units, classes]).tolist()):
    pairs[unit].append(tuple(pair))
  return pairs
