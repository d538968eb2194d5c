"""How imbalanced the labels of a table are: IRLbl, MeanIR and SCUMBLE.

IRLbl of a label is the number of images of the most frequent label divided by
that of the label; MeanIR is its mean over labels. SCUMBLE of an image is the
Atkinson index of the IRLbl of its labels: 0 if they are equally frequent, near
1 if a very frequent label occurs with a very rare one. That of a table is the
mean over images.

Sources: Charte et al., "Addressing imbalance in multilabel classification:
Measures and random resampling algorithms", Neurocomputing 163, 2015, IRLbl and
MeanIR. Charte et al., "Concurrence among imbalanced labels and its influence on
multilabel resampling algorithms", HAIS 2014, SCUMBLE. Formulas as coded in
fcharte/mldr, R/measures.R.
"""

import dataclasses

import numpy as np

from hpa_records.sampling import label_set


@dataclasses.dataclass(frozen=True)
class Imbalance:
  """The imbalance of a table.

  Attributes:
    ratios: [K] float64, IRLbl; infinite for a class without draws.
    mean: MeanIR, over the classes that have images; NaN if there are none.
  """
  ratios: np.ndarray
  mean: float

  @property
  def is_rare(self) -> np.ndarray:
    """[K] bool, the minority labels: IRLbl above MeanIR, with draws."""
    return np.isfinite(self.ratios) & (self.ratios > self.mean)

  def scumble(self, labels: np.ndarray) -> np.ndarray:
    """Returns SCUMBLE of each image, [N] float64 in [0, 1).

    With the IRLbl r of the image's own n labels, it is
    1 - (product of r)^(1/n) / (sum of r / n); 0 for an image without labels.

    Args:
      labels: [N, K] uint8 multi-hot. Classes without draws are left out.
    """
    is_drawn = np.isfinite(self.ratios)
    ratios = np.where(is_drawn, self.ratios, 0.0)
    logs = np.log(np.where(is_drawn, self.ratios, 1.0))
    count = np.maximum(label_set.sums(labels, is_drawn), 1)
    geometric = np.exp(label_set.sums(labels, logs) / count)
    mean = label_set.sums(labels, ratios) / count
    is_mixed = (count > 1) & (mean > geometric)
    return np.where(is_mixed, 1 - geometric / np.where(is_mixed, mean, 1), 0)


def measure(labels: np.ndarray, weights: np.ndarray | None = None) -> Imbalance:
  """Returns the imbalance of a table.

  Args:
    labels: [N, K] uint8 multi-hot.
    weights: [N] >= 0, draws of each image; None draws each once.
  """
  if weights is None:
    weights = np.ones(len(labels))
  totals = label_set.totals(labels, weights)
  with np.errstate(divide='ignore', invalid='ignore'):
    ratios = np.max(totals, initial=0) / totals
  ratios[totals == 0] = np.inf
  has_images = labels.any(axis=0)
  mean = ratios[has_images].mean() if has_images.any() else np.nan
  return Imbalance(ratios, float(mean))
