"""The Lovász hinge of an example, and the steps of every Lovász extension."""

from hpa_records.runtime.tensorflow import tf
from trainer.training.optimization import cross_entropy


def of_example(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
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
  order, steps = find_steps(labels, gaps)
  gaps = tf.gather(gaps, order, batch_dims=1)
  return tf.reduce_sum(tf.nn.relu(gaps) * steps, axis=-1)


def focal_lovasz(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns focal + of_example() of each example, [B] float32.

  Args:
    labels: [B, K] of 0..1, any number type.
    logits: [B, K] float.
  """
  return cross_entropy.focal(labels, logits) + of_example(labels, logits)


def find_steps(labels: tf.Tensor,
               errors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the order of errors, and by how much each counts, in that order.

  The second is the gradient of the Lovász extension by the errors of each of n
  sets of m: how much 1 - the Jaccard index grows if this one becomes a mistake
  when all larger errors are.

  Args:
    labels: [n, m] float32, 0..1.
    errors: [n, m] float32.

  Returns:
    [n, m] int32, descending, and [n, m] float32, without gradients.
  """
  order = tf.argsort(errors, direction='DESCENDING', stable=True)
  labels = tf.gather(labels, order, batch_dims=1)
  wanted = tf.reduce_sum(labels, axis=-1, keepdims=True)
  found = wanted - tf.cumsum(labels, axis=-1)
  union = wanted + tf.cumsum(1 - labels, axis=-1)
  losses = 1 - found / union
  steps = losses - tf.pad(losses[:, :-1], [[0, 0], [1, 0]])
  return order, tf.stop_gradient(steps)
