"""REMEDIAL: images of rare and frequent labels become two images.

An image whose SCUMBLE is above the mean of all images is split: one image has
its majority labels, the other its minority labels (IRLbl above MeanIR). It
changes labels, so it is not one of the policies of repeats, and combines with
each of them. An image with labels of one kind alone is not split (our choice):
in the authors' code it also becomes an image without any label.

Source: Charte et al., "Resampling multilabel datasets by decoupling highly
imbalanced labels", HAIS 2015; as coded in fcharte/mldr.
"""

import dataclasses

import numpy as np

from hpa_records.sampling import imbalance
from hpa_records.sampling import label_set


@dataclasses.dataclass(frozen=True)
class Rule:
  """Which images are split, and how.

  Attributes:
    found: imbalance of the training images.
    threshold: an image with a SCUMBLE above it is split; infinite if none is.
  """
  found: imbalance.Imbalance
  threshold: float

  def choose(self, labels: np.ndarray) -> np.ndarray:
    """Returns which images are split, [N] bool.

    Args:
      labels: [N, K] uint8 multi-hot.
    """
    is_rare = self.found.is_rare
    return ((self.found.scumble(labels) > self.threshold) &
            (label_set.sums(labels, is_rare) > 0) &
            (label_set.sums(labels, ~is_rare) > 0))

  def split(self, labels: np.ndarray) -> np.ndarray:
    """Returns the labels of all images, the second halves of split ones last.

    Args:
      labels: [N, K] uint8 multi-hot.

    Returns:
      [N + number of split images, K] uint8 multi-hot.
    """
    chosen, is_rare = self.choose(labels), self.found.is_rare
    first = labels.copy()
    first[np.ix_(chosen, is_rare)] = 0
    return np.concatenate([first, labels[chosen] * is_rare])


def make_rule(labels: np.ndarray) -> Rule:
  """Returns the rule of a table.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.
  """
  found = imbalance.measure(labels)
  values = found.scumble(labels)
  # Between the values on both sides of the mean: float32 decides as float64.
  is_above = values > values.mean() * (1 + 1e-9)
  if not is_above.any():
    return Rule(found, np.inf)
  return Rule(found,
              float((values[is_above].min() + values[~is_above].max()) / 2))
