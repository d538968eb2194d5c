"""Resamples of rows, as lists of rows and as weights."""

from collections.abc import Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Draws:
  """R resamples of N rows.

  Attributes:
    rows: R arrays [M] int, the rows of each resample in the order drawn, with
      repeats; M may differ.
    weights: [N, R] float64, how often each row was drawn.
  """
  rows: Sequence[np.ndarray]
  weights: np.ndarray

  @classmethod
  def of(cls, rows: Sequence[np.ndarray], num_rows: int) -> 'Draws':
    """Returns resamples of the rows 0..num_rows - 1.

    Args:
      rows: R arrays [M] int.
      num_rows: N.
    """
    weights = np.empty((num_rows, len(rows)))
    for resample, column in zip(rows, weights.T):
      column[:] = np.bincount(resample, minlength=num_rows)
    return cls(rows, weights)
