"""Distinct label sets of a label matrix, their order, and sums over it.

A set is packed into a byte string, since an int64 holds only 63 classes.
np.unique over rows of a matrix takes ten times as long.
"""

import numpy as np

_CLASSES_AT_ONCE = 64


def rank(labels: np.ndarray) -> np.ndarray:
  """Returns the rank of each record's label set, [N] int64.

  Sets with the rarest class come first, then those with the next. So records of
  neighbouring ranks share their rarest class, and mostly all classes.

  Args:
    labels: [N, K] uint8 multi-hot.
  """
  rarest_last = np.argsort(-labels.sum(axis=0, dtype=np.int64), kind='stable')
  # Inverted bits, so that a set with the rarest class comes first.
  return np.unique(_pack(1 - labels[:, rarest_last[::-1]]),
                   return_inverse=True)[1]


def find(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the distinct rows of labels, and the index of each row among them.

  Args:
    labels: [N, K] uint8 multi-hot.

  Returns:
    [S, K] uint8 and [N] int64.
  """
  _, firsts, numbers = np.unique(_pack(labels[:, ::-1]),
                                 return_index=True,
                                 return_inverse=True)
  return labels[firsts], numbers


def totals(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Returns the sum of the weights of each class's records, [K] float64.

  Args:
    labels: [N, K] uint8 multi-hot.
    weights: [N], of any type.
  """
  # Part by part: NumPy converts the labels to float64, eight times their size.
  weights = weights.astype(np.float64)
  return np.concatenate([
      weights @ labels[:, first:first + _CLASSES_AT_ONCE]
      for first in range(0, labels.shape[1], _CLASSES_AT_ONCE)
  ])


def sums(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Returns the sum of the values of each record's classes, [N] float64.

  Args:
    labels: [N, K] uint8 multi-hot.
    values: [K], of any type, finite.
  """
  values = values.astype(np.float64)
  found = np.zeros(len(labels))
  for first in range(0, len(values), _CLASSES_AT_ONCE):
    part = slice(first, first + _CLASSES_AT_ONCE)
    found += labels[:, part] @ values[part]
  return found


def _pack(rows: np.ndarray) -> np.ndarray:
  """Returns the rows packed into bits, [N] bytes, sorted like the rows.

  Args:
    rows: [N, K] of 0 and 1; the first column is the most significant.
  """
  packed = np.ascontiguousarray(np.packbits(rows, axis=1))
  return packed.view(f'S{packed.shape[1]}')[:, 0]
