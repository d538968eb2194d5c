"""MLSMOTE: synthetic feature vectors of images with rare labels.

It interpolates between features of neighbours, so it is for a classifier of
features, such as the probe of feature_scores. A network is trained on pixels,
whose interpolation is MixUp, not MLSMOTE.

Source: Charte et al., "MLSMOTE: Approaching imbalanced multilabel learning
through synthetic instance generation", Knowledge-Based Systems 89, 2015. Its
labels by ranking, those of more than half of the seed and its neighbours.
Choices of our own: k = 5; IRLbl and MeanIR are those of the original images for
all labels; a label of one image makes none.
"""

from typing import Any

import numpy as np

from hpa_records.sampling import imbalance
from trainer.prediction import feature_table

K = 5  # neighbours


def resample(features: np.ndarray,
             labels: np.ndarray,
             seed: int,
             k: int = K) -> tuple[np.ndarray, np.ndarray]:
  """Returns features and labels, those of synthetic images at the end.

  Each minority label, IRLbl above MeanIR, takes each of its images as a seed
  and makes one image: a random one r of the seed's k nearest with the label
  gives the features x + u (r - x), u uniform in 0..1 for each feature.

  Args:
    features: [n, D] float, of one model, scaled: neighbours are Euclidean.
    labels: [n, K] uint8 multi-hot.
    seed: of the random numbers.
    k: number of neighbours, fewer of a label with fewer others.

  Returns:
    [n + m, D] of the features' type and [n + m, K] uint8.

  Raises:
    errors.DataError: scikit-learn is not installed.
  """
  rng = np.random.default_rng(seed)
  made_features, made_labels = [features], [labels]
  for label in np.flatnonzero(imbalance.measure(labels).is_rare):
    members = np.flatnonzero(labels[:, label])
    if len(members) < 2:
      continue
    seeds, their_labels = features[members], labels[members].astype(np.int64)
    nearest = _find_nearest(seeds, k)
    chosen = rng.integers(nearest.shape[1], size=len(members))
    others = seeds[nearest[np.arange(len(members)), chosen]]
    share = rng.random(seeds.shape).astype(features.dtype)
    made_features.append(seeds + share * (others - seeds))
    votes = their_labels + their_labels[nearest].sum(axis=1)
    made_labels.append(2 * votes > nearest.shape[1] + 1)
  return (np.concatenate(made_features),
          np.concatenate(made_labels).astype(np.uint8))


def _find_nearest(features: np.ndarray, k: int) -> np.ndarray:
  """Returns the rows of the k nearest others, [n, min(k, n - 1)] int64."""
  neighbors: Any = feature_table.require('sklearn.neighbors',
                                         'finds neighbours')
  count = min(k, len(features) - 1)
  fitted = neighbors.NearestNeighbors(n_neighbors=count).fit(features)
  return fitted.kneighbors(return_distance=False)
