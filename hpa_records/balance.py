"""Label matrix -> repeats: how often each image is drawn in an epoch.

The balance is a vector a record, not a set of copied files: copies made before
the folds are cut put the same image into training and validation (the paper's
Rods & rings has 63 true positives and 11 images), and another target would
mean another conversion. So the folds are cut first, and each held-out fold k
has repeats of its own, computed on the other folds alone.

A policy maps the labels of the training images to their repeats; POLICIES
names them all. none draws each image once. hybrid is the paper's, kept to
reproduce it: each class undoes what the ones before it did. On Kaggle's whole
table, target 500, 12 seeds, it draws 9,480 to 9,750 images, 80 % of the 31,072
are never seen, and Nucleoplasm takes most of the 11 Rods & rings images with
it, so that a survivor is drawn up to 500 times, or none survives.
"""

import numpy as np

from hpa_records import schema


def repeats(labels: np.ndarray,
            folds: np.ndarray,
            num_folds: int,
            policy: str,
            target: int = 500,
            seed: int = 0) -> np.ndarray:
  """Returns the expected draws of each record in an epoch, by held-out fold.

  A policy that draws at random does so by row: for a result that does not hang
  on the order of the input, pass the rows in an order of their own (convert
  passes them in hash order).

  Args:
    labels: [N, K] uint8 multi-hot.
    folds: [N] int64; a record outside 0..num_folds-1 is held out of no epoch.
    num_folds: number of columns of the result, F.
    policy: one of POLICIES.
    target: images a class that hybrid aims at, >= 1.
    seed: of the random draws; any integer.

  Returns:
    [N, F] float32, >= 0; [i, k] is 0 where folds[i] == k. Whole numbers for
    none and hybrid.

  Raises:
    schema.DataError: the policy is unknown, or target < 1.
  """
  if policy not in POLICIES:
    raise schema.DataError(f'Expected --balance to be one of '
                           f'{", ".join(POLICIES)}, received {policy!r}.')
  if target < 1:
    raise schema.DataError(
        f'Expected --balance_target >= 1, received {target}.')
  drawn = np.zeros([len(labels), num_folds], np.float32)
  for fold in range(num_folds):
    training = folds != fold
    # Counter-based and keyed by fold: a fold's draws do not depend on how many
    # the folds before it made.
    key = np.array([seed % 2**64, fold], np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    drawn[training, fold] = _COMPUTE[policy](labels[training], target, rng)
  return drawn


def summary(labels: np.ndarray,
            repeats_of_one_fold: np.ndarray) -> dict[str, float]:
  """Returns what a balance does to an epoch, in six figures.

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
    largest_repeat: the largest of the repeats.
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
        'largest_repeat': float(weights.max()),
        'effective_sample_size': float(weights.sum()**2 / (weights**2).sum()),
    }


def _draw_once(labels: np.ndarray, target: int,
               rng: np.random.Generator) -> np.ndarray:
  del target, rng  # The same for every policy; this one needs neither.
  return np.ones(len(labels), np.int64)


def _draw_hybrid(labels: np.ndarray, target: int,
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
    excess = len(copies) - target
    if excess > 0:
      gone = rng.choice(copies, excess, replace=False)
      counts -= np.bincount(gone, minlength=len(counts))
    elif len(members):
      added = rng.choice(members, -excess)
      counts += np.bincount(added, minlength=len(counts))
  return counts


_COMPUTE = {'none': _draw_once, 'hybrid': _draw_hybrid}
POLICIES = tuple(_COMPUTE)
