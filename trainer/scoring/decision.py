"""Which classes of a sample are predicted, by their probabilities.

In a multi-label set a class is predicted where its probability is greater than
a threshold: a number, or one for each class, [K]. In a single-label set, whose
runs train with --loss=softmax, the most probable class is predicted; the
threshold of such a run is None everywhere.
"""

import numpy as np

from trainer import config as config_lib
from trainer.recipe import baseline

Threshold = float | np.ndarray | None


def find_threshold(
    config: config_lib.Config | baseline.Baseline) -> float | None:
  """Returns the threshold of a run; None if it predicts one class a sample."""
  return None if config.is_single_label else config.threshold


def decide(predictions: np.ndarray, threshold: Threshold) -> np.ndarray:
  """Returns which classes are predicted, [N, K] bool.

  Args:
    predictions: [N, K] float, probabilities.
    threshold: a number, [K], or None for the most probable class, of equally
      probable ones the first.

  Raises:
    ValueError: the threshold has another shape, or is not finite.
  """
  if threshold is None:
    predicted = np.zeros(predictions.shape, bool)
    best = predictions.argmax(axis=1)
    predicted[np.arange(len(predictions)), best] = True
    return predicted
  shape = np.shape(threshold)
  if shape not in ((), predictions.shape[1:]):
    raise ValueError(f'Expected one threshold or [{predictions.shape[1]}], '
                     f'received {list(shape)}.')
  if not np.isfinite(threshold).all():
    raise ValueError(f'Expected finite thresholds, received {threshold}.')
  return predictions > (np.asarray(threshold, float) if shape else threshold)
