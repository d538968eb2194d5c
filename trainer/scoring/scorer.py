"""Labels, predictions and a threshold to every metric, for resamples of rows.

All counting happens here: metrics evaluates all rows once, bootstrap thousands
of resamples. A resample is the weight of each row, so counts are matrix
products and areas are weighted sums (ranking.py).

A class without positives is left out of macro and weighted means; the mean over
no class is NaN. Other divisions by zero give 0, as scikit-learn's
zero_division=0.
"""

from collections.abc import Sequence
import functools

import numpy as np
from scipy import sparse

from trainer.scoring import decision
from trainer.scoring import ranking
from trainer.scoring import resample

PAPER_BATCH = 16
RATIOS = ('f1', 'precision', 'recall')
AVERAGES = ('macro', 'micro', 'samples', 'paper', 'weighted')
_ACCURACIES = ('accuracy_binary', 'accuracy_subset', 'accuracy_argmax')
LOG_LOSS = 'log_loss'


class Scorer:
  """Computes metrics of any resamples; counts and sorts the rows once.

  They are sorted when a metric needs it: F1 does not.
  """

  def __init__(self, labels: np.ndarray, predictions: np.ndarray,
               threshold: decision.Threshold):
    """Counts the rows.

    Args:
      labels: [N, K] of 0 and 1, N >= 1, K >= 1; one 1 a row without threshold.
      predictions: [N, K] float, finite.
      threshold: as of decision.decide.

    Raises:
      ValueError: a shape or value is wrong.
    """
    labels, predictions = _check(labels, predictions, threshold is None)
    self._labels, self._predictions = labels, predictions
    predicted = decision.decide(predictions, threshold)
    decisions = np.stack([labels & predicted, labels, predicted])
    self._decisions = _to_sparse(decisions.transpose(0, 2, 1))
    self._by_row = decisions.sum(axis=2).T
    match = labels == predicted
    top = np.argmax(labels, axis=1) == np.argmax(predictions, axis=1)
    by_row = [
        *_divide_counts(*self._by_row.T).values(),
        match.mean(axis=1),
        match.all(axis=1),
        top,
    ]
    self._row_names = [*(f'{ratio}_samples' for ratio in RATIOS), *_ACCURACIES]
    self._means = list(_ACCURACIES)
    if threshold is None:
      by_row.append(_log_loss(labels, predictions))
      self._row_names.append(LOG_LOSS)
      self._means.append(LOG_LOSS)
    self._row_metrics = _to_sparse(np.stack(by_row))

  @functools.cached_property
  def _rankings(self) -> list[ranking.Ranking]:
    """Of each class."""
    return [
        ranking.Ranking(labels[:, np.newaxis], predictions[:, np.newaxis])
        for labels, predictions in zip(self._labels.T, self._predictions.T)
    ]

  @functools.cached_property
  def _micro(self) -> ranking.Ranking:
    """Of the decisions of all classes."""
    return ranking.Ranking(self._labels, self._predictions)

  def compute(self, draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns every metric by its name in metrics.json, [R] float64 each.

    Also classes_scored and auc_classes, the numbers of classes in the means;
    log_loss only without a threshold.

    Args:
      draws: R resamples of the N rows.
    """
    classes = self.compute_classes(draws)
    auc, average_precision = self._micro.areas(draws.weights)
    of_rows = self._average_rows(draws)
    return {
        'auc_macro':
            mean_known(classes['auc']),
        'auc_micro':
            auc,
        'average_precision_macro':
            mean_known(classes['average_precision']),
        'average_precision_micro':
            average_precision,
        **{
            name: of_rows[name] for name in self._means
        },
        **self._average(classes, of_rows, draws),
        'classes_scored':
            np.count_nonzero(classes['positives'], axis=0),
        'auc_classes':
            np.isfinite(classes['auc']).sum(axis=0),
    }

  def compute_classes(self, draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns counts and ratios of each class, [K, R] float64 each.

    The counts are true_positive, positives and predicted, the ratios f1,
    precision, recall, auc and average_precision. Ratios are NaN where
    undefined: all five without a positive, auc also without a negative.

    Args:
      draws: R resamples of the N rows.
    """
    areas = [each.areas(draws.weights) for each in self._rankings]
    auc, average_precision = np.stack(areas, axis=1)
    return {
        **self.count_classes(draws), 'auc': auc,
        'average_precision': average_precision
    }

  def compute_unranked(self, draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns metrics of compute that need no sorting, [R] float64 each.

    These are f1_macro, f1_micro, and the means over rows.

    Args:
      draws: R resamples of the N rows.
    """
    classes = self.count_classes(draws)
    return {
        'f1_macro': mean_known(classes['f1']),
        'f1_micro': _divide_counts(*_sum_counts(classes))['f1'],
        **self._average_rows(draws)
    }

  def _average_rows(self, draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns the means of the metrics of each row, [R] float64 each."""
    means = self._row_metrics @ draws.weights / draws.weights.sum(axis=0)
    return dict(zip(self._row_names, means))

  def count_classes(self, draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns counts and RATIOS of each class, [K, R] float64 each.

    Args:
      draws: R resamples of the N rows.
    """
    counts = self._decisions @ draws.weights
    hits, positives, predicted = counts.reshape(3, -1, counts.shape[1])
    ratios = _divide_counts(hits, positives, predicted)
    for values in ratios.values():
      values[positives == 0] = np.nan
    return {
        'true_positive': hits,
        'positives': positives,
        'predicted': predicted,
        **ratios
    }

  def _average(self, classes: dict[str, np.ndarray], of_rows: dict[str,
                                                                   np.ndarray],
               draws: resample.Draws) -> dict[str, np.ndarray]:
    """Returns F1, precision and recall under each of AVERAGES, [R] each."""
    positives = classes['positives']
    averages = {
        'macro': {
            ratio: mean_known(classes[ratio]) for ratio in RATIOS
        },
        'micro': _divide_counts(*_sum_counts(classes)),
        'samples': {
            ratio: of_rows[f'{ratio}_samples'] for ratio in RATIOS
        },
        'paper': self._average_batches(draws.rows),
        'weighted': {
            ratio: mean_known(classes[ratio], positives) for ratio in RATIOS
        },
    }
    return {
        f'{ratio}_{average}': averages[average][ratio] for average in AVERAGES
        for ratio in RATIOS
    }

  def _average_batches(self,
                       rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the mean over batches of PAPER_BATCH rows, as drawn, [R] each."""
    sizes = np.array([len(each) for each in rows])
    ends = np.cumsum(sizes)
    starts = np.concatenate([
        np.arange(end - size, end, PAPER_BATCH)
        for size, end in zip(sizes, ends)
    ])
    counts = np.add.reduceat(self._by_row[np.concatenate(rows)], starts)
    first = np.searchsorted(starts, ends - sizes)
    num_batches = np.diff(first, append=len(starts))
    return {
        name: np.add.reduceat(values, first) / num_batches
        for name, values in _divide_counts(*counts.T).items()
    }


def _check(labels: np.ndarray, predictions: np.ndarray,
           is_single: bool) -> tuple[np.ndarray, np.ndarray]:
  """Returns labels as [N, K] bool and predictions as [N, K] float."""
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  if predictions.ndim != 2 or not predictions.size:
    raise ValueError('Expected predictions [N, K] with N >= 1 and K >= 1, '
                     f'received {list(predictions.shape)}.')
  if labels.shape != predictions.shape:
    raise ValueError(
        f'Expected labels of the same shape as the predictions, '
        f'{list(predictions.shape)}, received {list(labels.shape)}.')
  others = labels[(labels != 0) & (labels != 1)]
  if others.size:
    raise ValueError(f'Expected labels of 0 and 1, received {others[0]}.')
  wrong = np.argwhere(~np.isfinite(predictions))
  if len(wrong):
    row, column = wrong[0]
    raise ValueError(
        f'Expected finite predictions, received {predictions[row, column]} '
        f'at row {row}, class {column} ({len(wrong)} in all).')
  labels = labels.astype(bool)
  counts = labels.sum(axis=1)
  if is_single and (counts != 1).any():
    row = int(np.argmax(counts != 1))
    raise ValueError('Expected one label in each row without a threshold, '
                     f'received {counts[row]} in row {row}.')
  return labels, predictions


def _log_loss(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """Returns -log of the probability of each row's label, [N] float64.

  Probabilities are at least the machine epsilon of their type, as in
  scikit-learn's log_loss.

  Args:
    labels: [N, K] bool, one True a row.
    predictions: [N, K] float, 0..1.
  """
  least = np.spacing(np.ones((), np.result_type(predictions, np.float16)))
  return -np.log(np.clip(predictions[labels].astype(np.float64), least, 1))


def _to_sparse(values: np.ndarray) -> sparse.csr_array:
  """Returns [..., N] as rows of a sparse matrix, [M, N] float64."""
  # Few decisions are positive. A dense product is also multi-threaded: on a
  # busy machine its threads wait for each other, which made a bootstrap four
  # times as slow.
  return sparse.csr_array(values.reshape(-1, values.shape[-1]), dtype=float)


def _divide_counts(hits: np.ndarray, positives: np.ndarray,
                   predicted: np.ndarray) -> dict[str, np.ndarray]:
  """Returns RATIOS of counts [...], float64 [...] each."""
  return {
      'f1': ranking.divide(2 * hits, positives + predicted),
      'precision': ranking.divide(hits, predicted),
      'recall': ranking.divide(hits, positives),
  }


def _sum_counts(classes: dict[str, np.ndarray]) -> list[np.ndarray]:
  """Returns hits, positives and predicted of all classes, [R] each."""
  return [
      classes[name].sum(axis=0)
      for name in ('true_positive', 'positives', 'predicted')
  ]


def mean_known(values: np.ndarray,
               weights: np.ndarray | float = 1.0) -> np.ndarray:
  """Returns the mean of finite values over the first axis, [...] float64.

  Args:
    values: [K, ...] float, NaN where unknown; NaN if all are.
    weights: [K, ...] float, or a number.
  """
  known = np.isfinite(values)
  weights = np.where(known, weights, 0)
  return ranking.divide((np.where(known, values, 0) * weights).sum(axis=0),
                        weights.sum(axis=0), np.nan)
