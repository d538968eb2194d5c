"""ArcFace: classification of identities by the angle to their centers.

The logits of an image are the cosines of the angles theta_j between its
embedding and the center of each identity j. With its own identity i, a scale s
and a margin m, ArcFace is the cross-entropy of the softmax of

    s cos(theta_i + m), s cos(theta_j) for each other j.

Beyond theta_i = pi - m, where cos(theta_i + m) would rise again, cos(theta_i) -
m sin(m) is in its place. The loss is the mean of ArcFace and the cross-entropy
of the cosines themselves, without scale and margin, as bestfitting has it.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
Recognition", 2019; CellProfiling/HPA-competition-solutions, bestfitting/src/
layers/loss.py and networks/resnet_ml.py.
"""

import math

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf

SCALE = 30.0  # s
MARGIN = 0.5  # m, radians
_LEAST = 1e-12  # of a squared sine: its root has no gradient at 0


class Cosines(keras.layers.Layer):
  """The cosines between embeddings and a trained center of each identity.

  Called with [B, D] float; the result is [B, I], -1..1. Lengths do not count.

  Args:
    count: I, of identities.
    seed: of the centers.
  """

  def __init__(self, count: int, seed: int, **kwargs):
    super().__init__(**kwargs)
    self._count, self._seed = count, seed

  def build(self, input_shape):
    """Adds the centers, [D, I] float32; no kernel, so weights do not decay."""
    deviation = 1 / math.sqrt(input_shape[-1])
    start = keras.initializers.RandomUniform(-deviation, deviation, self._seed)
    self.centers = self.add_weight((input_shape[-1], self._count),
                                   start,
                                   name='centers')

  def call(self, inputs):
    """Returns the cosines [B, I] of inputs [B, D]."""
    centers = tf.convert_to_tensor(self.centers)
    return tf.matmul(tf.math.l2_normalize(inputs, 1),
                     tf.math.l2_normalize(centers, 0))


def add_margin(cosines: tf.Tensor) -> tf.Tensor:
  """Returns what ArcFace has in place of the cosines of the own identities.

  Args:
    cosines: float32, -1..1, of any shape.
  """
  sines = tf.sqrt(tf.maximum(1 - tf.square(cosines), _LEAST))
  moved = cosines * math.cos(MARGIN) - sines * math.sin(MARGIN)
  return tf.where(cosines > math.cos(math.pi - MARGIN), moved,
                  cosines - MARGIN * math.sin(MARGIN))


def lose(cosines: tf.Tensor, identities: tf.Tensor) -> tf.Tensor:
  """Returns the loss of each image, [b] float32.

  Args:
    cosines: [b, I] float32, of Cosines.
    identities: [b] int32, 0..I-1, of the images.
  """
  own = tf.one_hot(identities, cosines.shape[1])
  moved = SCALE * tf.where(own > 0, add_margin(cosines), cosines)
  return (tf.nn.softmax_cross_entropy_with_logits(own, moved) +
          tf.nn.softmax_cross_entropy_with_logits(own, cosines)) / 2
