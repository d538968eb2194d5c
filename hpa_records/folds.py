"""Multilabel-stratified folds: every class is spread evenly over all of them.

Classes of 11 to 12,885 images that occur together cannot be cut by one class,
and cutting at random leaves a fold without Rods & rings. Iterative
stratification deals the rarest class first, each sample to the fold that still
wants most of that class: on Kaggle's whole table each class is within 1 of n/5
in every fold (BUILD_NOTES.md, "Folds"). It does not force equal fold sizes.

Written here, not taken from iterative-stratification: that brings scikit-learn
and SciPy, whose import takes longer than converting 300 samples.

The result depends on ids, labels and seed alone: rows are dealt in the order of
a salted hash, the way that shards order their records.
"""

from typing import Sequence

import numpy as np

from hpa_records import schema
from hpa_records import shard


def assign(ids: Sequence[str], labels: np.ndarray, num_folds: int,
           seed: int) -> np.ndarray:
  """Returns the fold of every sample, [N] int64, 0..num_folds-1.

  No fold is empty, since a sample is dealt to the emptiest of the folds that
  want its rarest class most, and an empty fold wants every class most. A class
  of fewer images than folds is in as many folds as it has images, at most.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot; rows without a label are dealt evenly.
    num_folds: 2..N.
    seed: any integer; another seed gives other folds.

  Raises:
    schema.DataError: num_folds < 2, or fewer samples than folds.

  Source: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label
  Data, ECML PKDD 2011.
  """
  if num_folds < 2:
    raise schema.DataError(f'Expected --num_folds >= 2, received {num_folds}.')
  if len(ids) < num_folds:
    raise schema.DataError(f'Expected at least {num_folds} samples for '
                           f'{num_folds} folds, received {len(ids)}; '
                           'lower --num_folds.')
  order = shard.hash_order(ids, seed)
  # Raw bits: what a generator makes of them may change with NumPy.
  bits = np.random.Philox(key=seed % 2**64).random_raw(len(ids)).tolist()
  folds = np.empty(len(ids), np.int64)
  folds[order] = _deal(labels[order], num_folds, bits)
  return folds


def _deal(labels: np.ndarray, num_folds: int, bits: list[int]) -> list[int]:
  """Returns the fold of each row of labels [N, K]; bits [N] break ties."""
  of_row = [np.flatnonzero(row).tolist() for row in labels]
  counts = labels.sum(axis=0, dtype=np.int64)
  # How much each fold still wants, of each class and in all, times num_folds,
  # so that all are whole numbers.
  wanted = [counts.tolist() for _ in range(num_folds)]
  room = [len(labels)] * num_folds
  fold_of = [-1] * len(labels)

  def deal(rows, key):
    for row in rows:
      best = max(map(key, range(num_folds)))
      tied = [fold for fold in range(num_folds) if key(fold) == best]
      fold = fold_of[row] = tied[bits[row] % len(tied)]
      room[fold] -= num_folds
      for label in of_row[row]:
        wanted[fold][label] -= num_folds

  undealt = np.ones(len(labels), bool)
  while counts.any():
    rarest = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
    rows = np.flatnonzero(undealt & (labels[:, rarest] > 0))
    deal(rows.tolist(), lambda fold: (wanted[fold][rarest], room[fold]))  # pylint: disable=cell-var-from-loop
    undealt[rows] = False
    counts -= labels[rows].sum(axis=0, dtype=np.int64)
  deal(np.flatnonzero(undealt).tolist(), lambda fold: room[fold])
  return fold_of
