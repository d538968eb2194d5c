"""Losses: labels [B, K] and logits [B, K] to one loss for each example, [B].

One loss for each example, not their mean: the step weights padding with 0, sums
over replicas and divides by the global batch, so the result does not depend on
the number of replicas. The mean over classes, not the sum, because the paper's
rate of 0.1 fits it (the original network sums over 13 classes and uses 0.01,
which is 0.13 on the mean).

Labels may be fractions, as of mixed or smoothed ones. Then the cross-entropies
and the asymmetric loss are the mean of the losses of 0 and 1, weighted by the
fraction.
"""

from collections.abc import Callable, Sequence
import math

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from trainer.recipe import optimization

_FOCAL_GAMMA = 2
_ASYMMETRIC_GAMMA, _MARGIN = 4, 0.05  # of absent classes

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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
  return _average(entropy, weights)


def _average(losses: tf.Tensor, weights: np.ndarray | None) -> tf.Tensor:
  """Returns the mean over classes of [B, K], each times its weight."""
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
  return _average(doubt**_FOCAL_GAMMA * entropy, weights)


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
  return _average(labels * present + (1 - labels) * absent, weights)


def lovasz(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the symmetric Lovász hinge of each example.

  The mean of the hinges of the example's labels and of their complement; each
  is the convex extension of 1 - the Jaccard index of true and predicted labels.
  It is computed over the labels of one example, not over the batch, so it does
  not depend on how replicas share a batch. A fraction of a label counts as that
  part of a class in the index, and its margin is the mean of those of 0 and 1.

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float.

  Returns:
    [B] float32, >= 0.

  Source: Berman et al., "The Lovász-Softmax loss", 2018, algorithm 1.
  """
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  gaps = 1 - logits * (2 * labels - 1)
  return (_hinge(labels, gaps) + _hinge(1 - labels, gaps)) / 2


def _hinge(labels: tf.Tensor, gaps: tf.Tensor) -> tf.Tensor:
  order = tf.argsort(gaps, direction='DESCENDING', stable=True)
  labels = tf.gather(labels, order, batch_dims=1)
  gaps = tf.gather(gaps, order, batch_dims=1)
  # 1 - Jaccard index if the first k in this order are the mistakes.
  wanted = tf.reduce_sum(labels, axis=-1, keepdims=True)
  found = wanted - tf.cumsum(labels, axis=-1)
  union = wanted + tf.cumsum(1 - labels, axis=-1)
  losses = 1 - found / union
  steps = losses - tf.pad(losses[:, :-1], [[0, 0], [1, 0]])
  return tf.reduce_sum(tf.nn.relu(gaps) * tf.stop_gradient(steps), axis=-1)


def focal_lovasz(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns focal() + lovasz() of each example, [B] float32.

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float.
  """
  return focal(labels, logits) + lovasz(labels, logits)


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


LOSSES = {
    'bce': binary_crossentropy,
    'focal': focal,
    'asymmetric': asymmetric,
    'focal_lovasz': focal_lovasz,
    'softmax': softmax_crossentropy,
}


def get(name: str) -> Loss:
  """Returns the loss function of a name: labels and logits [B, K] to [B].

  Raises:
    ValueError: the name is not in LOSSES.
  """
  if name not in LOSSES:
    raise ValueError(
        f'Expected one of the losses {", ".join(LOSSES)}, received {name!r}.')
  return LOSSES[name]


def get_trained(settings: optimization.Optimization,
                weights: np.ndarray | None) -> Loss:
  """Returns the loss function that is trained: of smoothed labels, weighted.

  Label smoothing moves a part a of each label to all answers, in equal shares:
  to present and absent, y (1 - a) + a / 2; with softmax to the K classes, y (1
  - a) + a / K.

  Args:
    settings: of the run.
    weights: [K] float32, factor of each class; None for 1.

  Source: Szegedy et al., "Rethinking the Inception Architecture for Computer
  Vision", 2016, section 7.
  """
  function, smoothing = get(settings.loss), settings.label_smoothing
  weighted = {} if weights is None else {'weights': weights}

  def compute(labels, logits):
    if smoothing:
      answers = labels.shape[-1] if settings.loss == 'softmax' else 2
      labels = tf.cast(labels, tf.float32) * (1 - smoothing)
      labels += smoothing / answers
    return function(labels, logits, **weighted)

  return compute


def penalty(weights: Sequence[tf.Variable], l1: float, l2: float) -> tf.Tensor:
  """Returns the weight penalty, float32 scalar.

  Args:
    weights: float32, at least one.
    l1: factor of the sum of absolute values; 0 for none.
    l2: factor of the sum of squares; 0 for none.
  """
  total = tf.zeros([])
  if l1:
    total += l1 * tf.add_n([tf.reduce_sum(tf.abs(each)) for each in weights])
  if l2:
    total += l2 * tf.add_n([tf.reduce_sum(tf.square(each)) for each in weights])
  return total


def check_finite(loss: float, where: str) -> None:
  """Checks that a loss is finite.

  Args:
    loss: of a step or an evaluation.
    where: in the training, for the message.

  Raises:
    errors.StoppedEarly: the loss is NaN or infinite.
  """
  if not math.isfinite(loss):
    raise errors.StoppedEarly(
        f'The loss is {loss} {where}; earlier checkpoints are kept. Lower '
        '--learning_rate, or set --clip_norm, and choose another --workdir.', 1)
