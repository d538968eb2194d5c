"""REMEDIAL in a batch: a draw of a split image has one half of its labels.

hpa_records/sampling/decoupling.py says which images are split, and its source.
There the two halves are two images. Here such an image has twice the draws, and
a fair coin decides for each draw which half it has: so it also holds where an
image is drawn less than once an epoch. Evaluation keeps all labels.
"""

import numpy as np

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import decoupling
from trainer import noise as noise_lib


class Decoupling:
  """Chooses labels by the rule of the training images."""

  def __init__(self, labels: np.ndarray, seed: int, rows: int):
    """Computes the rule; nothing is traced yet.

    Args:
      labels: [n, K] uint8 multi-hot, of the training images.
      seed: of the run.
      rows: b, images of a call.
    """
    self._rule = decoupling.make_rule(labels)
    self._seed, self._rows = seed, rows

  @tensorflow.compiled
  def apply(self, labels: tf.Tensor, first: tf.Tensor, epoch: tf.Tensor,
            step: tf.Tensor) -> tf.Tensor:
    """Returns the labels of draws, [b, K] float32.

    Args:
      labels: [b, K] float32 multi-hot.
      first: int32 scalar, slot of the first image.
      epoch: int64 scalar.
      step: int64 scalar, of the epoch.
    """
    key = noise_lib.fold(noise_lib.make_key(self._seed, epoch, step),
                         noise_lib.OF_LABELS)
    coins = noise_lib.draw(key, first, (self._rows, 1))
    is_rare = tf.constant(self._rule.found.is_rare)
    half = tf.where((coins < 0.5) == is_rare, labels, 0.0)
    return tf.where(self._is_split(labels)[:, None], half, labels)

  def _is_split(self, labels):
    """As decoupling.Rule.choose, [b] bool; its threshold suits float32."""
    found = self._rule.found
    is_drawn = np.isfinite(found.ratios)
    ratios = np.where(is_drawn, found.ratios, 1.0)

    def add(values):  # a matrix product may have few bits on a GPU
      return tf.reduce_sum(labels * tf.constant(values, tf.float32), axis=1)

    count = tf.maximum(add(is_drawn), 1.0)
    geometric = tf.exp(add(np.log(ratios)) / count)
    mean = tf.maximum(add(ratios * is_drawn) / count, 1.0)
    return ((1 - geometric / mean > self._rule.threshold) &
            (add(found.is_rare) > 0) & (add(~found.is_rare) > 0))
