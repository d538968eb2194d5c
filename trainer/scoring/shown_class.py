"""Which classes have a panel, a curve or pictures of their own.

Up to MOST_OF_ALL classes all have. Of more classes nobody reads hundreds of
panels, so the largest and the worst are shown; tables have all.
"""

import numpy as np

MOST_OF_ALL = 30
MOST = 24  # of more classes


def choose(positives: np.ndarray,
           quality: np.ndarray | None = None) -> np.ndarray:
  """Returns the classes to show, [n] int64, rising.

  Args:
    positives: [K] int, of each class.
    quality: [K] float, such as F1; NaN where unknown. None where the choice
      must not depend on it.

  Returns:
    All K where they are few, else up to MOST that have positives: half of them
    those with the most, then those of the lowest quality. Of equal classes the
    first is taken.
  """
  if len(positives) <= MOST_OF_ALL:
    return np.arange(len(positives))
  by_size = np.argsort(-positives.astype(np.int64), kind='stable')
  by_size = by_size[positives[by_size] > 0]
  if quality is None:
    return np.sort(by_size[:MOST])
  others = by_size[MOST // 2:]
  worst = others[np.argsort(quality[others], kind='stable')]  # NaN last
  return np.sort(np.concatenate([by_size[:MOST // 2],
                                 worst[:MOST - MOST // 2]]))
