"""Losses: labels [B, 28] and logits [B, 28] to one number an example, [B].

A loss an example, not their mean: the step weighs padding with 0, sums over
replicas and divides by the global batch, so that the result does not depend on
how many replicas share it. The mean over classes, not the sum, because the
paper's rate 0.1 goes with it (the original network sums over 13 classes and
takes 0.01).
"""

from collections.abc import Callable

from hpa_records.backend import tf


def binary_crossentropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the sigmoid cross-entropy an example, its mean over the classes.

  Args:
    labels: [B, K] of 0 and 1, any number type.
    logits: [B, K] float; finite results for any finite logit.

  Returns:
    [B] float32, >= 0.
  """
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(
      labels=tf.cast(labels, tf.float32), logits=tf.cast(logits, tf.float32))
  return tf.reduce_mean(entropy, axis=-1)


LOSSES = {'bce': binary_crossentropy}


def get(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Returns the loss of that name: (labels [B, K], logits [B, K]) to [B].

  Raises:
    ValueError: no such loss.
  """
  if name not in LOSSES:
    raise ValueError(
        f'Expected a loss out of {", ".join(LOSSES)}, received {name!r}.')
  return LOSSES[name]
