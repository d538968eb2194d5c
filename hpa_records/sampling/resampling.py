"""Repeats of each image (expected draws in an epoch) from the label matrix.

Images are not copied before the split into folds: that puts copies of one image
into both training and validation (the paper reports 63 true positives for Rods
& rings, which has 11 images). Here each held-out fold k has its own repeats,
computed from the other folds only.

  none       each image once.
  hybrid     as in the paper: one pass over the classes, each brought to the
             target by random copies or removals. Later classes undo earlier
             ones, and removing Nucleoplasm removes most of the 11 Rods & rings
             images. Kept to reproduce the paper.
  protected  copies spread evenly over a rare class; an image is removed only
             if none of its classes falls below the target.
  table      the largest of its labels' factors, as usual on Kaggle.
  exact      class totals within a tolerance of the target, as evenly over
             images as possible (exact_balance).
  mlros      random copies of images of the rare labels (cloning).
  lpros      random copies of images of the rare label sets (cloning).
  rana       extra draws of the rarest classes, by tiers (tier).

BUILD_NOTES.md, "Balance", compares them on the real table.
"""

from typing import Sequence

import numpy as np

from hpa_records.format import ordering
from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import cloning
from hpa_records.sampling import exact_balance
from hpa_records.sampling import imbalance
from hpa_records.sampling import label_set
from hpa_records.sampling import tier


def repeats(ids: Sequence[str],
            labels: np.ndarray,
            folds: np.ndarray,
            num_folds: int,
            balance: balance_lib.Balance,
            seed: int = 0) -> np.ndarray:
  """Returns the expected draws of each record in an epoch, by held-out fold.

  The result does not depend on the order of the rows.

  Args:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot.
    folds: [N] int64; a record outside 0..num_folds-1 is never held out.
    num_folds: F, number of columns of the result.
    balance: the policy and its settings.
    seed: of the random draws, 0..spec.MAX_SEED.

  Returns:
    [N, F] float32, >= 0; [i, k] is 0 where folds[i] == k. none, hybrid,
    protected, mlros and lpros give integers. exact gives each training image at
    least spec.LEAST_REPEATS; totals that are not feasible are a least-squares
    fit. An image without labels is drawn once.

  Raises:
    errors.DataError: an epoch would have more draws than max_draws allows, the
      seed is out of range, or the factors are not those of the classes.
  """
  balance.check_classes(labels.shape[1])
  order = ordering.hash_order(ids, seed)  # for policies that draw at random
  drawn = np.empty([len(labels), num_folds], np.float32)
  for fold in range(num_folds):
    drawn[order, fold] = _for_fold(labels[order], folds[order], fold, balance,
                                   seed)
  return drawn


def repeats_of_fold(ids: Sequence[str], labels: np.ndarray, folds: np.ndarray,
                    fold: int, balance: balance_lib.Balance,
                    seed: int) -> np.ndarray:
  """Returns one column of repeats, [N] float32.

  Args and errors: as in repeats; fold is the column.
  """
  balance.check_classes(labels.shape[1])
  order = ordering.hash_order(ids, seed)
  drawn = np.empty(len(labels), np.float32)
  drawn[order] = _for_fold(labels[order], folds[order], fold, balance, seed)
  return drawn


def summary(labels: np.ndarray,
            repeats_of_one_fold: np.ndarray) -> dict[str, float]:
  """Returns nine statistics of a balanced epoch.

  Args:
    labels: [N, K] uint8 multi-hot, of the training images only.
    repeats_of_one_fold: [N] float32, >= 0, a column of repeats.

  Returns:
    images_drawn: sum of the repeats.
    largest_over_smallest: largest class total divided by the smallest, over
      classes that have an image; infinite if one of them is never drawn, NaN
      if there are none. It is the largest IRLbl.
    mean_ir: MeanIR of those classes, likewise infinite or NaN.
    scumble: mean SCUMBLE of the draws.
    variation: standard deviation of those class totals divided by their mean;
      NaN if there are none.
    never_seen: fraction of the images with repeats 0.
    least_repeat: smallest of the repeats.
    largest_repeat: largest of the repeats.
    effective_sample_size: (sum r)^2 / sum r^2; N if all repeats are equal.
  """
  weights = repeats_of_one_fold.astype(np.float64)
  totals = label_set.totals(labels, weights)[labels.any(axis=0)]
  totals = totals if totals.size else np.zeros(1)
  found = imbalance.measure(labels, weights)
  with np.errstate(divide='ignore', invalid='ignore'):
    return {
        'images_drawn': float(weights.sum()),
        'largest_over_smallest': float(totals.max() / totals.min()),
        'mean_ir': found.mean,
        'scumble': float(found.scumble(labels) @ weights / weights.sum()),
        'variation': float(totals.std() / totals.mean()),
        'never_seen': float((weights == 0).mean()),
        'least_repeat': float(weights.min()),
        'largest_repeat': float(weights.max()),
        'effective_sample_size': float(weights.sum()**2 / (weights**2).sum()),
    }


def scale_to_classes(repeats_of_one_fold: np.ndarray, labels: np.ndarray,
                     class_draws: int) -> np.ndarray:
  """Returns repeats whose sum is class_draws for each class that is drawn.

  Args:
    repeats_of_one_fold: [N] float32, one of them above 0.
    labels: [N, K] uint8 multi-hot.
    class_draws: the setting; 0 keeps the repeats.

  Raises:
    errors.DataError: an epoch would have more draws than max_draws.
  """
  if not class_draws:
    return repeats_of_one_fold
  drawn = labels[repeats_of_one_fold > 0]
  draws = class_draws * max(1, int(drawn.any(axis=0).sum()))
  most = max_draws(len(drawn))
  if draws > most:
    raise errors.DataError(
        f'Too many draws: an epoch with --class_draws={class_draws} would have '
        f'{draws:,} draws of {len(drawn):,} training images, at most '
        f'{most:,} are allowed; choose a smaller value.')
  factor = draws / repeats_of_one_fold.sum(dtype=float)
  return (repeats_of_one_fold * factor).astype(np.float32)


def max_draws(num_records: int) -> float:
  """Returns the largest allowed number of draws in an epoch of num_records."""
  # Bounds the memory of an epoch's plan, some 50 bytes a draw, since repeats
  # and settings may come from untrusted files. Kaggle's 31,072 images reach it
  # with a target of 147,000; the paper's is 500.
  return 100 * num_records + 10**6


def _check_draws(labels: np.ndarray, balance: balance_lib.Balance) -> None:
  """Checks that a column cannot have too many draws, before it is computed.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.
    balance: the policy and its settings.

  Raises:
    errors.DataError: the epoch could have more draws than max_draws.
  """
  if balance.policy == 'table':
    draws = _draw_by_table(labels, balance, None).sum()
  elif balance.policy in ('none', 'rana'):
    draws = 2 * len(labels)
  elif balance.policy in balance_lib.CLONING:
    draws = len(labels) * (1 + balance.percent / 100)
  else:
    draws = len(labels) + balance.target * int(labels.any(axis=0).sum())
  if draws > max_draws(len(labels)):
    raise errors.DataError(
        f'Too many draws: an epoch with --balance={balance.policy}, '
        f'--balance_target={balance.target} and --balance_factors='
        f'{balance.factors} could have {draws:,.0f} draws of {len(labels):,} '
        f'training images, at most {max_draws(len(labels)):,.0f} are allowed; '
        'choose smaller values.')


def _for_fold(labels: np.ndarray, folds: np.ndarray, fold: int,
              balance: balance_lib.Balance, seed: int) -> np.ndarray:
  """Returns the column of one fold; rows in hash order."""
  drawn = np.zeros(len(labels))
  training = folds != fold
  # Keyed by fold, so that its draws do not depend on those of other folds.
  key = np.array([spec.require_seed(seed), fold], np.uint64)
  rng = np.random.Generator(np.random.Philox(key=key))
  if training.any():
    _check_draws(labels[training], balance)
    drawn[training] = _COMPUTE[balance.policy](labels[training], balance, rng)
  return drawn


def _draw_once(labels: np.ndarray, balance: balance_lib.Balance,
               rng: np.random.Generator) -> np.ndarray:
  del balance, rng  # The policies share one signature.
  return np.ones(len(labels))


def _draw_hybrid(labels: np.ndarray, balance: balance_lib.Balance,
                 rng: np.random.Generator) -> np.ndarray:
  """Returns [n] int64 copies of each image after one pass over the classes.

  A class below the target gets copies of its images, drawn at random with
  replacement; a class above it loses copies at random.

  Source: Al-joudi & Arif, CMC 76(2), 2023, section 3.2, with the sign of its
  condition corrected (as printed, large classes would be oversampled).
  """
  # The paper does not say whether an image that an earlier class removed may be
  # copied again. Here it may: otherwise the last image of a rare class is drawn
  # up to 500 times, or the class stays empty (10 of 60 held-out folds), unlike
  # the paper's figures.
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
  """Returns [n] int64 copies: rare classes oversampled, others undersampled.

  Classes are oversampled from the rarest on. What a class lacks is spread
  evenly over its images, the remainder over a random choice of them. Then each
  image, in random order, is removed if all its classes stay at the target or
  above. So no image of a class of at most the target is removed, and each class
  ends at the target or above.
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
  totals = np.rint(label_set.totals(labels, counts)).astype(int).tolist()
  is_rare = labels[:, images <= balance.target].any(axis=1)
  others = rng.permutation(np.flatnonzero(~is_rare & labels.any(axis=1)))
  sets, numbers = label_set.find(labels[others])
  classes_of_set = [np.flatnonzero(row).tolist() for row in sets]
  for i, number in zip(others.tolist(), numbers.tolist()):
    classes = classes_of_set[number]  # each of these images has one copy
    if all(totals[k] > balance.target for k in classes):
      for k in classes:
        totals[k] -= 1
      counts[i] = 0
  return counts


def _draw_by_table(labels: np.ndarray, balance: balance_lib.Balance,
                   rng: np.random.Generator) -> np.ndarray:
  del rng
  factors = balance.factor_of_class(labels.shape[1])
  drawn = np.ones(len(labels))
  for factor in np.unique(factors):  # ascending, so the largest is kept
    drawn[labels[:, factors == factor].any(axis=1)] = factor
  return drawn


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


def _clone_labels(labels: np.ndarray, balance: balance_lib.Balance,
                  rng: np.random.Generator) -> np.ndarray:
  return cloning.clone_labels(labels, balance.percent, rng)


def _clone_sets(labels: np.ndarray, balance: balance_lib.Balance,
                rng: np.random.Generator) -> np.ndarray:
  return cloning.clone_sets(labels, balance.percent, rng)


def _draw_by_tier(labels: np.ndarray, balance: balance_lib.Balance,
                  rng: np.random.Generator) -> np.ndarray:
  del balance, rng
  return tier.draw(labels)


_COMPUTE = {
    'none': _draw_once,
    'hybrid': _draw_hybrid,
    'protected': _draw_protected,
    'table': _draw_by_table,
    'exact': _draw_exactly,
    'mlros': _clone_labels,
    'lpros': _clone_sets,
    'rana': _draw_by_tier,
}
