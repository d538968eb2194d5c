"""A threshold for each class, chosen on scores that are not the ones it serves.

The paper predicts a class where its score exceeds 0.5, for all 28. Rare classes
seldom get there, so each may have its own threshold, by one of three rules:

- f1: the greatest F1 on labelled scores;
- expected_f1: the greatest F1 that the scores, taken as probabilities, promise
  themselves; the labels are not asked;
- prevalence: the class is predicted as often as it occurs in the labels.

All three choose how many samples, by falling score, are predicted, and put the
threshold midway between the last of them and the first that is not, below all
midway to 0 and above all midway to 1. Samples of equal score are predicted
together. Of equally good numbers the smallest is taken; so a class without
positives (for expected_f1: whose scores are all 0) is never predicted, with a
threshold between its highest score and 1. A class without negatives is always
predicted by f1 and prevalence.

Thresholds fitted to the labels that they are scored on flatter; cross_fit takes
those of the other folds.
"""

import numpy as np


def _cut_by_f1(gains: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """Returns the cut of the greatest 2 * gain / (total + predicted), [K] int.

  Args:
    gains: [N, K] float, what predicting a sample adds to the true positives.
    scores: [N, K] float, falling, in the same order.
  """
  found = np.cumsum(gains, axis=0)
  predicted = np.arange(1, len(gains) + 1)[:, np.newaxis]
  values = np.zeros((len(gains) + 1, gains.shape[1]))
  values[1:] = 2 * found / (found[-1] + predicted)
  return np.where(_is_cut(scores), values, -1).argmax(axis=0)


def _cut_by_expected_f1(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
  del labels
  return _cut_by_f1(scores, scores)


def _cut_by_count(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """Returns the cut nearest to the number of positives, [K] int."""
  cuts = np.arange(len(labels) + 1)[:, np.newaxis]
  distance = np.abs(cuts - labels.sum(axis=0))
  return np.where(_is_cut(scores), distance, len(labels) + 1).argmin(axis=0)


def _is_cut(scores: np.ndarray) -> np.ndarray:
  """Returns after which numbers of samples the score falls, [N + 1, K] bool."""
  falls = np.ones((len(scores) + 1, scores.shape[1]), bool)
  falls[1:-1] = scores[:-1] > scores[1:]
  return falls


# Name to function of labels and scores, both by falling score, that returns how
# many samples of each class are predicted.
_CUTS = {
    'f1': _cut_by_f1,
    'expected_f1': _cut_by_expected_f1,
    'prevalence': _cut_by_count,
}
RULES = tuple(_CUTS)


def choose(rule: str, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """Returns the rule's threshold of each class, [K] float64.

  A class is to be predicted where its score is greater. Thresholds are 0..1, or
  -0.5 where a score of 0 has to be predicted.

  Args:
    rule: one of RULES.
    labels: [N, K] of 0 and 1, N >= 1.
    scores: [N, K] float, 0..1.

  Raises:
    ValueError: a shape or value is wrong.

  Source: expected_f1 maximises the ratio of expectations, to which the
  expectation of F1 tends with many samples. Its threshold is half of the F1
  expected: Lipton, Elkan, Naryanaswamy, Optimal thresholding of classifiers to
  maximize F1 measure, ECML 2014.
  """
  labels, scores = _check(rule, labels, scores)
  order = np.argsort(-scores, axis=0)
  ranked = np.take_along_axis(scores, order, axis=0)
  cuts = _CUTS[rule](np.take_along_axis(labels, order, axis=0), ranked)
  return _place(ranked, cuts)


def _place(scores: np.ndarray, cuts: np.ndarray) -> np.ndarray:
  """Returns thresholds midway across each cut, [K] float64.

  Args:
    scores: [N, K] float, falling.
    cuts: [K] int, how many are above.
  """
  bottom = np.where(scores[-1] > 0, 0.0, -1.0)
  bounds = np.vstack([np.ones(len(cuts)), scores, bottom])
  above, below = np.take_along_axis(bounds, np.stack([cuts, cuts + 1]), axis=0)
  middle = (above + below) / 2
  # Between neighbours in float64 the middle rounds to one of them.
  return np.where((middle < above) | (cuts == 0), middle, below)


def cross_fit(rule: str, labels: np.ndarray, scores: np.ndarray,
              folds: np.ndarray) -> dict[int, np.ndarray]:
  """Returns thresholds [K] of each fold, from the scores of the others.

  Neither labels nor scores of a fold bear on its own thresholds. The models
  that scored the others were trained on it, as in every cross-validation: what
  that does to their scores of other samples is left in.

  Args:
    rule: one of RULES.
    labels: [N, K] of 0 and 1.
    scores: [N, K] float, 0..1, each by the model that was not trained on it.
    folds: [N] int.

  Raises:
    ValueError: a shape or value is wrong, or there is one fold alone.
  """
  numbers = np.unique(folds)
  if len(numbers) < 2:
    raise ValueError(f'Expected scores of two folds or more, received '
                     f'{len(numbers)}.')
  labels, scores = np.asarray(labels), np.asarray(scores)
  return {
      int(number):
          choose(rule, labels[folds != number], scores[folds != number])
      for number in numbers
  }


def _check(rule: str, labels: np.ndarray,
           scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns labels and scores as [N, K] float64."""
  labels, scores = np.asarray(labels, float), np.asarray(scores, float)
  if rule not in RULES:
    raise ValueError(f'Expected one of {", ".join(RULES)}, received {rule!r}.')
  if scores.ndim != 2 or not scores.size or labels.shape != scores.shape:
    raise ValueError(f'Expected labels and scores [N, K] with N >= 1, received '
                     f'{list(labels.shape)} and {list(scores.shape)}.')
  if not ((labels == 0) | (labels == 1)).all():
    raise ValueError('Expected labels of 0 and 1, received others.')
  if not ((scores >= 0) & (scores <= 1)).all():
    raise ValueError(f'Expected scores 0..1, received {scores.min()} to '
                     f'{scores.max()}.')
  return labels, scores
