"""How far scores would move with other samples, and whether two runs differ.

A bootstrap: in each fold as many samples as it has are drawn with replacement
and scored anew, and each repetition is the mean over folds. Where samples
belong together (fields of one slide) whole groups are drawn instead, as many as
there are: their samples are alike, and counted as so many independent ones they
would make intervals too narrow. What is drawn comes in random order, as a
fold's records do, so the batches of 16 behind f1_paper mix as they did. Each
repetition is what metrics.score says of those rows; one that leaves a class
without positives leaves it out of the means.

Bounds are the 2.5 % and 97.5 % quantiles of the repetitions, moved to the value
itself where it lies outside them, as it may where few samples decide. Of a
class with a handful of positives an interval is too narrow, and that of a
perfect score has no width: read it beside the count. Means over classes as rare
as Kaggle's rarest inherit some of that; BUILD_NOTES.md, "Evaluation", says how
often intervals held the truth.

All this is about other samples for the same networks. That training again with
another seed moves scores as well is not in it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from hpa_records.format import spec
from trainer.scoring import metrics
from trainer.scoring import scores as scores_lib

SCORES = (*metrics.TITLES, 'f1_weighted', 'auc_micro')

_TAIL = 0.025
_ROWS_AT_ONCE = 2**18  # of all resamples held at a time: about 100 MB


def bootstrap(labels: np.ndarray,
              scores: np.ndarray,
              folds: np.ndarray,
              *,
              threshold: float | np.ndarray,
              groups: np.ndarray | None = None,
              repetitions: int,
              seed: int = 0) -> pd.DataFrame:
  """Returns the mean over folds of each headline score, and its interval.

  Args:
    labels: [N, K] of 0 and 1.
    scores: [N, K] float, probabilities.
    folds: [N] int.
    threshold: a class is predicted where its score is greater; one, or [K].
    groups: [N], alike where samples belong together; None: each by itself.
    repetitions: of the bootstrap, at least 1.
    seed: of the resamples.

  Returns:
    Index SCORES; columns value, low, high, the 95 % interval. NaN where the
    score is undefined.

  Raises:
    ValueError: a shape or value is wrong.

  Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
  """
  values, = _repeat(_score, labels, [scores], folds, threshold, groups,
                    repetitions, seed)
  low, high = _bound(values)
  return pd.DataFrame({'value': values[:, 0], 'low': low, 'high': high}, SCORES)


def bootstrap_classes(labels: np.ndarray,
                      scores: np.ndarray,
                      folds: np.ndarray,
                      *,
                      threshold: float | np.ndarray,
                      groups: np.ndarray | None = None,
                      repetitions: int,
                      seed: int = 0) -> pd.DataFrame:
  """Returns the interval of each class's ratios, means over folds that have it.

  Args, Raises: as bootstrap.

  Returns:
    Index: class numbers; of each of metrics.RATIOS <ratio>_low and
    <ratio>_high, the 95 % interval. NaN where no fold has the class.
  """
  values, = _repeat(_score_classes, labels, [scores], folds, threshold, groups,
                    repetitions, seed)
  low, high = _bound(values)
  table = pd.DataFrame(index=pd.RangeIndex(spec.NUM_CLASSES, name='class'))
  for i, ratio in enumerate(metrics.RATIOS):
    table[f'{ratio}_low'], table[f'{ratio}_high'] = low[i], high[i]
  return table


def compare(labels: np.ndarray,
            a: np.ndarray,
            b: np.ndarray,
            folds: np.ndarray,
            *,
            threshold: float | np.ndarray,
            groups: np.ndarray | None = None,
            repetitions: int,
            seed: int = 0) -> pd.DataFrame:
  """Returns by how much a scores higher than b on the same samples; a test.

  Paired: each repetition draws the same rows for both. p_value is two-sided,
  twice the share of repetitions on the less frequent side of 0, counting those
  at 0 on both and the value itself as one repetition: below 0.05 about where
  the interval leaves out 0, and never below 2 / (repetitions + 1).

  Args:
    labels: [N, K] of 0 and 1.
    a: [N, K] float, probabilities of one run.
    b: [N, K] float, of the other.
    folds: [N] int.
    threshold: a class is predicted where its score is greater; one, or [K].
    groups: [N], alike where samples belong together; None: each by itself.
    repetitions: of the bootstrap, at least 1.
    seed: of the resamples.

  Returns:
    Index SCORES; columns difference (a - b, mean over folds), low, high, the
    95 % interval, and p_value. NaN where the score is undefined.

  Raises:
    ValueError: a shape or value is wrong.

  Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13
  and 16; Davison, Hinkley, Bootstrap Methods and their Application, 1997,
  chapter 4, for counting the value in.
  """
  of_a, of_b = _repeat(_score, labels, [a, b], folds, threshold, groups,
                       repetitions, seed)
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
      }, SCORES)


_Ask = Callable[[scores_lib.Scorer, scores_lib.Draws], np.ndarray]


def _score(scorer: scores_lib.Scorer, draws: scores_lib.Draws) -> np.ndarray:
  """Returns SCORES of each resample, [S, R]."""
  found = scorer.score(draws)
  return np.stack([found[name] for name in SCORES])


def _score_classes(scorer: scores_lib.Scorer,
                   draws: scores_lib.Draws) -> np.ndarray:
  """Returns metrics.RATIOS of each class and resample, [5, K, R]."""
  found = scorer.score_classes(draws)
  return np.stack([found[name] for name in metrics.RATIOS])


def _repeat(ask: _Ask, labels: np.ndarray, runs: Sequence[np.ndarray],
            folds: np.ndarray, threshold: float | np.ndarray,
            groups: np.ndarray | None, repetitions: int,
            seed: int) -> np.ndarray:
  """Returns means over folds, [runs, ..., 1 + repetitions].

  First those of the rows as they are, then of the resamples, which are the
  same for all runs.

  Args:
    ask: Returns [..., R] of a fold's scorer and R resamples.
    labels: [N, K] of 0 and 1.
    runs: [N, K] float each.
    folds: [N] int.
    threshold: one, or [K].
    groups: [N], or None.
    repetitions: at least 1.
    seed: of the resamples.
  """
  if repetitions < 1:
    raise ValueError(f'Expected repetitions >= 1, received {repetitions}.')
  groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
  sizes = [len(each) for each in (labels, *runs, folds, groups)]
  if len(set(sizes)) > 1:
    raise ValueError('Expected labels, scores, folds and groups of as many '
                     f'samples each, received {sizes}.')
  by_fold = []
  for number in np.unique(folds):
    rows = np.flatnonzero(folds == number)
    scorers = [
        scores_lib.Scorer(labels[rows], scores[rows], threshold)
        for scores in runs
    ]
    rng = np.random.Generator(np.random.Philox(key=[seed, int(number)]))
    parts = [[ask(scorer, draws)
              for scorer in scorers]
             for draws in _draw(groups[rows], repetitions, rng)]
    by_fold.append(np.concatenate(parts, axis=-1))
  return scores_lib.mean_known(np.stack(by_fold))


def _draw(groups: np.ndarray, repetitions: int,
          rng: np.random.Generator) -> Iterator[scores_lib.Draws]:
  """Yields all rows as they are, then the resamples, some at a time.

  Args:
    groups: [N], of which whole ones are drawn.
    repetitions: how many resamples in all.
    rng: asked for one resample after another, so however many at a time.
  """
  count = len(groups)
  yield scores_lib.Draws.of([np.arange(count)], count)
  _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
  order = np.argsort(numbers, kind='stable')  # group after group
  starts = np.cumsum(sizes) - sizes
  at_once = max(1, _ROWS_AT_ONCE // count)
  for done in range(0, repetitions, at_once):
    yield scores_lib.Draws.of([
        _draw_one(order, starts, sizes, rng)
        for _ in range(min(at_once, repetitions - done))
    ], count)


def _draw_one(order: np.ndarray, starts: np.ndarray, sizes: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:
  """Returns the rows of as many groups as there are, drawn with replacement.

  Args:
    order: [N] int, rows group after group.
    starts: [G] int, where a group begins in order.
    sizes: [G] int, of the groups.
    rng: of the draw, and of the order in which rows come.
  """
  drawn = rng.integers(len(sizes), size=len(sizes))
  lengths = sizes[drawn]
  ends = np.cumsum(lengths)
  shifts = np.repeat(starts[drawn] - (ends - lengths), lengths)
  return rng.permutation(order[np.arange(ends[-1]) + shifts])


def _bound(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the bounds of values, first of [..., 1 + R], from the others."""
  value, resampled = values[..., 0], values[..., 1:]
  known = np.isfinite(resampled).any(axis=-1)
  resampled = np.where(known[..., np.newaxis], resampled, 0)
  low, high = np.nanquantile(resampled, [_TAIL, 1 - _TAIL], axis=-1)
  return (np.where(known, np.minimum(low, value),
                   np.nan), np.where(known, np.maximum(high, value), np.nan))
