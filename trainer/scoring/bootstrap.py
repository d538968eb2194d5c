"""Confidence intervals of metrics, and paired tests between two runs.

In each fold as many samples as it has are drawn with replacement and evaluated
again; each repetition is the mean over folds. Where samples belong together
(fields of one slide), whole groups are drawn: their samples are alike, and
drawing them one by one would make intervals too narrow. The draws are in random
order, as a fold's records are, so the batches of 16 behind f1_paper mix in the
same way. A class without positives in a repetition is left out of its means.

Bounds are the 2.5 % and 97.5 % quantiles of the repetitions, widened to include
the value itself where it lies outside them. The interval of a class with a
handful of positives is too narrow, and a perfect metric has no width: read it
beside the count. Means over rare classes inherit some of that; BUILD_NOTES.md,
"Evaluation", has the measured coverage.

The intervals cover the choice of samples for the same networks, not the
variation between training seeds; seed_test.py knows both.
"""

from collections.abc import Callable, Iterator, Sequence
import functools

import numpy as np
import pandas as pd

from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.scoring import ranking
from trainer.scoring import resample
from trainer.scoring import scorer as scorer_lib

_MORE_METRICS = ('f1_weighted', 'auc_micro')

_TAIL = 0.025
_ROWS_AT_ONCE = 2**18  # of the resamples in memory: about 100 MB


def list_metrics(threshold: decision.Threshold) -> tuple[str, ...]:
  """Returns the names of the metrics that have intervals and tests.

  Args:
    threshold: of the run.
  """
  return (*metrics.choose_titles(threshold), *_MORE_METRICS)


def bootstrap(labels: np.ndarray,
              predictions: np.ndarray,
              folds: np.ndarray,
              *,
              threshold: decision.Threshold,
              groups: np.ndarray | None = None,
              repetitions: int,
              seed: int = 0) -> pd.DataFrame:
  """Returns the mean over folds of each headline metric, and its interval.

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float, probabilities.
    folds: [N] int.
    threshold: as of decision.decide.
    groups: [N], equal where samples belong together; None: no groups.
    repetitions: of the bootstrap, at least 1.
    seed: of the resamples.

  Returns:
    Index: list_metrics(threshold). Columns: value, low, high, the 95 %
    interval. NaN where the metric is undefined.

  Raises:
    ValueError: a shape or value is wrong.

  Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
  """
  values, = repeat(labels, [predictions], folds, threshold, groups, repetitions,
                   seed)
  low, high = _bound(values)
  return pd.DataFrame({
      'value': values[:, 0],
      'low': low,
      'high': high
  }, list_metrics(threshold))


def bootstrap_classes(labels: np.ndarray,
                      predictions: np.ndarray,
                      folds: np.ndarray,
                      *,
                      threshold: decision.Threshold,
                      groups: np.ndarray | None = None,
                      repetitions: int,
                      seed: int = 0) -> pd.DataFrame:
  """Returns the intervals of each class's ratios, means over folds.

  Args, Raises: as bootstrap.

  Returns:
    Index: class numbers; columns <ratio>_low and <ratio>_high for each of
    metrics.RATIOS, the 95 % interval of the mean over the folds that have the
    class. NaN where no fold has it.
  """
  values, = _repeat(_compute_classes, labels, [predictions], folds, threshold,
                    groups, repetitions, seed)
  low, high = _bound(values)
  table = pd.DataFrame(index=pd.RangeIndex(labels.shape[1], name='class'))
  for i, ratio in enumerate(metrics.RATIOS):
    table[f'{ratio}_low'], table[f'{ratio}_high'] = low[i], high[i]
  return table


def compare(labels: np.ndarray,
            a: np.ndarray,
            b: np.ndarray,
            folds: np.ndarray,
            *,
            threshold: decision.Threshold,
            groups: np.ndarray | None = None,
            repetitions: int,
            seed: int = 0) -> pd.DataFrame:
  """Returns differences of metrics between two runs, and their p-values.

  A paired bootstrap: each repetition draws the same rows for both. p_value is
  two-sided: twice the share of repetitions on the less frequent side of 0.
  Repetitions at 0 count on both sides, and the value itself counts as one
  repetition, so p_value is at least 2 / (repetitions + 1).

  Args:
    labels: [N, K] of 0 and 1.
    a: [N, K] float, probabilities of one run.
    b: [N, K] float, of the other.
    folds: [N] int.
    threshold: as of decision.decide.
    groups: [N], equal where samples belong together; None: no groups.
    repetitions: of the bootstrap, at least 1.
    seed: of the resamples.

  Returns:
    Index: list_metrics(threshold). Columns: difference (a - b, mean over
    folds), low, high, the 95 % interval, and p_value. NaN where the metric is
    undefined.

  Raises:
    ValueError: a shape or value is wrong.

  Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13
  and 16; Davison, Hinkley, Bootstrap Methods and their Application, 1997,
  chapter 4, for counting the value as a repetition.
  """
  of_a, of_b = repeat(labels, [a, b], folds, threshold, groups, repetitions,
                      seed)
  differences = of_a - of_b
  low, high = _bound(differences)
  known = np.isfinite(differences[:, 1:]).sum(axis=1)
  rarer = np.minimum((differences[:, 1:] <= 0).sum(axis=1), (differences[:, 1:]
                                                             >= 0).sum(axis=1))
  p_value = np.minimum(1, 2 * (rarer + 1) / (known + 1))
  return pd.DataFrame(
      {
          'difference': differences[:, 0],
          'low': low,
          'high': high,
          'p_value': np.where(np.isfinite(low), p_value, np.nan)
      }, list_metrics(threshold))


def repeat(labels: np.ndarray, runs: Sequence[np.ndarray], folds: np.ndarray,
           threshold: decision.Threshold, groups: np.ndarray | None,
           repetitions: int, seed: int) -> np.ndarray:
  """Returns the metrics of runs on the same resamples, means over folds.

  Args:
    labels: [N, K] of 0 and 1.
    runs: [N, K] float each, probabilities.
    folds: [N] int.
    threshold: as of decision.decide.
    groups: [N], equal where samples belong together; None: no groups.
    repetitions: of the bootstrap, at least 1.
    seed: of the resamples.

  Returns:
    [runs, M, 1 + repetitions] float64, M as of list_metrics. The first is of
    all rows as they are. NaN where a metric is undefined.

  Raises:
    ValueError: a shape or value is wrong.
  """
  return _repeat(functools.partial(_compute, list_metrics(threshold)), labels,
                 runs, folds, threshold, groups, repetitions, seed)


_Compute = Callable[[scorer_lib.Scorer, resample.Draws], np.ndarray]


def _compute(names: Sequence[str], scorer: scorer_lib.Scorer,
             draws: resample.Draws) -> np.ndarray:
  """Returns the named metrics of each resample, [S, R]."""
  found = scorer.compute(draws)
  return np.stack([found[name] for name in names])


def _compute_classes(scorer: scorer_lib.Scorer,
                     draws: resample.Draws) -> np.ndarray:
  """Returns metrics.RATIOS of each class and resample, [5, K, R]."""
  found = scorer.compute_classes(draws)
  return np.stack([found[name] for name in metrics.RATIOS])


def _repeat(compute: _Compute, labels: np.ndarray, runs: Sequence[np.ndarray],
            folds: np.ndarray, threshold: decision.Threshold,
            groups: np.ndarray | None, repetitions: int,
            seed: int) -> np.ndarray:
  """Returns means over folds, [runs, ..., 1 + repetitions] float64.

  The first is of all rows as they are, the others of the resamples, which are
  the same for all runs.

  Args:
    compute: returns [..., R] for a fold's scorer and R resamples.
    labels, runs, folds, threshold, groups, repetitions, seed: as of repeat.
  """
  if repetitions < 1:
    raise ValueError(f'Expected repetitions >= 1, received {repetitions}.')
  groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
  sizes = [len(each) for each in (labels, *runs, folds, groups)]
  if len(set(sizes)) > 1:
    raise ValueError(
        'Expected labels, predictions, folds and groups of the same '
        f'length, received {sizes}.')
  total, known = 0.0, 0
  for number in np.unique(folds):
    rows = np.flatnonzero(folds == number)
    scorers = [
        scorer_lib.Scorer(labels[rows], predictions[rows], threshold)
        for predictions in runs
    ]
    rng = np.random.Generator(np.random.Philox(key=[seed, int(number)]))
    parts = [[compute(scorer, draws)
              for scorer in scorers]
             for draws in _draw(groups[rows], repetitions, rng)]
    # Many classes have large arrays: one fold's are in memory at a time.
    values = np.concatenate(parts, axis=-1)
    is_known = np.isfinite(values)
    total += np.where(is_known, values, 0)
    known += is_known
  return ranking.divide(total, known, np.nan)


def _draw(groups: np.ndarray, repetitions: int,
          rng: np.random.Generator) -> Iterator[resample.Draws]:
  """Yields all rows as they are, then the resamples, in parts.

  Args:
    groups: [N], drawn as a whole.
    repetitions: the number of resamples.
    rng: draws one resample after another, so its draws do not depend on the
      size of the parts.
  """
  count = len(groups)
  yield resample.Draws.of([np.arange(count)], count)
  _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
  order = np.argsort(numbers, kind='stable')  # rows sorted by group
  starts = np.cumsum(sizes) - sizes
  at_once = max(1, _ROWS_AT_ONCE // count)
  for done in range(0, repetitions, at_once):
    yield resample.Draws.of([
        _draw_one(order, starts, sizes, rng)
        for _ in range(min(at_once, repetitions - done))
    ], count)


def _draw_one(order: np.ndarray, starts: np.ndarray, sizes: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:
  """Returns the rows of G groups drawn with replacement, in random order.

  Args:
    order: [N] int, rows sorted by group.
    starts: [G] int, where a group begins in order.
    sizes: [G] int, of the groups.
    rng: of the draw and of the order.
  """
  drawn = rng.integers(len(sizes), size=len(sizes))
  lengths = sizes[drawn]
  ends = np.cumsum(lengths)
  shifts = np.repeat(starts[drawn] - (ends - lengths), lengths)
  return rng.permutation(order[np.arange(ends[-1]) + shifts])


def _bound(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the bounds of the first of values [..., 1 + R] from the others."""
  value, resampled = values[..., 0], values[..., 1:]
  known = np.isfinite(resampled).any(axis=-1)
  resampled = np.where(known[..., np.newaxis], resampled, 0)
  low, high = np.nanquantile(resampled, [_TAIL, 1 - _TAIL], axis=-1)
  return (np.where(known, np.minimum(low, value),
                   np.nan), np.where(known, np.maximum(high, value), np.nan))
