"""Label matrix -> repeats: how often each image is drawn in an epoch.

The balance is a vector a record, not a set of copied files: copies made before
the folds are cut put the same image into training and validation (the paper's
Rods & rings has 63 true positives and 11 images), and another target would
mean another conversion. So the folds are cut first, and each held-out fold k
has repeats of its own, computed on the other folds alone.

  none       each image once.
  hybrid     the paper's: one pass over the classes, each brought to the target
             by copies or removals at random. Later classes undo what earlier
             ones did, and removing Nucleoplasm removes most of the 11 Rods &
             rings images with it. Kept to reproduce it.
  protected  the same means, no damage: copies spread evenly over a rare class;
             an image is removed only if none of its classes falls below the
             target.
  table      the largest of its labels' factors, as was usual on Kaggle.
  exact      class totals within a tolerance of the target, and of all such
             repeats the most even ones (exact_balance).

BUILD_NOTES.md, "Balance", has what each does to the real table.
"""

from typing import Sequence

import numpy as np

from hpa_records.format import ordering
from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import exact_balance
from hpa_records.sampling import label_set


def repeats(ids: Sequence[str],
            labels: np.ndarray,
            folds: np.ndarray,
            num_folds: int,
            balance: balance_lib.Balance,
            seed: int = 0) -> np.ndarray:
  """Returns the expected draws of each record in an epoch, by held-out fold.

  The order of the rows decides nothing: where a policy draws at random, it
  does so in the order of the ids' salted hash.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot.
    folds: [N] int64; a record outside 0..num_folds-1 is held out of no epoch.
    num_folds: number of columns of the result, F.
    balance: what to compute.
    seed: of the random draws, 0..spec.MAX_SEED.

  Returns:
    [N, F] float32, >= 0; [i, k] is 0 where folds[i] == k. Whole numbers for
    none, hybrid and protected. With exact at least spec.LEAST_REPEATS for
    every training image. A class without training images has no draws and
    hinders no other; an image without labels is drawn once; under exact, totals
    that bounds or other classes forbid are as near as least squares gets them.

  Raises:
    errors.DataError: an epoch would have more draws than max_draws allows, or
      the seed is out of range.
  """
  order = ordering.hash_order(ids, seed)
  drawn = np.empty([len(labels), num_folds], np.float32)
  for fold in range(num_folds):
    drawn[order, fold] = _for_fold(labels[order], folds[order], fold, balance,
                                   seed)
  return drawn


def repeats_of_fold(ids: Sequence[str], labels: np.ndarray, folds: np.ndarray,
                    fold: int, balance: balance_lib.Balance,
                    seed: int) -> np.ndarray:
  """Returns one column of repeats, [N] float32; arguments and errors are the
  same."""
  order = ordering.hash_order(ids, seed)
  drawn = np.empty(len(labels), np.float32)
  drawn[order] = _for_fold(labels[order], folds[order], fold, balance, seed)
  return drawn


def summary(labels: np.ndarray,
            repeats_of_one_fold: np.ndarray) -> dict[str, float]:
  """Returns what a balance does to an epoch, in seven figures.

  Args:
    labels: [N, K] uint8 multi-hot, of the training images only: one that is
      held out would count as never seen.
    repeats_of_one_fold: [N] float32, >= 0, a column of repeats().

  Returns:
    images_drawn: sum of the repeats.
    largest_over_smallest: largest class total by the smallest, over classes
      that have an image; infinite where one of them is never drawn.
    variation: standard deviation of those class totals by their mean.
    never_seen: share of the images with repeats 0.
    least_repeat: the smallest of the repeats.
    largest_repeat: the largest.
    effective_sample_size: (sum r)^2 / sum r^2, N where all are drawn alike.
  """
  weights = repeats_of_one_fold.astype(np.float64)
  totals = (weights @ labels)[labels.any(axis=0)]
  with np.errstate(divide='ignore', invalid='ignore'):
    return {
        'images_drawn': float(weights.sum()),
        'largest_over_smallest': float(totals.max() / totals.min()),
        'variation': float(totals.std() / totals.mean()),
        'never_seen': float((weights == 0).mean()),
        'least_repeat': float(weights.min()),
        'largest_repeat': float(weights.max()),
        'effective_sample_size': float(weights.sum()**2 / (weights**2).sum()),
    }


def max_draws(num_records: int) -> float:
  """Returns how many draws an epoch of so many records may have.

  What an epoch's plan takes in memory, some 50 bytes a draw, is bounded by it:
  repeats and the settings that make them come from files of others, too. It
  is far above what is of use: Kaggle's 31,072 images and 28 classes reach it
  with a target of 147,000, where the paper's is 500.
  """
  return 100 * num_records + 10**6


def _check_draws(labels: np.ndarray, balance: balance_lib.Balance) -> None:
  """Refuses, before it is computed, a column with too many draws.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.
    balance: what is to be computed.

  Raises:
    errors.DataError: each class at the target could need too many.
  """
  if balance.policy == 'table':
    draws = _draw_by_table(labels, balance, None).sum()
  elif balance.policy == 'none':
    draws = len(labels)
  else:
    draws = len(labels) + balance.target * int(labels.any(axis=0).sum())
  if draws > max_draws(len(labels)):
    raise errors.DataError(
        f'An epoch with --balance={balance.policy}, --balance_target='
        f'{balance.target} and --balance_factors={balance.factors} could have '
        f'{draws:,.0f} draws of {len(labels):,} training images; at most '
        f'{max_draws(len(labels)):,.0f} are allowed. Choose smaller values.')


def _for_fold(labels: np.ndarray, folds: np.ndarray, fold: int,
              balance: balance_lib.Balance, seed: int) -> np.ndarray:
  """The column of one fold; rows in the order in which they are drawn."""
  drawn = np.zeros(len(labels))
  training = folds != fold
  # Counter-based and keyed by fold: a fold's draws do not depend on how many
  # the folds before it made.
  key = np.array([spec.require_seed(seed), fold], np.uint64)
  rng = np.random.Generator(np.random.Philox(key=key))
  if training.any():
    _check_draws(labels[training], balance)
    drawn[training] = _COMPUTE[balance.policy](labels[training], balance, rng)
  return drawn


def _draw_once(labels: np.ndarray, balance: balance_lib.Balance,
               rng: np.random.Generator) -> np.ndarray:
  del balance, rng  # The same for every policy; this one needs neither.
  return np.ones(len(labels))


def _draw_hybrid(labels: np.ndarray, balance: balance_lib.Balance,
                 rng: np.random.Generator) -> np.ndarray:
  """Returns [n] int64 copies of each image after one pass over the classes.

  A class under the target gets duplicates of its images, drawn at random with
  replacement; one over it loses copies at random. Later classes disturb earlier
  ones, and nothing is repaired. The paper does not say whether an image that
  an earlier class removed may be duplicated. Here it may: otherwise the one
  survivor of a rare class is drawn up to 500 times, or the class stays empty
  (10 of 60 held-out folds), far from what the paper shows.

  Source: Al-joudi & Arif, CMC 76(2), 2023, section 3.2, with the sign of its
  condition put right (as printed, large classes would be oversampled).
  """
  counts = np.ones(len(labels), np.int64)
  for one_class in labels.T:
    members = np.flatnonzero(one_class)
    copies = np.repeat(members, counts[members])
    excess = len(copies) - balance.target
    if excess > 0:
      gone = rng.choice(copies, excess, replace=False)
      counts -= np.bincount(gone, minlength=len(counts))
    elif len(members):
      added = rng.choice(members, -excess)
      counts += np.bincount(added, minlength=len(counts))
  return counts


def _draw_protected(labels: np.ndarray, balance: balance_lib.Balance,
                    rng: np.random.Generator) -> np.ndarray:
  """Returns [n] int64 copies: rare classes raised evenly, then others thinned.

  Raising goes from the rarest class on, whose copies count for the next. What
  a class still lacks is dealt to its images by divmod, the remainder to a
  random choice of them. Then images are looked at once in random order, and
  one goes if each of its classes stays at the target or above. So no image of
  a class of at most the target goes, every class ends at the target or above
  it, and none of those above it has an image left that could have gone.
  """
  counts = np.ones(len(labels), np.int64)
  images = labels.sum(axis=0, dtype=np.int64)
  for one_class in np.argsort(images, kind='stable'):
    members = np.flatnonzero(labels[:, one_class])
    lacking = balance.target - counts[members].sum()
    if len(members) and lacking > 0:
      each, rest = divmod(lacking, len(members))
      counts[members] += each
      counts[rng.choice(members, rest, replace=False)] += 1
  totals = (counts @ labels.astype(np.int64)).tolist()
  is_rare = labels[:, images <= balance.target].any(axis=1)
  others = rng.permutation(np.flatnonzero(~is_rare & labels.any(axis=1)))
  sets, numbers = label_set.find(labels[others])
  classes_of_set = [np.flatnonzero(row).tolist() for row in sets]
  for i, number in zip(others.tolist(), numbers.tolist()):
    classes = classes_of_set[number]  # such an image has one copy
    if all(totals[k] > balance.target for k in classes):
      for k in classes:
        totals[k] -= 1
      counts[i] = 0
  return counts


def _draw_by_table(labels: np.ndarray, balance: balance_lib.Balance,
                   rng: np.random.Generator) -> np.ndarray:
  del rng
  factors = balance.factor_of_class()
  drawn = (labels * factors).max(axis=1)
  return np.where(labels.any(axis=1), drawn, 1.0)


def _draw_exactly(labels: np.ndarray, balance: balance_lib.Balance,
                  rng: np.random.Generator) -> np.ndarray:
  del rng
  sets, numbers = label_set.find(labels)
  counts = np.bincount(numbers)
  drawn, labelled = np.ones(len(sets)), sets.any(axis=1)
  if labelled.any():
    drawn[labelled] = exact_balance.solve(sets[labelled], counts[labelled],
                                          balance.target, balance.tolerance,
                                          spec.LEAST_REPEATS,
                                          balance.max_repeat or np.inf)
  return drawn[numbers]


_COMPUTE = {
    'none': _draw_once,
    'hybrid': _draw_hybrid,
    'protected': _draw_protected,
    'table': _draw_by_table,
    'exact': _draw_exactly,
}
