"""A score of features by nearest neighbours: whether a pre-training learns.

The images of the held-out fold, which are not trained on, are predicted by the
labels of the nearest images of the other folds: the probability of a class is
its share among them. Similarity is the cosine of the features that a training
would start its logits from; of ArcFace that of its embedding, which it trains.

Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", 2018, section 3.4, here without weights, as classes do not
exclude each other.
"""

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import global_batch
from trainer import memory
from trainer import strategy as strategy_lib
from trainer.network import build
from trainer.pretraining import pool as pool_lib
from trainer.pretraining import pool_reader
from trainer.pretraining import settings as settings_lib
from trainer.scoring import metrics

K = 10  # neighbours
SCORES = ('auc_macro', 'f1_macro')
_ROWS = 1024  # whose similarities are in memory at a time
_LEAST = 1e-12  # length of a feature


class Scorer:
  """Scores the features of a network."""

  def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model,
               settings: settings_lib.Settings, pool: pool_lib.Pool,
               reader: pool_reader.Reader):
    """Prepares the batches.

    Args:
      strategy: of the network.
      model: the second of projection.make.
      settings: of the run.
      pool: the images; the held-out fold has some.
      reader: of the images.
    """
    self._strategy, self._model, self._pool = strategy, model, pool
    rows = pool.labelled
    size = memory.choose_eval_batch(settings.training, pool.spec, strategy)
    self._batches = global_batch.distribute(
        strategy, global_batch.cap(strategy, size, len(rows)),
        lambda share: reader.evaluation(rows, share))
    self._run = self._infer
    if strategy_lib.compiles(strategy, settings.xla) and not isinstance(
        strategy, tf.distribute.TPUStrategy):
      self._run = tensorflow.traced(self._infer, jit_compile=True)

  def score(self) -> dict[str, float | None]:
    """Returns the scores by name, knn_auc_macro first; None if undefined."""
    found = [self._find(each).numpy() for each in self._batches]
    rows = self._pool.labelled
    features = np.concatenate(found)[:len(rows)]  # the rest is padding
    is_known = self._pool.is_trained[rows]
    labels = self._pool.labels[rows]
    predictions = predict(features[is_known], labels[is_known],
                          features[~is_known])
    return {
        f'knn_{name}': metrics.compute_one(name, labels[~is_known], predictions)
        for name in SCORES
    }

  @tensorflow.traced
  def _find(self, batch):
    found = self._strategy.run(self._run, (batch[spec.IMAGE],))
    return self._strategy.gather(found, axis=0)

  def _infer(self, image):
    return tf.cast(build.infer(self._model, image), tf.float32)


def predict(known: np.ndarray, labels: np.ndarray,
            asked: np.ndarray) -> np.ndarray:
  """Returns the shares of the K nearest that have each class, [n, K] float32.

  Args:
    known: [N, D] float32, features of labelled images.
    labels: [N, K] uint8 multi-hot, of these.
    asked: [n, D] float32.
  """
  known, asked = (
      each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), _LEAST)
      for each in (known, asked))
  count = min(K, len(known))
  found = np.empty((len(asked), labels.shape[1]), np.float32)
  for first in range(0, len(asked), _ROWS):
    similar = asked[first:first + _ROWS] @ known.T
    nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    found[first:first + _ROWS] = labels[nearest].mean(axis=1)
  return found
