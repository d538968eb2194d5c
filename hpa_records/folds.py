"""Multilabel-stratified folds: every class is spread evenly over all of them.

Classes of 11 to 12,885 images that occur together cannot be cut by one class,
and cutting at random leaves a fold without Rods & rings. Iterative
stratification deals the rarest class first, each sample to the fold that still
wants most of that class: on Kaggle's whole table each class is within 1 of n/5
in every fold (BUILD_NOTES.md, "Folds"). It does not force equal fold sizes.

Written here, not taken from iterative-stratification: that brings scikit-learn
and SciPy, whose import takes longer than converting 300 samples.

A group of samples is dealt as one, with all the images that it brings of each
class. The larger ones come first, while there is room to even them out.

The result depends on ids, labels, seed and on which samples share a group
alone, not on the groups' names: rows are dealt in the order of a salted hash,
the way that shards order their records, groups in that of their first row.
"""

from typing import Sequence

import numpy as np

from hpa_records import schema
from hpa_records import shard


def assign(ids: Sequence[str],
           labels: np.ndarray,
           num_folds: int,
           seed: int,
           groups: Sequence[str] | None = None) -> np.ndarray:
  """Returns the fold of every sample, [N] int64, 0..num_folds-1.

  No fold is empty, since a group is dealt to the emptiest of the folds that
  want its rarest class most, and an empty fold wants every class most. A class
  of fewer groups than folds is in as many folds as it has groups, at most.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot; rows without a label are dealt evenly.
    num_folds: 2..the number of groups.
    seed: any integer; another seed gives other folds.
    groups: N names; samples of one name are in one fold. None: each sample is
      a group of its own.

  Raises:
    schema.DataError: num_folds < 2, or fewer samples or groups than folds.

  Source: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label
  Data, ECML PKDD 2011.
  """
  if num_folds < 2:
    raise schema.DataError(f'Expected --num_folds >= 2, received {num_folds}.')
  order = shard.hash_order(ids, seed)
  unit_of, num_units = _number(groups, order)
  if num_units < num_folds:
    what = 'samples' if groups is None else 'groups'
    raise schema.DataError(f'Expected at least {num_folds} {what} for '
                           f'{num_folds} folds, received {num_units}; '
                           'lower --num_folds.')
  # Raw bits: what a generator makes of them may change with NumPy.
  bits = np.random.Philox(key=seed % 2**64).random_raw(num_units).tolist()
  brings = np.zeros([num_units, labels.shape[1]], np.int32)
  np.add.at(brings, unit_of, labels)
  sizes = np.bincount(unit_of, minlength=num_units)
  return np.array(_deal(brings, sizes, num_folds, bits), np.int64)[unit_of]


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


def _list_changes(brings: np.ndarray,
                  times: int) -> list[list[tuple[int, int]]]:
  """Returns (class, times its number) of each row where it is not 0."""
  pairs = [[] for _ in range(len(brings))]
  units, classes = np.nonzero(brings)
  for unit, *pair in zip(units.tolist(), classes.tolist(),
                         (times * brings[units, classes]).tolist()):
    pairs[unit].append(tuple(pair))
  return pairs
