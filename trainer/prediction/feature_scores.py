"""How well features tell the classes: nearest neighbours and a linear probe.

Nothing leaks, and all distances are inside one model's coordinates: a model's
features are scored on the images that it was not trained on, alone. These are
cut into five parts, fewer of under ten groups (a group is in one part). For the
images of each part, the others are the neighbours and what the probe is fitted
on. So each image has a prediction by images of the same model, none of which
the model has seen. The metrics are then those of the run's predictions: inside
each part, averaged over the parts of all models, with intervals of the
bootstrap.

They are not of all parts together: where a part has more images of a class, the
others have fewer, and predict it less. Of noise such an AUC is below 0.5, 0.40
to 0.46 for classes of 4 or 5 images. The parts are stratified by class: then
they differ less in that, and each class is in as many of them as can be.

The other way, to take the model's own training images as references, was left:
they are where the network put them when it saw their labels, so a neighbour
says more of the training than of the features; and the table has them in the
coordinates of other models.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpa_records.sampling import folds
from trainer.prediction import feature_table
from trainer.prediction import mlsmote
from trainer.run.embedding import feature_map
from trainer.scoring import bootstrap
from trainer.scoring import decision

K = 10  # neighbours that vote
_PARTS = 5
_REPETITIONS = 1000
_MOST_ITERATIONS = 2000  # of the probe's solver; it needs about 100
_SEED = 0
# The one number of a scorer, first of those there are.
_HEADLINES = ('auc_macro', 'accuracy_argmax')

Scores = Mapping[str, Mapping[str, tuple[float, float, float]]]


def require() -> None:
  """Raises errors.DataError if scikit-learn is not installed."""
  feature_table.require('sklearn.linear_model',
                        'scores features with --figures')


def choose_metric(threshold: decision.Threshold) -> str:
  """Returns the metric that is shown first.

  Args:
    threshold: of the run.
  """
  return _HEADLINES[threshold is None]


def score(table: feature_table.Table,
          threshold: decision.Threshold,
          with_mlsmote: bool = False) -> tuple[Scores, int]:
  """Returns the scores of the last features of a table, and of how many images.

  Args:
    table: of the images.
    threshold: of the run.
    with_mlsmote: whether to score a probe that is also fitted on the features
      of MLSMOTE, made of the images that the probe is fitted on.

  Returns:
    Scores as of feature_map.FeatureMap, without metrics that are undefined; {}
    if no model has labelled images, of two groups or more, that it was not
    trained on.
  """
  usable = table.labelled & ~table.trained_on
  if threshold is None:
    usable &= table.labels.sum(axis=1, dtype=int) == 1
  groups = np.where(table.groups == '', table.ids, table.groups)
  scorers = [
      name for name in feature_map.SCORERS if name != 'mlsmote' or with_mlsmote
  ]
  found = {name: np.zeros(table.labels.shape, np.float32) for name in scorers}
  parts = np.full(len(table.ids), -1)  # of all models, numbered through
  for model in np.unique(table.models).tolist():
    rows = np.flatnonzero(usable & (table.models == model))
    num_groups = len(set(groups[rows]))
    if num_groups < 2:
      continue
    # Inside a part of one group often no class has both sides of an AUC.
    count = min(_PARTS, max(2, num_groups // 2))
    labels = table.labels[rows]
    part_of = folds.assign(table.ids[rows].tolist(), labels, count, _SEED,
                           groups[rows].tolist())
    parts[rows] = parts.max() + 1 + part_of
    features = table.part(table.features[-1], rows)
    for name, each in _predict(features, labels, part_of, with_mlsmote).items():
      found[name][rows] = each
  rows = np.flatnonzero(parts >= 0)
  if not rows.size:
    return {}, 0
  found['network'] = table.part(feature_table.PROBABILITIES)
  has_groups = (table.groups != '').any()
  scores = {}
  for name in scorers:
    bounds = bootstrap.bootstrap(table.labels[rows],
                                 found[name][rows],
                                 parts[rows],
                                 threshold=threshold,
                                 groups=groups[rows] if has_groups else None,
                                 repetitions=_REPETITIONS,
                                 seed=_SEED)
    scores[name] = {
        metric: tuple(map(float, row))
        for metric, *row in bounds.itertuples(name=None)
        if np.isfinite(row).all()
    }
  if not all(choose_metric(threshold) in each for each in scores.values()):
    return {}, 0
  return scores, len(rows)


def _predict(features: np.ndarray, labels: np.ndarray, part_of: np.ndarray,
             with_mlsmote: bool) -> dict[str, np.ndarray]:
  """Returns predictions [n, K] float of one model's images by the others.

  Args:
    features: [n, D] float32.
    labels: [n, K] uint8 multi-hot.
    part_of: [n] int64, of each image.
    with_mlsmote: as of score.
  """
  names = ['neighbours', 'probe'] + ['mlsmote'] * with_mlsmote
  found = {name: np.zeros(labels.shape, np.float32) for name in names}
  for number in np.unique(part_of):
    others, part = part_of != number, part_of == number
    known, asked = _standardize(features[others], features[part])
    found['neighbours'][part] = _vote(known, labels[others], asked)
    found['probe'][part] = _probe(known, labels[others], asked)
    if with_mlsmote:
      more = mlsmote.resample(known, labels[others], _SEED)
      found['mlsmote'][part] = _probe(*more, asked)
  return found


def _standardize(known: np.ndarray,
                 asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns both scaled to mean 0, deviation 1 of the first."""
  preprocessing = feature_table.require('sklearn.preprocessing',
                                        'scales features')
  scaler = preprocessing.StandardScaler().fit(known)
  return scaler.transform(known), scaler.transform(asked)


def _vote(known: np.ndarray, labels: np.ndarray,
          asked: np.ndarray) -> np.ndarray:
  """Returns the shares of the K nearest that have each class, [n, K]."""
  neighbors = feature_table.require('sklearn.neighbors', 'finds neighbours')
  found = neighbors.NearestNeighbors(n_neighbors=min(K, len(known))).fit(known)
  nearest = found.kneighbors(asked, return_distance=False)
  return labels[nearest].mean(axis=1)


def _probe(known: np.ndarray, labels: np.ndarray,
           asked: np.ndarray) -> np.ndarray:
  """Returns the probabilities of a logistic regression a class, [n, K].

  A class that all or none of the known images have is predicted with 1 or 0.
  """
  linear_model: Any = feature_table.require('sklearn.linear_model',
                                            'fits the probe')
  found = np.zeros((len(asked), labels.shape[1]))
  for number, truth in enumerate(labels.T):
    if truth.min() == truth.max():
      found[:, number] = truth[0]
      continue
    fitted = linear_model.LogisticRegression(max_iter=_MOST_ITERATIONS)
    found[:, number] = fitted.fit(known, truth).predict_proba(asked)[:, 1]
  return found
