"""Losses of a batch: Lovász extensions over the examples of a class.

Such a loss is no sum over examples. It is still given as a number for each, of
which a batch has the mean: the example's part of the loss of the batch times
the number of examples. The parts depend on the order of all errors of a class,
so a replica needs the labels and logits of the others (Batch). Padding has the
weight 0, and no place in the order.

A fraction of a label counts as that part of a class in the index. Its hinge has
the mean margin of 0 and 1, which for 1/2 does not depend on the logit; so mixed
labels are refused with the hinges (config.py).
"""

from collections.abc import Callable
import dataclasses

import numpy as np

from hpa_records.runtime.tensorflow import tf
from trainer.training.optimization import cross_entropy
from trainer.training.optimization import lovasz

_PRESENT = 0.5  # the smallest label of a present class, also of smoothed labels
# Of absent labels of a class, in bestfitting.
_LEAST_HARD, _LEAST_SHARE, _MOST_SHARE = 2, 0.5, 0.7


@dataclasses.dataclass(frozen=True)
class Batch:
  """A whole batch, of which a replica has some rows.

  Attributes:
    labels: [B, K] float32.
    logits: [B, K] float32; gradients do not go through them.
    weight: [B, 1] float32, 1, and 0 for padding.
    rows: [b] int32, those of the replica.
  """
  labels: tf.Tensor
  logits: tf.Tensor
  weight: tf.Tensor
  rows: tf.Tensor

  def share(self, factors: tf.Tensor) -> tf.Tensor:
    """Returns the rows of the replica of factors [B, K], times the examples.

    Args:
      factors: of the terms of a sum over the batch.
    """
    own = tf.gather(factors * self.weight, self.rows)
    return tf.stop_gradient(own) * tf.reduce_sum(self.weight)


def _complete(labels: tf.Tensor, logits: tf.Tensor,
              batch: Batch | None) -> tuple[tf.Tensor, tf.Tensor, Batch]:
  """Returns float32 labels and logits, and the batch: by default these."""
  labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
  if batch is None:
    batch = Batch(labels, tf.stop_gradient(logits), tf.ones_like(labels[:, :1]),
                  tf.range(tf.shape(labels)[0]))
  return labels, logits, batch


def softmax(labels: tf.Tensor,
            logits: tf.Tensor,
            batch: Batch | None = None,
            weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the examples' parts of the Lovász-Softmax loss of a batch.

  For each class the Lovász extension of 1 - the Jaccard index, of the errors
  |y - p| of the batch, where y is the label and p its probability by a sigmoid,
  since an image may have several labels; the mean over the classes that are
  present, which have a label of 1/2 or more in the batch, 0 without any.

  Args:
    labels: [b, K] of 0..1, any number type.
    logits: [b, K] float.
    batch: the whole batch; None if these are all.
    weights: [K] float32, factor of each class; None for 1.

  Returns:
    [b] float32, >= 0, as this module's docstring says.

  Source: Berman et al., "The Lovász-Softmax loss", 2018, equations 8, 9 and
  11; by sigmoids, of the classes present:
  priyarana/Protein-subcellular-localisation-method, utils.py.
  """
  labels, logits, batch = _complete(labels, logits, batch)
  steps = _find_class_steps(batch, batch.labels,
                            tf.abs(batch.labels - tf.sigmoid(batch.logits)))
  largest = tf.reduce_max(batch.labels * batch.weight, axis=0)
  is_present = tf.cast(largest >= _PRESENT, tf.float32)
  if weights is not None:
    steps *= weights
  factors = tf.math.divide_no_nan(steps * is_present, tf.reduce_sum(is_present))
  errors = tf.abs(labels - tf.sigmoid(logits))
  return tf.reduce_sum(errors * batch.share(factors), axis=-1)


def hinge(labels: tf.Tensor,
          logits: tf.Tensor,
          batch: Batch | None = None,
          weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the examples' parts of the symmetric Lovász hinge of a batch.

  For each class the mean of the hinges of its labels over the batch and of
  their complement; the mean over all classes. Of a class without images in the
  batch the first is the largest margin.

  Args:
    labels: [b, K] of 0..1, any number type.
    logits: [b, K] float.
    batch: as of softmax.
    weights: as of softmax.

  Returns:
    As softmax.

  Source: Berman et al., 2018, algorithm 1 and section 2.2; symmetric and for
  each class: CellProfiling/HPA-competition-solutions, bestfitting/src/layers.
  """
  labels, logits, batch = _complete(labels, logits, batch)
  gaps = 1 - batch.logits * (2 * batch.labels - 1)
  steps = (_find_class_steps(batch, batch.labels, gaps) +
           _find_class_steps(batch, 1 - batch.labels, gaps)) / 2
  own = tf.nn.relu(1 - logits * (2 * labels - 1))
  return cross_entropy.average(own * batch.share(steps), weights)


def bestfitting(labels: tf.Tensor,
                logits: tf.Tensor,
                batch: Batch | None = None,
                weights: np.ndarray | None = None) -> tf.Tensor:
  """Returns the examples' parts of the loss of the Kaggle winner.

  Half of the sum of three: the focal loss, summed over classes; hinge(); and
  the mean over classes of the mean cross-entropy of present labels, those of
  1/2 or more, and of the hardest absent ones. Of n absent and m present labels
  of a class in the batch these are the min(n, m + max(2, n/2), 0.7 n + 2) with
  the largest logits; n/2 and 0.7 n are rounded down.

  Args:
    labels: [b, K] of 0..1, any number type.
    logits: [b, K] float.
    batch: as of softmax.
    weights: as of softmax.

  Returns:
    As softmax.

  Source: CellProfiling/HPA-competition-solutions, bestfitting/src/layers,
  loss.py and hard_example.py.
  """
  labels, logits, batch = _complete(labels, logits, batch)
  entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels,
                                                    logits=logits)
  kept = _choose_hard(batch)
  factors = tf.math.divide_no_nan(kept, tf.reduce_sum(kept, axis=0))
  hard = cross_entropy.average(entropy * batch.share(factors), weights)
  focal = cross_entropy.focal(labels, logits, weights) * labels.shape[-1]
  return (focal + hinge(labels, logits, batch, weights) + hard) / 2


def _choose_hard(batch: Batch) -> tf.Tensor:
  """Returns 1 for present and hard absent labels, else 0, [B, K] float32."""
  is_real = batch.weight > 0
  is_present = (batch.labels >= _PRESENT) & is_real
  is_absent = (batch.labels < _PRESENT) & is_real
  present, absent = (tf.reduce_sum(tf.cast(each, tf.float32), axis=0)
                     for each in (is_present, is_absent))
  most = tf.minimum(
      present + tf.maximum(tf.floor(_LEAST_SHARE * absent), _LEAST_HARD),
      tf.floor(_MOST_SHARE * absent) + _LEAST_HARD)
  order = tf.where(is_absent, batch.logits, batch.logits.dtype.min)
  is_hard = tf.cast(_rank(order), tf.float32) < most
  return tf.cast(is_present | (is_absent & is_hard), tf.float32)


def _rank(values: tf.Tensor) -> tf.Tensor:
  """Returns the places of values [B, K] in descending order, of each class."""
  order = tf.argsort(values, axis=0, direction='DESCENDING', stable=True)
  return tf.argsort(order, axis=0, stable=True)


def _find_class_steps(batch: Batch, labels: tf.Tensor,
                      errors: tf.Tensor) -> tf.Tensor:
  """Returns how much each error of a class counts, all [B, K] float32."""
  # Padding comes last, where it changes no step before it.
  errors = tf.where(batch.weight > 0, errors, errors.dtype.min)
  labels = labels * batch.weight
  order, steps = lovasz.find_steps(tf.transpose(labels), tf.transpose(errors))
  places = tf.argsort(order, stable=True)
  return tf.transpose(tf.gather(steps, places, batch_dims=1))


# By the name of --loss.
LOSSES: dict[str, Callable[..., tf.Tensor]] = {
    'lovasz_softmax': softmax,
    'lovasz_hinge': hinge,
    'bestfitting': bestfitting,
}
