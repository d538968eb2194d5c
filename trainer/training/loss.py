"""Losses: labels [B, K] and logits [B, K] to one loss for each example, [B].

One loss for each example, not their mean: the step weights padding with 0, sums
over replicas and divides by the global batch, so the result does not depend on
the number of replicas. The mean over classes, not the sum, because the paper's
rate of 0.1 fits it (the original network sums over 13 classes and uses 0.01,
which is 0.13 on the mean).
"""

from collections.abc import Callable, Sequence
import math

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf

_FOCAL_GAMMA = 2


def binary_crossentropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the sigmoid cross-entropy of each example, its mean over classes.

  Args:
    labels: [B, K] of 0 and 1, any number type.
    logits: [B, K] float; finite results for any finite logit.

  Returns:
    [B] float32, >= 0.
  """
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(
      labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32))
  return tf.reduce_mean(entropy, axis=-1)


def focal(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the focal loss of each example: easy labels have less weight.

  The mean over the classes of (1 - p)**2 times the cross-entropy, where p is
  the probability that the network gives to the true answer.

  Args:
    labels: [B, K] of 0 and 1, any number type.
    logits: [B, K] float; finite results for any finite logit.

  Returns:
    [B] float32, >= 0.

  Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, gamma 2,
  without their class weights, which the balance of draws replaces.
  """
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels,
                                                    logits=logits)
  doubt = tf.sigmoid((1 - 2 * labels) * logits)
  return tf.reduce_mean(doubt**_FOCAL_GAMMA * entropy, axis=-1)


def lovasz(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the symmetric Lovász hinge of each example.

  The mean of the hinges of the example's labels and of their complement; each
  is the convex extension of 1 - the Jaccard index of true and predicted labels.
  It is computed over the labels of one example, not over the batch, so it does
  not depend on how replicas share a batch.

  Args:
    labels: [B, K] of 0 and 1, any number type.
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
    labels: [B, K] of 0 and 1, any number type.
    logits: [B, K] float.
  """
  return focal(labels, logits) + lovasz(labels, logits)


def softmax_crossentropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the softmax cross-entropy of each example.

  For classes that exclude each other; an example without a label costs 0.

  Args:
    labels: [B, K] of 0 and one 1, any number type.
    logits: [B, K] float; finite results for any finite logit.

  Returns:
    [B] float32, >= 0.
  """
  return tf.nn.softmax_cross_entropy_with_logits(
      labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32))


LOSSES = {
    'bce': binary_crossentropy,
    'focal': focal,
    'focal_lovasz': focal_lovasz,
    'softmax': softmax_crossentropy,
}


def get(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Returns the loss function of a name: labels and logits [B, K] to [B].

  Raises:
    ValueError: the name is not in LOSSES.
  """
  if name not in LOSSES:
    raise ValueError(
        f'Expected one of the losses {", ".join(LOSSES)}, received {name!r}.')
  return LOSSES[name]


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
