"""contrastive: both losses against loops of the formula, and by hand."""

import math

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.pretraining import contrastive

_T = 0.5


def _views(count, number=3):
  rng = np.random.default_rng(0)
  found = rng.normal(size=(number, count, 4))
  return found / np.linalg.norm(found, axis=2, keepdims=True)


def _lose(name, views, slots=slice(None)):
  own = [tf.constant(each[slots], tf.float32) for each in views]
  everyone = [tf.constant(each, tf.float32) for each in views]
  rows = np.arange(len(views[0]), dtype=np.int32)[slots]
  return contrastive.get(name)(own, everyone, tf.constant(rows), _T).numpy()


def _sifloc_by_loops(views):
  """Returns the loss of each image, from the formula."""
  x, y, z = views
  count = len(x)

  def s(a, b, i, j):
    return math.exp(a[i] @ b[j] / _T)

  found = []
  for i in range(count):
    others = [j for j in range(count) if j != i]
    below = sum(s(x, y, i, j) + s(x, x, i, j) + s(y, y, i, j) for j in others)
    total = -2 * math.log(s(x, y, i, i) / below)
    for a, b in ((x, z), (y, z), (z, x), (z, y)):
      total -= math.log(s(a, b, i, i) / sum(s(a, b, i, j) for j in others))
    found.append(total)
  return found


def _nt_xent_by_loops(views):
  """Returns the mean of an image's two losses, from the formula."""
  x, y, *_ = views
  all_of = np.concatenate([x, y])
  count = len(x)

  def loss(i, positive):
    below = sum(
        math.exp(all_of[i] @ all_of[k] / _T)
        for k in range(2 * count)
        if k != i)
    return -math.log(math.exp(all_of[i] @ all_of[positive] / _T) / below)

  return [(loss(i, i + count) + loss(i + count, i)) / 2 for i in range(count)]


@pytest.mark.parametrize('name,loops', [('sifloc', _sifloc_by_loops),
                                        ('nt_xent', _nt_xent_by_loops)])
@pytest.mark.parametrize('count', [2, 5])
def test_losses_are_their_formulas(name, loops, count):
  views = _views(count)
  np.testing.assert_allclose(_lose(name, views), loops(views), rtol=1e-5)


def test_two_images_by_hand():
  # All views of an image are alike, those of both at right angles: each
  # positive is e^2, each negative 1.
  views = np.stack([np.eye(2)] * 3)
  # -2 log(e^2 / 3) - 4 log(e^2 / 1) = -2 (2 - log 3) - 8
  expected = 2 * math.log(3) - 12
  np.testing.assert_allclose(_lose('sifloc', views), [expected] * 2, rtol=1e-6)
  # -log(e^2 / (e^2 + 2))
  expected = math.log(math.exp(2) + 2) - 2
  np.testing.assert_allclose(_lose('nt_xent', views[:2]), [expected] * 2,
                             rtol=1e-6)


def test_denominators_have_no_positive_in_sifloc_alone():
  aligned = np.stack([np.eye(4)] * 3)
  # With it in the denominator no share is above 1, so no loss below 0.
  assert (_lose('sifloc', aligned) < 0).all()
  assert (_lose('nt_xent', aligned) > 0).all()


@pytest.mark.parametrize('name', ['sifloc', 'nt_xent'])
def test_a_replica_s_images_have_the_negatives_of_all(name):
  views = _views(6)
  whole = _lose(name, views)
  parts = [_lose(name, views, slice(first, first + 3)) for first in (0, 3)]
  np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6)


def test_gradients_are_finite():
  views = [tf.constant(each, tf.float32) for each in _views(2)]
  with tf.GradientTape() as tape:
    tape.watch(views)
    loss = tf.reduce_sum(contrastive.sifloc(views, views, tf.range(2), 0.01))
  for each in tape.gradient(loss, views):
    assert np.isfinite(each).all() and np.abs(each).max() > 0
