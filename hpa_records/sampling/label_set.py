"""Rows of a label matrix as sets: which there are, in which order.

A set is a string of bits, for any number of classes: integers hold 63 of them,
and beyond that two sets would be one. Unique rows of a matrix take ten times
as long.
"""

import numpy as np


def rank(labels: np.ndarray) -> np.ndarray:
  """Returns the place of each record's label set among all sets, [N] int64.

  Sets of the rarest class come first, then those of the next; so records that
  are neighbours in this order share their rarest class, and mostly all.

  Args:
    labels: [N, K] uint8 multi-hot.
  """
  rarest_last = np.argsort(-labels.sum(axis=0, dtype=np.int64), kind='stable')
  # The bits upside down: a set with the rarest class comes first.
  return np.unique(_pack(1 - labels[:, rarest_last[::-1]]),
                   return_inverse=True)[1]


def find(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the distinct rows [S, K] of labels [n, K], and which each has."""
  _, firsts, numbers = np.unique(_pack(labels[:, ::-1]),
                                 return_index=True,
                                 return_inverse=True)
  return labels[firsts], numbers


def _pack(rows: np.ndarray) -> np.ndarray:
  """Returns a string of bits for each row, [N] bytes, which sort as rows do.

  Args:
    rows: [N, K] of 0 and 1; the first column decides first.
  """
  packed = np.ascontiguousarray(np.packbits(rows, axis=1))
  return packed.view(f'S{packed.shape[1]}')[:, 0]
