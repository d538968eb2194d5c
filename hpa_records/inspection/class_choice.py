"""The classes that a figure shows, of more than fit into it."""

import numpy as np

MOST_CLASSES = 40  # of a figure


def choose(counts: np.ndarray) -> np.ndarray:
  """Returns the classes that a figure shows, [n] int64.

  Up to MOST_CLASSES are all shown, in order. Of more, half of MOST_CLASSES are
  the largest, and half the rarest, largest first; describe says so.

  Args:
    counts: [K] images of each class.
  """
  if len(counts) <= MOST_CLASSES:
    return np.arange(len(counts))
  order = np.argsort(-np.asarray(counts), kind='stable')
  half = MOST_CLASSES // 2
  return np.concatenate([order[:half], order[-half:]])


def describe(num_classes: int) -> str:
  """Returns which classes choose chooses, as text; '' if all.

  Args:
    num_classes: length of its counts.
  """
  if num_classes <= MOST_CLASSES:
    return ''
  half = MOST_CLASSES // 2
  return f'the {half} largest and the {half} rarest of {num_classes:,} classes'
