"""Losses that are sums over labels: cross-entropies, focal, asymmetric.

Labels may be fractions, as of mixed or smoothed ones. Then the cross-entropies
and the asymmetric loss are the mean of the losses of 0 and 1, weighted by the
fraction.
"""

import numpy as np

from hpa_records.runtime.tensorflow import tf

_FOCAL_GAMMA = 2
_ASYMMETRIC_GAMMA, _MARGIN = 4, 0.05  # of absent classes


def binary_crossentropy(labels: tf.Tensor,
                        logits: tf.Tensor,
                        weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the sigmoid cross-entropy of each example, its mean over classes.

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float; finite results for any finite logit.
    weights: [K] float32, factor of each class; None for 1.

  Returns:
    [B] float32, >= 0.
  """
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(
      labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32))
  return average(entropy, weights)


def average(losses: tf.Tensor, weights: np.ndarray | None) -> tf.Tensor:
  """Returns the mean over classes of [B, K], each times its weight, [B].

  Args:
    losses: of each example and class.
    weights: [K] float32, factor of each class; None for 1.
  """
  return tf.reduce_mean(losses if weights is None else losses * weights,
                        axis=-1)


def focal(labels: tf.Tensor,
          logits: tf.Tensor,
          weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the focal loss of each example: easy labels have less weight.

  The mean over the classes of |y - p|**2 times the cross-entropy, where y is
  the label and p its probability.

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float; finite results for any finite logit.
    weights: [K] float32, factor of each class; None for 1.

  Returns:
    [B] float32, >= 0.

  Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, gamma 2,
  without their class weights, which the balance of draws replaces; with
  fractions of labels Li et al., "Generalized Focal Loss", 2020, equation 5.
  """
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels,
                                                    logits=logits)
  # y - p; unlike that, precise where y is 1 and p almost.
  doubt = labels * tf.sigmoid(-logits) - (1 - labels) * tf.sigmoid(logits)
  return average(doubt**_FOCAL_GAMMA * entropy, weights)


def asymmetric(labels: tf.Tensor,
               logits: tf.Tensor,
               weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the asymmetric loss of each example: easy absent classes cost 0.

  The mean over the classes of -y log(p) - (1 - y) q**4 log(1 - q), where y is
  the label, p its probability and q = max(p - 0.05, 0).

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float; finite results for any finite logit.
    weights: [K] float32, factor of each class; None for 1.

  Returns:
    [B] float32, >= 0.

  Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", 2021:
  the shifted probability and the definition of ASL, with the values that they
  recommend: gamma+ 0, gamma- 4, margin 0.05.
  """
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  shifted = tf.nn.relu(tf.sigmoid(logits) - _MARGIN)
  present = tf.nn.softplus(-logits)
  absent = -tf.math.log1p(-shifted) * shifted**_ASYMMETRIC_GAMMA
  return average(labels * present + (1 - labels) * absent, weights)


def softmax_crossentropy(labels: tf.Tensor,
                         logits: tf.Tensor,
                         weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the softmax cross-entropy of each example.

  For classes that exclude each other; an example without a label costs 0.

  Args:
    labels: [B, K] of 0..1 with the sum 1, or of 0, any number type.
    logits: [B, K] float; finite results for any finite logit.
    weights: [K] float32, factor of each class's part; None for 1.

  Returns:
    [B] float32, >= 0.
  """
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  if weights is None:
    return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
  # The gradient of TensorFlow's takes labels for a distribution.
  parts = labels * weights * tf.nn.log_softmax(logits)
  return -tf.reduce_sum(parts, axis=-1)
