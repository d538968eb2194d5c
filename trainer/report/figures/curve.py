"""Scores of one class as curves, thinned for drawing. No TensorFlow.

A curve over 31,072 samples has as many corners; 28 classes of two runs would
make a figure of 40 MB. thin() keeps those corners without which the line would
leave the curve visibly.
"""

import dataclasses

import numpy as np

# In units of an axis from 0 to 1: an eighth of a pixel in a panel of 125.
_TOLERANCE = 0.001


@dataclasses.dataclass(frozen=True)
class Curve:
  """A line from corner to corner.

  Attributes:
    x: [n] float64, rising.
    y: [n] float64.
    area: below it.
  """
  x: np.ndarray
  y: np.ndarray
  area: float


def roc(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
  """Returns true positive rate over false positive rate; None where undefined.

  Equal scores make one straight piece, so the area counts their pairs half, as
  metrics does.

  Args:
    labels: [N] of 0 and 1.
    scores: [N] float.
  """
  hits, predicted = _count(labels, scores)
  if not hits.size or hits[-1] in (0, predicted[-1]):
    return None
  x = np.append(0, (predicted - hits) / (predicted[-1] - hits[-1]))
  y = np.append(0, hits / hits[-1])
  return Curve(x, y, float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)))


def precision_recall(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
  """Returns precision over recall; None without a positive.

  Steps, as there is no precision between two thresholds: each recall has the
  precision of the highest threshold that reaches it. The area is the average
  precision.

  Args:
    labels: [N] of 0 and 1.
    scores: [N] float.

  Source: scikit-learn, average_precision_score: the sum of precisions, each
  weighted by the rise in recall.
  """
  hits, predicted = _count(labels, scores)
  if not hits.size or not hits[-1]:
    return None
  rises = np.diff(hits, prepend=0) > 0
  recall, precision = hits[rises] / hits[-1], (hits / predicted)[rises]
  corners = np.append(0, recall)
  return Curve(
      np.repeat(corners, 2)[1:-1], np.repeat(precision, 2),
      float(np.sum(np.diff(corners) * precision)))


def thin(curve: Curve) -> Curve:
  """Returns the curve with fewer corners, its ends among them, none moved.

  None of the corners left out is further than .001 from the line: where axes
  run from 0 to 1, less than a pixel until they are 1000 pixels long.

  Source: Douglas and Peucker, 1973, with distances from the piece, not from
  the endless line through it: corners of steps lie beyond its ends.
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
  """How often a class is there by its score, bin by bin of equal width.

  Attributes:
    edges: [bins + 1] from 0 to 1.
    counts: [bins] decisions in each.
    score: [bins] their mean score, NaN in an empty bin.
    share: [bins] of them that are positive, NaN in an empty bin.
    error: the expected calibration error: the distance between the two,
      averaged over decisions; NaN without any.
  """
  edges: np.ndarray
  counts: np.ndarray
  score: np.ndarray
  share: np.ndarray
  error: float


def reliability(labels: np.ndarray,
                scores: np.ndarray,
                bins: int = 20) -> Reliability:
  """Returns how often a class is there, by its score.

  Args:
    labels: [...] of 0 and 1.
    scores: [...] float, 0..1, of the same shape.
    bins: how many.

  Source: Guo et al., "On Calibration of Modern Neural Networks", 2017,
  equation 3.
  """
  scores = np.ravel(scores).astype(np.float64)
  places = np.minimum((scores * bins).astype(int), bins - 1)
  counts, sums, positives = (np.bincount(places, weights, minlength=bins)
                             for weights in (None, scores, np.ravel(labels)))
  empty = np.where(counts > 0, counts, np.nan)
  score, share = sums / empty, positives / empty
  error = np.nan
  if scores.size:
    error = float(np.nansum(np.abs(score - share) * counts) / scores.size)
  return Reliability(np.linspace(0, 1, bins + 1), counts, score, share, error)


def _count(labels: np.ndarray,
           scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Positives, and all, at or above each distinct score, the highest first."""
  order = np.argsort(-scores, kind='stable')
  lasts = np.flatnonzero(np.diff(scores[order], append=-np.inf))
  return np.cumsum(labels[order], dtype=np.int64)[lasts], lasts + 1


def _measure(points: np.ndarray, start: np.ndarray,
             end: np.ndarray) -> np.ndarray:
  """Distances of points [n, 2] from the piece between two others."""
  piece, away = end - start, points - start
  length = piece @ piece
  along = np.clip(away @ piece /
                  length, 0, 1) if length else np.zeros(len(points))
  return np.hypot(*(away - along[:, np.newaxis] * piece).T)
