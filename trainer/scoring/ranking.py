"""Predictions of one class to areas under its curves, for many weightings.

A bootstrap needs the same area under thousands of weightings of the same rows.
The rows are sorted once, into bins between the predictions of the positives. A
weighting then costs one sum for each bin, a product of a sparse and a dense
matrix. The rest has a row for each positive, not for each sample: a seventeenth
of them, with 28 classes and 1.6 labels an image.
"""

import numpy as np
from scipy import sparse

_ENTRIES_AT_ONCE = 2**20  # that are sorted together: about 100 MB


class Ranking:
  """The order of predictions, for areas under their curves."""

  def __init__(self, labels: np.ndarray, predictions: np.ndarray):
    """Sorts the predictions.

    Args:
      labels: [N, M] bool: M = 1 for one class, M = K for all decisions.
      predictions: [N, M] float, finite.
    """
    values = np.unique(predictions[labels])
    at_once = max(1, _ENTRIES_AT_ONCE // labels.shape[1])
    parts = [
        _bin(values, labels[first:first + at_once],
             predictions[first:first + at_once])
        for first in range(0, len(labels), at_once)
    ]
    self._positives, self._negatives = (each[0] if len(each) == 1 else
                                        sparse.hstack(each, 'csr')
                                        for each in zip(*parts))

  def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (AUC, average precision) under each weighting, [R] float64 each.

    AUC is NaN if the weights of positives or of negatives sum to 0, average
    precision if those of positives do.

    Args:
      weights: [N, R] float, how often each row counts; 0 leaves it out.

    Source: AUC is the share of pairs of a positive and a negative in which the
    positive has the higher prediction, ties counting half (Mann-Whitney).
    Average precision is the sum of precision x step of recall over the distinct
    predictions, as scikit-learn's.
    """
    hits = self._positives @ weights
    negatives = np.cumsum(self._negatives @ weights, axis=0)
    below, not_above = negatives[:-1:2], negatives[1::2]
    wins = np.einsum('vr,vr->r', hits, below + not_above) / 2
    found = np.cumsum(hits[::-1], axis=0)[::-1]  # at or above this value
    precision = divide(found, found + negatives[-1] - below)
    gain = np.einsum('vr,vr->r', hits, precision)
    positives = hits.sum(axis=0)
    return (divide(wins, positives * negatives[-1],
                   np.nan), divide(gain, positives, np.nan))


def _bin(values: np.ndarray, labels: np.ndarray,
         predictions: np.ndarray) -> tuple[sparse.csr_array, sparse.csr_array]:
  """Returns matrices [V, N] and [2 V + 1, N] that sum row weights by bin.

  Args:
    values: [V] float, the predictions of all positives, rising.
    labels: [N, M] bool.
    predictions: [N, M] float.
  """
  places = np.searchsorted(values, predictions)
  # Two bins a value: entries between the value before and this one, and ties.
  bins = 2 * places + (np.append(values, np.nan)[places] == predictions)
  rows = np.broadcast_to(np.arange(len(labels))[:, np.newaxis], labels.shape)
  return (_sum_by(places[labels], rows[labels], len(values), len(labels)),
          _sum_by(bins[~labels], rows[~labels], 2 * len(values) + 1,
                  len(labels)))


def _sum_by(places: np.ndarray, rows: np.ndarray, num_places: int,
            num_rows: int) -> sparse.csr_array:
  """Returns a matrix [num_places, num_rows] that sums row weights by place."""
  return sparse.csr_array((np.ones(len(places)), (places, rows)),
                          shape=(num_places, num_rows))


def divide(numerator: np.ndarray,
           denominator: np.ndarray,
           otherwise: float = 0.0) -> np.ndarray:
  """Returns numerator / denominator, [...] float64.

  Args:
    numerator: [...].
    denominator: [...].
    otherwise: the result where the denominator is 0.
  """
  return np.divide(numerator,
                   denominator,
                   out=np.full(np.shape(numerator), otherwise),
                   where=denominator != 0)
