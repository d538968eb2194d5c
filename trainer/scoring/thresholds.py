"""A threshold for each class, chosen on the predictions of other folds.

The paper predicts a class where its probability exceeds 0.5. Rare classes
seldom reach that, so each class may have its own threshold, by one of three
rules:

- f1: maximises F1 on labelled predictions;
- expected_f1: maximises the F1 that is expected if the predictions are true
  probabilities; labels are not used;
- prevalence: the class is predicted as often as it occurs in the labels.

Each rule chooses how many samples, by falling probability, are predicted. The
threshold is midway between the last of them and the first that is not
predicted, with 1 above the highest and 0 below the lowest. Samples of equal
probability are predicted together. Of equally good numbers the smallest is
taken; so a class without positives (for expected_f1: with predictions of 0
only) is never predicted, with a threshold between its highest probability and
1. A class without negatives is always predicted by f1 and prevalence.

Metrics at thresholds fitted to the same labels are too high; cross_fit chooses
each fold's thresholds on the other folds.
"""

import numpy as np

_ENTRIES_AT_ONCE = 2**21  # of several classes that are sorted: about 150 MB


def _cut_by_f1(gains: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """Returns the cut of the greatest 2 * gain / (total + predicted), [K] int.

  Args:
    gains: [N, K] float, what predicting a sample adds to the true positives.
    predictions: [N, K] float, falling, in the same order.
  """
  found = np.cumsum(gains, axis=0)
  predicted = np.arange(1, len(gains) + 1)[:, np.newaxis]
  values = np.zeros((len(gains) + 1, gains.shape[1]))
  values[1:] = 2 * found / (found[-1] + predicted)
  return np.where(_is_cut(predictions), values, -1).argmax(axis=0)


def _cut_by_expected_f1(labels: np.ndarray,
                        predictions: np.ndarray) -> np.ndarray:
  del labels
  return _cut_by_f1(predictions, predictions)


def _cut_by_count(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """Returns the cut nearest to the number of positives, [K] int."""
  cuts = np.arange(len(labels) + 1)[:, np.newaxis]
  distance = np.abs(cuts - labels.sum(axis=0))
  return np.where(_is_cut(predictions), distance,
                  len(labels) + 1).argmin(axis=0)


def _is_cut(predictions: np.ndarray) -> np.ndarray:
  """Returns whether predictions fall after each cut, [N + 1, K] bool."""
  falls = np.ones((len(predictions) + 1, predictions.shape[1]), bool)
  falls[1:-1] = predictions[:-1] > predictions[1:]
  return falls


# Functions of labels and predictions [N, K], both by falling probability, that
# return how many samples of each class are predicted, [K] int.
_CUTS = {
    'f1': _cut_by_f1,
    'expected_f1': _cut_by_expected_f1,
    'prevalence': _cut_by_count,
}
RULES = tuple(_CUTS)


def choose(rule: str, labels: np.ndarray,
           predictions: np.ndarray) -> np.ndarray:
  """Returns the rule's threshold of each class, [K] float64.

  A class is predicted where its probability is greater. Thresholds are 0..1, or
  -0.5 where a probability of 0 has to be predicted.

  Args:
    rule: one of RULES.
    labels: [N, K] of 0 and 1, N >= 1.
    predictions: [N, K] float, 0..1.

  Raises:
    ValueError: a shape or value is wrong.

  Source: expected_f1 maximises the ratio of expectations, to which the
  expectation of F1 tends with many samples. Its threshold is half of the F1
  expected: Lipton, Elkan, Naryanaswamy, Optimal thresholding of classifiers to
  maximize F1 measure, ECML 2014.
  """
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  _check(rule, labels, predictions)
  at_once = max(1, _ENTRIES_AT_ONCE // len(labels))
  return np.concatenate([
      _choose(rule, labels[:, first:first + at_once].astype(float),
              predictions[:, first:first + at_once].astype(float))
      for first in range(0, labels.shape[1], at_once)
  ])


def _choose(rule: str, labels: np.ndarray,
            predictions: np.ndarray) -> np.ndarray:
  """Returns the thresholds of some classes, [K] float64."""
  order = np.argsort(-predictions, axis=0)
  ranked = np.take_along_axis(predictions, order, axis=0)
  cuts = _CUTS[rule](np.take_along_axis(labels, order, axis=0), ranked)
  return _place(ranked, cuts)


def _place(predictions: np.ndarray, cuts: np.ndarray) -> np.ndarray:
  """Returns thresholds midway across each cut, [K] float64.

  Args:
    predictions: [N, K] float, falling.
    cuts: [K] int, how many samples are above the threshold.
  """
  bottom = np.where(predictions[-1] > 0, 0.0, -1.0)
  bounds = np.vstack([np.ones(len(cuts)), predictions, bottom])
  above, below = np.take_along_axis(bounds, np.stack([cuts, cuts + 1]), axis=0)
  middle = (above + below) / 2
  # Between adjacent float64 numbers the middle rounds to one of them.
  return np.where((middle < above) | (cuts == 0), middle, below)


def cross_fit(rule: str, labels: np.ndarray, predictions: np.ndarray,
              folds: np.ndarray) -> dict[int, np.ndarray]:
  """Returns thresholds [K] float64 by fold, chosen on the other folds.

  Neither labels nor predictions of a fold are used for its own thresholds. The
  models of the other folds were trained on it, as in every cross-validation.

  Args:
    rule: one of RULES.
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float, 0..1, out of fold.
    folds: [N] int.

  Raises:
    ValueError: a shape or value is wrong, or there is only one fold.
  """
  numbers = np.unique(folds)
  if len(numbers) < 2:
    raise ValueError(f'Expected predictions of at least two folds, received '
                     f'{len(numbers)}.')
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  return {
      int(number):
          choose(rule, labels[folds != number], predictions[folds != number])
      for number in numbers
  }


def _check(rule: str, labels: np.ndarray, predictions: np.ndarray) -> None:
  if rule not in RULES:
    raise ValueError(f'Expected one of {", ".join(RULES)}, received {rule!r}.')
  if (predictions.ndim != 2 or not predictions.size or
      labels.shape != predictions.shape):
    raise ValueError(
        f'Expected labels and predictions [N, K] with N >= 1, received '
        f'{list(labels.shape)} and {list(predictions.shape)}.')
  if not ((labels == 0) | (labels == 1)).all():
    raise ValueError('Expected labels of 0 and 1, received others.')
  if not ((predictions >= 0) & (predictions <= 1)).all():
    raise ValueError(
        f'Expected predictions 0..1, received {predictions.min()} to '
        f'{predictions.max()}.')
