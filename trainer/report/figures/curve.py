"""ROC, precision-recall and reliability curves of predictions. No TensorFlow.

A curve of 31,072 samples has as many corners; 28 classes of two runs would make
a figure of 40 MB. thin() removes corners without visible change.
"""

import dataclasses

import numpy as np

# In units of an axis from 0 to 1: an eighth of a pixel in a panel of 125.
_TOLERANCE = 0.001


@dataclasses.dataclass(frozen=True)
class Curve:
  """A piecewise linear curve.

  Attributes:
    x: [n] float64, rising.
    y: [n] float64.
    area: under the curve.
  """
  x: np.ndarray
  y: np.ndarray
  area: float


def roc(labels: np.ndarray, predictions: np.ndarray) -> Curve | None:
  """Returns true positive rate over false positive rate; None where undefined.

  Equal predictions make one straight segment, so pairs of them count half in
  the area, as in scoring.metrics.

  Args:
    labels: [N] of 0 and 1.
    predictions: [N] float.
  """
  hits, predicted = _count(labels, predictions)
  if not hits.size or hits[-1] in (0, predicted[-1]):
    return None
  x = np.append(0, (predicted - hits) / (predicted[-1] - hits[-1]))
  y = np.append(0, hits / hits[-1])
  return Curve(x, y, float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)))


def precision_recall(labels: np.ndarray,
                     predictions: np.ndarray) -> Curve | None:
  """Returns precision over recall; None without a positive.

  The curve has steps: each recall has the precision of the highest threshold
  that reaches it. The area is the average precision.

  Args:
    labels: [N] of 0 and 1.
    predictions: [N] float.

  Source: scikit-learn, average_precision_score: the sum of precisions, each
  weighted by the rise in recall.
  """
  hits, predicted = _count(labels, predictions)
  if not hits.size or not hits[-1]:
    return None
  rises = np.diff(hits, prepend=0) > 0
  recall, precision = hits[rises] / hits[-1], (hits / predicted)[rises]
  corners = np.append(0, recall)
  return Curve(
      np.repeat(corners, 2)[1:-1], np.repeat(precision, 2),
      float(np.sum(np.diff(corners) * precision)))


def thin(curve: Curve) -> Curve:
  """Returns the curve with a subset of its corners, including both ends.

  The removed corners are within 0.001 of the line, less than a pixel on axes
  from 0 to 1 of up to 1000 pixels.

  Source: Douglas and Peucker, 1973, with distances from the segment, not from
  the infinite line through it: corners of steps lie beyond its ends.
  """
  points = np.stack([curve.x, curve.y], axis=1)
  kept = np.zeros(len(points), bool)
  kept[[0, -1]] = True
  spans = [(0, len(points) - 1)]
  while spans:
    first, last = spans.pop()
    if last - first < 2:
      continue
    distances = _measure(points[first + 1:last], points[first], points[last])
    farthest = int(np.argmax(distances))
    if distances[farthest] > _TOLERANCE:
      middle = first + 1 + farthest
      kept[middle] = True
      spans += [(first, middle), (middle, last)]
  return dataclasses.replace(curve, x=curve.x[kept], y=curve.y[kept])


@dataclasses.dataclass(frozen=True)
class Reliability:
  """Calibration of predictions in bins of equal width.

  Attributes:
    edges: [bins + 1] float64, from 0 to 1.
    counts: [bins] int64, decisions in each bin.
    mean: [bins] float64, their mean probability, NaN in an empty bin.
    share: [bins] float64, the share of positives, NaN in an empty bin.
    error: the expected calibration error: the difference between mean and
      share, averaged over decisions; NaN without decisions.
  """
  edges: np.ndarray
  counts: np.ndarray
  mean: np.ndarray
  share: np.ndarray
  error: float


def reliability(labels: np.ndarray,
                predictions: np.ndarray,
                bins: int = 20) -> Reliability:
  """Returns how often a class occurs, by its predicted probability.

  Args:
    labels: [...] of 0 and 1.
    predictions: [...] float, 0..1, of the same shape.
    bins: number of bins.

  Source: Guo et al., "On Calibration of Modern Neural Networks", 2017,
  equation 3.
  """
  predictions = np.ravel(predictions).astype(np.float64)
  places = np.minimum((predictions * bins).astype(int), bins - 1)
  counts, sums, positives = (np.bincount(places, weights, minlength=bins)
                             for weights in (None, predictions,
                                             np.ravel(labels)))
  empty = np.where(counts > 0, counts, np.nan)
  mean, share = sums / empty, positives / empty
  error = np.nan
  if predictions.size:
    error = float(np.nansum(np.abs(mean - share) * counts) / predictions.size)
  return Reliability(np.linspace(0, 1, bins + 1), counts, mean, share, error)


def _count(labels: np.ndarray,
           predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Counts positives, and all, at or above each value, the highest first.

  Args:
    labels: [N] of 0 and 1.
    predictions: [N] float.

  Returns:
    (positives, all), each [M] int64 for M distinct values.
  """
  order = np.argsort(-predictions, kind='stable')
  lasts = np.flatnonzero(np.diff(predictions[order], append=-np.inf))
  return np.cumsum(labels[order], dtype=np.int64)[lasts], lasts + 1


def _measure(points: np.ndarray, start: np.ndarray,
             end: np.ndarray) -> np.ndarray:
  """Returns distances [n] of points [n, 2] from the segment start-end."""
  piece, away = end - start, points - start
  length = piece @ piece
  along = np.clip(away @ piece /
                  length, 0, 1) if length else np.zeros(len(points))
  return np.hypot(*(away - along[:, np.newaxis] * piece).T)
