"""Losses: labels [B, K] and logits [B, K] to one loss for each example, [B].

One loss for each example, not their mean: the step weights padding with 0, sums
over replicas and divides by the global batch, so the result does not depend on
the number of replicas. The mean over classes, not the sum, because the paper's
rate of 0.1 fits it (the original network sums over 13 classes and uses 0.01,
which is 0.13 on the mean).

Losses of a batch are no sums over examples (batch_loss.py). They give the parts
of the examples, and replicas exchange labels and logits for them.

Labels may be fractions, as of mixed or smoothed ones.
"""

from collections.abc import Callable, Sequence
import math

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from trainer.recipe import optimization
from trainer.training.optimization import batch_loss
from trainer.training.optimization import cross_entropy
from trainer.training.optimization import lovasz

_LEAST_PROBABILITY = 1e-7  # 1 - 1e-7 is not yet 1 in float32

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

LOSSES = {
    'bce': cross_entropy.binary_crossentropy,
    'focal': cross_entropy.focal,
    'asymmetric': cross_entropy.asymmetric,
    'focal_lovasz': lovasz.focal_lovasz,
    'softmax': cross_entropy.softmax_crossentropy,
    **batch_loss.LOSSES,
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
                weights: np.ndarray | None) -> Callable[..., tf.Tensor]:
  """Returns the loss function that is trained: of smoothed labels, weighted.

  It also takes a function of labels and logits that returns the whole batch,
  batch_loss.Batch, which the losses of a batch call.

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

  def compute(labels, logits, gather=None):
    if smoothing:
      answers = labels.shape[-1] if settings.loss == 'softmax' else 2
      labels = tf.cast(labels, tf.float32) * (1 - smoothing)
      labels += smoothing / answers
    of_batch = {}
    if gather and settings.loss in batch_loss.LOSSES:
      of_batch['batch'] = gather(labels, logits)
    return function(labels, logits, **of_batch, **weighted)

  return compute


def compute_whole(name: str, labels: np.ndarray,
                  predictions: np.ndarray) -> float:
  """Returns the loss of images as one batch.

  Args:
    name: one of batch_loss.LOSSES.
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float32, 0..1, by sigmoids.
  """
  sure = np.clip(predictions, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
  logits = np.log(sure) - np.log1p(-sure)
  return float(tf.reduce_mean(batch_loss.LOSSES[name](labels, logits)))


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
