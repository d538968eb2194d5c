"""A test between two recipes, each trained with several seeds.

The null hypothesis: over other seeds and other images, the mean of a metric is
the same for both. Folds, and with them the training images, stay as they are.

Seeds and images are crossed: all networks predict the same held-out images. So
it is the design of reader studies, in which several readers see the same cases
(Obuchowski, Rockette, 1995). Seeds are the readers, nested in the recipes:
equal seeds of two recipes are not taken for a pair, since trainings that differ
in anything soon part. Where they do have something in common, p is too large.
The variance of the difference is

  s_a² / A + s_b² / B + max(0, c_a + c_b - 2 c_ab)

s² is the sample variance of the metric over the A or B seeds of a recipe. c_a
is the mean covariance of two seeds of a over images, c_ab that of a seed of a
and one of b, from a bootstrap of the images: what the images alone do, the same
in all seeds. The test is Student's t with the degrees of freedom of
Satterthwaite, which are few when seeds differ much: three seeds of each then
find large differences only.

Resampling the seeds themselves fails here: of three seeds a side, every draw
has the same sign in a tenth of the cases where there is no difference.

Source: Hillis, A marginal-mean ANOVA approach for analyzing multireader
multicase radiological imaging data, Statistics in Medicine 33, 2014, which
derives the test for readers nested in tests; Satterthwaite, An approximate
distribution of estimates of variance components, Biometrics Bulletin 2, 1946.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from trainer.scoring import bootstrap
from trainer.scoring import decision

_LEVEL = 0.95


def compare(labels: np.ndarray,
            a: Sequence[np.ndarray],
            b: Sequence[np.ndarray],
            folds: np.ndarray,
            *,
            threshold: decision.Threshold,
            groups: np.ndarray | None = None,
            repetitions: int,
            seed: int = 0) -> pd.DataFrame:
  """Returns differences of metrics between two recipes, and their p-values.

  Args:
    labels: [N, K] of 0 and 1.
    a: at least two [N, K] float, probabilities of a recipe's seeds.
    b: the same of the other recipe.
    folds: [N] int.
    threshold: as of decision.decide.
    groups: [N], equal where samples belong together; None: no groups.
    repetitions: of the bootstrap, at least 2.
    seed: of the resamples.

  Returns:
    Index: bootstrap.list_metrics(threshold). Columns: difference (a - b, mean
    over folds and seeds), low, high, the 95 % interval, and p_value, two-sided.
    NaN where the metric is undefined.

  Raises:
    ValueError: a recipe has a single seed, or a shape or value is wrong.
  """
  if min(len(a), len(b)) < 2:
    raise ValueError('Expected at least two seeds of each recipe, received '
                     f'{len(a)} and {len(b)}.')
  values = bootstrap.repeat(labels, [*a, *b], folds, threshold, groups,
                            repetitions, seed)
  rows = [
      _test(values[:len(a), metric], values[len(a):, metric])
      for metric in range(values.shape[1])
  ]
  return pd.DataFrame(rows, bootstrap.list_metrics(threshold),
                      ['difference', 'low', 'high', 'p_value'])


def _test(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, float]:
  """Returns the difference of one metric, its interval, and its p-value.

  Args:
    a: [A, 1 + R] float64, of each seed on all images, then on the resamples.
    b: [B, 1 + R] float64, of the other recipe.
  """
  difference = a[:, 0].mean() - b[:, 0].mean()
  resampled = np.concatenate([a, b])[:, 1:]
  resampled = resampled[:, np.isfinite(resampled).all(axis=0)]
  if np.isnan(difference) or resampled.shape[1] < 2:
    return np.nan, np.nan, np.nan, np.nan
  of_seeds = np.array([each[:, 0].var(ddof=1) / len(each) for each in (a, b)])
  variance = of_seeds.sum() + _share_of_images(np.cov(resampled), len(a))
  if not variance:  # the same networks
    return difference, difference, difference, float(not difference)
  freedom = np.array([len(a) - 1, len(b) - 1])
  inverse = (of_seeds**2 / freedom).sum() / variance**2  # 0: the normal one
  student = stats.t(1 / inverse if inverse else np.inf)
  error = np.sqrt(variance)
  reach = student.ppf((1 + _LEVEL) / 2) * error
  return (difference, difference - reach, difference + reach,
          2 * student.sf(abs(difference) / error))


def _share_of_images(covariances: np.ndarray, count: int) -> float:
  """Returns the variance of a difference that all seeds share.

  Args:
    covariances: [A + B, A + B] float64, of the seeds over resampled images.
    count: A, of the first recipe.
  """
  of_a, of_b = covariances[:count, :count], covariances[count:, count:]
  between = covariances[:count, count:].mean()
  within = sum((each.sum() - np.trace(each)) / (each.size - len(each))
               for each in (of_a, of_b))
  return max(0.0, within - 2 * between)
