"""Classifiers of descriptors: fitted on some images, asked for others.

Each is scikit-learn's with its defaults, but for what is said here; none was
tuned. Of several labels an image, each class has a classifier of its own. The
weight of an image is its expected draws in an epoch of a network (repeats),
which is the balance; an image of weight 0 is left out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import base
from sklearn import ensemble
from sklearn import linear_model
from sklearn import pipeline
from sklearn import preprocessing
import threadpoolctl

from hpa_records.runtime import host
from trainer.recipe import baseline

_TREES = 300
_BINS = 255  # that the histograms of boosting have at most
_MOST_ITERATIONS = 2000  # of the solver; it needs some hundred

_Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int, int], Any]


def predict(name: str, known: np.ndarray, labels: np.ndarray,
            weights: np.ndarray, asked: np.ndarray, *, seed: int,
            is_single_label: bool, workers: int) -> np.ndarray:
  """Returns the probabilities of the classes of images, [n, K] float32, 0..1.

  A class that all images of weight above 0 have, or none, has probability 1, or
  0. The result does not depend on workers.

  Args:
    name: one of baseline.CLASSIFIERS.
    known: [N, D] float32, descriptors to fit on.
    labels: [N, K] uint8 multi-hot, of known.
    weights: [N] float32, of known, >= 0 and not all 0.
    asked: [n, D] float32.
    seed: of the random forest; the others draw nothing here.
    is_single_label: whether each image has exactly one label; one classifier
      then chooses among the classes.
    workers: threads; 0 is one a core, and more are not started.
  """
  workers = min(workers, host.num_cores()) or host.num_cores()
  drawn = weights > 0
  known, asked = known[drawn].astype(np.float64), asked.astype(np.float64)
  labels, weights = labels[drawn], weights[drawn]

  def ask(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values of truth, and the probability of each, [n, values]."""
    values = np.unique(truth)
    if len(values) < 2:
      return values, np.ones((len(asked), 1))
    fitted = _FITS[name](known, truth, weights, seed, workers)
    return fitted.classes_, fitted.predict_proba(asked)

  found = np.zeros((len(asked), labels.shape[1]), np.float32)
  # BLAS adds in another order with other threads, OpenMP's trees do not.
  with (threadpoolctl.threadpool_limits(1, 'blas'),
        threadpoolctl.threadpool_limits(workers, 'openmp')):
    if is_single_label:
      classes, probabilities = ask(labels.argmax(axis=1))
      found[:, classes] = probabilities
    else:
      for number, truth in enumerate(labels.T):
        values, probabilities = ask(truth)
        found[:, number] = probabilities @ values
  return np.clip(found, 0, 1)


def _fit_forest(known: np.ndarray, truth: np.ndarray, weights: np.ndarray,
                seed: int, workers: int) -> ensemble.RandomForestClassifier:
  """Returns 300 trees; Breiman, "Random forests", 2001."""
  forest = ensemble.RandomForestClassifier(_TREES,
                                           random_state=seed,
                                           n_jobs=workers)
  forest.fit(known, truth, weights)
  # Threads would add the probabilities of trees in the order they end.
  return forest.set_params(n_jobs=1)


class _Bins(base.TransformerMixin, base.BaseEstimator):
  """Cuts each descriptor into up to 255 bins of equally many images.

  Boosting does that by itself, but with weights scikit-learn 1.9 needs 17 s for
  276 images, for each class anew.
  """

  def fit(self, values: np.ndarray, truth: np.ndarray) -> '_Bins':
    """Finds the edges; values [N, D], truth is not used."""
    del truth
    self.edges_ = np.quantile(values,
                              np.linspace(0, 1, _BINS + 1)[1:-1],
                              axis=0)
    return self

  def transform(self, values: np.ndarray) -> np.ndarray:
    """Returns the numbers of the bins, [n, D] int64."""
    return np.stack([
        np.searchsorted(edges, each, 'right')
        for edges, each in zip(self.edges_.T, values.T)
    ],
                    axis=1)


def _fit_boosting(known: np.ndarray, truth: np.ndarray, weights: np.ndarray,
                  seed: int, workers: int) -> pipeline.Pipeline:
  """Returns 100 trees on bins of the descriptors, without early stopping.

  Source: Friedman, "Greedy function approximation: a gradient boosting
  machine", 2001; in the form of LightGBM, Ke et al., 2017. Early stopping
  would take training images away.
  """
  del workers  # OpenMP's
  made = pipeline.make_pipeline(
      _Bins(),
      ensemble.HistGradientBoostingClassifier(early_stopping=False,
                                              random_state=seed))
  return made.fit(known,
                  truth,
                  histgradientboostingclassifier__sample_weight=weights)


def _fit_regression(known: np.ndarray, truth: np.ndarray, weights: np.ndarray,
                    seed: int, workers: int) -> pipeline.Pipeline:
  """Returns a logistic regression (L-BFGS, C = 1) of standardized descriptors.

  Mean and deviation are of the weighted training images.
  """
  del seed, workers  # draws nothing, has one thread
  made = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(max_iter=_MOST_ITERATIONS))
  return made.fit(known,
                  truth,
                  standardscaler__sample_weight=weights,
                  logisticregression__sample_weight=weights)


_FITS: dict[str, _Fit] = dict(
    zip(baseline.CLASSIFIERS, (_fit_forest, _fit_boosting, _fit_regression)))
