"""Contrastive losses: of the views of an image against those of others.

With s_ab(i, j) = exp(a_i . b_j / temperature), of unit vectors of the views x,
y and z, SIFLoc minimizes the mean over images i of

    -2 log [s_xy(i, i) / sum over j != i of (s_xy + s_xx + s_yy)(i, j)]
    + the sum over (a, b) = xz, yz, zx, zy
      of -log [s_ab(i, i) / sum over j != i of s_ab(i, j)].

No denominator has the positive pair (i, i). NT-Xent, of the views x and y, has
it there: for each of the 2 B vectors -log of the share of its positive among
all of the others.

The negatives of an image are those of the global batch. A replica has its own
images as i, and all as j.

Source: Tu et al., "SIFLoc", 2022; Outliers1106/SIFLoc, src/loss.py. Chen et
al., "A Simple Framework for Contrastive Learning of Visual Representations",
2020, equation 1.
"""

from collections.abc import Callable, Sequence

from hpa_records.runtime.tensorflow import tf
from trainer.pretraining import settings

Views = Sequence[tf.Tensor]


class _Pairs:
  """The similarities of own vectors i to all vectors j."""

  def __init__(self, own: Views, everyone: Views, slots: tf.Tensor,
               temperature: float):
    self._own, self._everyone = own, everyone
    self._temperature = temperature
    self._is_self = slots[:, None] == tf.range(everyone[0].shape[0])

  def positive(self, a: int, b: int) -> tf.Tensor:
    """Returns log s_ab(i, i), [b]."""
    products = tf.reduce_sum(self._own[a] * self._own[b], axis=1)
    return products / self._temperature

  def negatives(self, a: int, *others: int) -> tf.Tensor:
    """Returns log s_ab(i, j) for each other view b, j = i left out, [b, ...].
    """
    found = [self._multiply(a, b) for b in others]
    return tf.concat(
        [tf.where(self._is_self, -tf.float32.max, each) for each in found], 1)

  def _multiply(self, a: int, b: int) -> tf.Tensor:
    found = tf.matmul(self._own[a], self._everyone[b], transpose_b=True)
    return found / self._temperature


def sifloc(own: Views, everyone: Views, slots: tf.Tensor,
           temperature: float) -> tf.Tensor:
  """Returns SIFLoc's loss of each own image, [b] float32.

  Args:
    own: x, y and z of this replica's images, each [b, D] float32, of length 1.
    everyone: the same of all images, each [B, D], B >= 2.
    slots: [b] int32, the rows of own in everyone.
    temperature: > 0.
  """
  pairs = _Pairs(own, everyone, slots, temperature)
  x, y, z = range(3)

  def lose(positive, *negatives):
    return tf.reduce_logsumexp(tf.concat(negatives, 1), 1) - positive

  total = 2 * lose(pairs.positive(x, y), pairs.negatives(x, y, x),
                   pairs.negatives(y, y))
  for a, b in ((x, z), (y, z), (z, x), (z, y)):
    total += lose(pairs.positive(a, b), pairs.negatives(a, b))
  return total


def nt_xent(own: Views, everyone: Views, slots: tf.Tensor,
            temperature: float) -> tf.Tensor:
  """Returns NT-Xent of each own image, the mean of its two vectors, [b].

  Args:
    own: x and y, as in sifloc.
    everyone: x and y, as in sifloc.
    slots: as in sifloc.
    temperature: > 0.
  """
  pairs = _Pairs(own, everyone, slots, temperature)
  positive = pairs.positive(0, 1)
  total = tf.zeros_like(positive)
  for a in (0, 1):
    rest = [positive[:, None], pairs.negatives(a, 0, 1)]
    total += tf.reduce_logsumexp(tf.concat(rest, 1), 1) - positive
  return total / 2


def get(name: str) -> Callable[[Views, Views, tf.Tensor, float], tf.Tensor]:
  """Returns the loss of a name in settings.LOSSES."""
  return {settings.SIFLOC: sifloc, settings.NT_XENT: nt_xent}[name]
