"""The map of a table of features, and the nearest neighbours of some images.

UMAP by umap-learn, or the first two principal components where that is not
installed. Each model's images, which it was not trained on, have a map of their
own.
"""

from collections.abc import Callable
import importlib.util
import warnings

import numpy as np

from trainer.prediction import feature_scores
from trainer.prediction import feature_table
from trainer.run import arrays
from trainer.run.embedding import feature_map
from trainer.scoring import decision

NUM_NEIGHBOURS = 5  # shown of an image
_MOST_QUERIES = 8
_NEIGHBOURS = 15  # of UMAP, its default
_LEAST_FOR_UMAP = 8  # images; of fewer it has no neighbourhoods
_SEED = 0

ReadImages = Callable[[np.ndarray], np.ndarray]


def find_method() -> str:
  """Returns the one of feature_map.METHODS that is available."""
  return 'UMAP' if importlib.util.find_spec('umap') else 'PCA'


def make(table: feature_table.Table,
         threshold: decision.Threshold,
         model_fold: int,
         read_images: ReadImages,
         method: str,
         with_mlsmote: bool = False) -> feature_map.FeatureMap:
  """Returns the map, scores and neighbours of a table's images.

  Args:
    table: of images; at least one that its model was not trained on.
    threshold: of the run.
    model_fold: the model whose images have neighbours shown; if it has none in
      the map, they are those of the model with the most.
    read_images: rows of table.rows [n] → images [n, H, W, C] uint8.
    method: of feature_map.METHODS.
    with_mlsmote: as of feature_scores.score.
  """
  kept = np.flatnonzero(~table.trained_on)
  models = table.models[kept]
  space = table.features[-1]
  places = np.zeros((len(kept), 2), np.float32)
  scaled = np.zeros((len(kept), table.lengths[space]), np.float32)
  numbers, counts = np.unique(models, return_counts=True)
  for model in numbers.tolist():
    rows = np.flatnonzero(models == model)
    scaled[rows] = _scale(table.part(space, kept[rows]))
    places[rows] = _place(scaled[rows], method)
  if model_fold not in numbers:
    model_fold = numbers[counts.argmax()]
  queries = _choose(table.labels[kept],
                    table.part(feature_table.PROBABILITIES, kept),
                    models == model_fold)
  neighbours, distances = _find_nearest(scaled, models == model_fold, queries)
  shown = np.concatenate([queries[:, np.newaxis], neighbours], axis=1)
  images = np.stack([
      arrays.reduce(each)
      for each in read_images(table.rows[kept[shown.reshape(-1)]])
  ])
  scores, scored = feature_scores.score(table, threshold, with_mlsmote)
  return feature_map.FeatureMap(ids=table.ids[kept],
                                models=models,
                                labels=table.labels[kept],
                                places=places,
                                queries=queries,
                                neighbours=neighbours,
                                distances=distances,
                                images=images.reshape(*shown.shape,
                                                      *images.shape[1:]),
                                method=method,
                                space=space,
                                metric=feature_scores.choose_metric(threshold),
                                k=feature_scores.K,
                                scored=scored,
                                scores=scores)


def _scale(features: np.ndarray) -> np.ndarray:
  """Returns features [n, D] with mean 0 and deviation 1; flat ones 0."""
  features = features.astype(np.float64)
  deviation = features.std(axis=0)
  return (features - features.mean(axis=0)) / np.where(deviation > 0, deviation,
                                                       1)


def _place(features: np.ndarray, method: str) -> np.ndarray:
  """Returns the places of one model's images, [n, 2] float."""
  if method == 'UMAP' and len(features) >= _LEAST_FOR_UMAP:
    umap = feature_table.require('umap', 'draws the map')
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # parts without a link between them
      return umap.UMAP(n_neighbors=min(_NEIGHBOURS,
                                       len(features) - 1),
                       init='pca',
                       random_state=_SEED,
                       n_jobs=1).fit_transform(features)
  return _find_components(features)


def _find_components(features: np.ndarray) -> np.ndarray:
  """Returns the first two principal components, [n, 2]; 0 where there is none.

  Args:
    features: [n, D] float, of mean 0.
  """
  left, size, right = np.linalg.svd(features, full_matrices=False)
  signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
  found = (left * size * np.where(signs == 0, 1, signs))[:, :2]
  return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _choose(labels: np.ndarray, probabilities: np.ndarray,
            is_asked: np.ndarray) -> np.ndarray:
  """Returns the images whose neighbours are shown, [n] int64, each once.

  Of each of the classes with the most images: the one with the highest
  probability of it that has it. Without labels the most probable of each class
  that is predicted most often.

  Args:
    labels: [N, K] uint8 multi-hot.
    probabilities: [N, K] float.
    is_asked: [N] bool, which images to choose from; one at least.
  """
  has_class = labels > 0
  if not has_class[is_asked].any():
    has_class = probabilities == probabilities.max(axis=1, keepdims=True)
  has_class = has_class & is_asked[:, np.newaxis]
  chosen: dict[int, None] = {}
  counts = has_class.sum(axis=0)
  for number in np.argsort(-counts, kind='stable')[:_MOST_QUERIES].tolist():
    if counts[number]:
      rows = np.flatnonzero(has_class[:, number])
      chosen[int(rows[probabilities[rows, number].argmax()])] = None
  return np.array(list(chosen), np.int64)


def _find_nearest(features: np.ndarray, is_asked: np.ndarray,
                  queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns neighbours [n, m] int64 and distances [n, m] float32 of queries.

  Args:
    features: [N, D] float32, scaled.
    is_asked: [N] bool, the images of the queries' model.
    queries: [n] int64.
  """
  rows = np.flatnonzero(is_asked)
  count = min(NUM_NEIGHBOURS, max(len(rows) - 1, 0))
  neighbours = np.zeros((len(queries), count), np.int64)
  distances = np.zeros((len(queries), count), np.float32)
  for place, query in enumerate(queries.tolist()):
    others = rows[rows != query]
    apart = np.linalg.norm(features[others] - features[query], axis=1)
    nearest = np.argsort(apart, kind='stable')[:count]
    neighbours[place], distances[place] = others[nearest], apart[nearest]
  return neighbours, distances
