"""Tests of trainer.training.optimization.batch_loss."""

import numpy as np
import pytest

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from tests.trainer.training.optimization import test_lovasz
from trainer.recipe import optimization
from trainer.training.optimization import batch_loss
from trainer.training.optimization import loss


def _softmax(labels, logits):
  p = 1 / (1 + np.exp(-logits))
  found = [
      test_lovasz.find_extension(labels[:, c],
                                 np.abs(labels - p)[:, c])
      for c in range(labels.shape[1])
      if labels[:, c].any()
  ]
  return np.mean(found) if found else 0.0


def _hinge(labels, logits):
  gaps = 1 - logits * (2 * labels - 1)
  return np.mean([
      test_lovasz.find_extension(each[:, c], gaps[:, c])
      for each in (labels, 1 - labels)
      for c in range(labels.shape[1])
  ])


def _bestfitting(labels, logits):
  entropy = np.logaddexp(0, logits) - labels * logits
  p = 1 / (1 + np.exp(-logits))
  focal = (np.abs(labels - p)**2 * entropy).sum(1).mean()
  hard = []
  for y, z, each in zip(labels.T, logits.T, entropy.T):
    present, absent = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    count = min(len(absent),
                len(present) + max(2,
                                   len(absent) // 2),
                int(0.7 * len(absent)) + 2)
    hardest = absent[np.argsort(-z[absent])[:count]]
    hard.append(each[[*present, *hardest]].mean())
  return (focal + _hinge(labels, logits) + np.mean(hard)) / 2


_WANTED = {
    'lovasz_softmax': _softmax,
    'lovasz_hinge': _hinge,
    'bestfitting': _bestfitting
}


def _draw(count, classes, seed=0):
  """Labels with a class without, and a class of all; and logits."""
  rng = np.random.default_rng(seed)
  labels = (rng.random((count, classes)) < 0.3).astype(np.float32)
  labels[:, 0], labels[:, -1] = 0, 1
  return labels, rng.normal(0, 2, (count, classes)).astype(np.float32)


@pytest.mark.parametrize('name', _WANTED)
@pytest.mark.parametrize('count,classes', [(1, 1), (1, 5), (9, 2), (32, 6)])
def test_its_mean_and_gradient_are_those_of_loops(name, count, classes):
  labels, values = _draw(count, classes)
  logits = tf.Variable(values)
  with tf.GradientTape() as tape:
    losses = tensorflow.compiled(batch_loss.LOSSES[name])(labels, logits)
    total = tf.reduce_mean(losses)
  assert losses.shape == (count,) and losses.dtype == tf.float32
  want = _WANTED[name]
  assert float(total) == pytest.approx(want(labels, values.astype(float)),
                                       rel=1e-5)
  gradient = tape.gradient(total, logits).numpy()
  step = 1e-6
  for place in ((0, 0), (count - 1, classes - 1), (count // 2, classes // 2)):
    moved = [values.astype(float), values.astype(float)]
    moved[0][place] -= step
    moved[1][place] += step
    low, high = (want(labels, each) for each in moved)
    assert gradient[place] == pytest.approx((high - low) / (2 * step),
                                            rel=1e-3,
                                            abs=1e-6)


def test_lovasz_softmax_by_hand():
  """Jaccard losses of 1/2, 2/3 and 1 as one error after another is made."""
  p = np.array([[0.6], [0.3], [0.9]])
  losses = batch_loss.softmax(np.array([[1], [0], [1]]), np.log(p / (1 - p)))
  np.testing.assert_allclose(losses, [3 * 0.4 / 2, 3 * 0.3 / 6, 3 * 0.1 / 3],
                             rtol=1e-5)
  none = batch_loss.softmax(np.zeros((3, 1)), np.log(p / (1 - p)))
  np.testing.assert_array_equal(none, [0, 0, 0])
  every = batch_loss.softmax(np.ones((3, 1)), np.log(p / (1 - p)))
  np.testing.assert_allclose(every, [0.4, 0.7, 0.1], rtol=1e-5)


def test_lovasz_hinge_by_hand():
  """Margins of 1.5 and 0; the loss is .75, and 1.5 of the complement."""
  losses = batch_loss.hinge(np.array([[1], [0]]), np.array([[2.0], [0.5]]))
  np.testing.assert_allclose(losses, [0, 2 * 1.125], rtol=1e-6)
  # Each of no images or of all has its largest margin, or their mean.
  for labels in (0, 1):
    losses = batch_loss.hinge(np.full((2, 1), labels),
                              (1 - 2 * labels) * np.array([[2.0], [0.5]]))
    assert np.mean(losses) == pytest.approx((3 + (3 + 1.5) / 2) / 2)


@pytest.mark.parametrize('name', _WANTED)
def test_parts_of_replicas_without_padding_sum_to_the_whole(name):
  labels, logits = _draw(12, 4)
  real = np.array([1] * 5 + [0] + [1] * 3 + [0] * 3, np.float32)
  labels[real == 0] = 1
  function = batch_loss.LOSSES[name]
  whole = function(labels[real > 0], logits[real > 0])
  found = np.concatenate([
      function(
          labels[rows], logits[rows],
          batch_loss.Batch(tf.constant(labels), tf.constant(logits), real[:,
                                                                          None],
                           tf.constant(rows)))
      for rows in (np.arange(6), np.arange(6, 12))
  ])
  np.testing.assert_allclose(found[real > 0], whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', _WANTED)
def test_fractions_near_labels_cost_as_labels(name):
  labels, logits = _draw(12, 4)
  near = np.abs(labels - 1e-6)
  function = batch_loss.LOSSES[name]
  np.testing.assert_allclose(function(near, logits),
                             function(labels, logits),
                             rtol=1e-3,
                             atol=1e-4)


def test_lovasz_softmax_of_fractions_is_0_where_they_are_met():
  labels = np.array([[0.3, 0.8], [0.7, 0.2]])
  met = np.log(labels / (1 - labels))
  np.testing.assert_allclose(batch_loss.softmax(labels, met), 0, atol=1e-6)
  assert (batch_loss.softmax(labels, met + 0.1).numpy() > 0).all()


@pytest.mark.parametrize('name', _WANTED)
def test_classes_have_their_weights(name):
  labels, logits = _draw(12, 4)
  weights = np.array([0.5, 2.0, 0.25, 1.25], np.float32)
  function = batch_loss.LOSSES[name]
  found = function(labels, logits, weights=weights)
  alone = sum(weight *
              function(labels, logits, weights=np.eye(4, dtype=np.float32)[i])
              for i, weight in enumerate(weights))
  np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', _WANTED)
def test_it_leads_to_the_labels_of_all_and_is_that_of_their_predictions(name):
  labels, values = _draw(16, 5)
  logits = tf.Variable(values)
  settings = optimization.Optimization(loss=name, label_smoothing=0.05)
  function = tensorflow.compiled(loss.get_trained(settings, None))
  for _ in range(300):
    with tf.GradientTape() as tape:
      total = tf.reduce_mean(function(labels, logits))
    logits.assign_sub(5 * tape.gradient(total, logits))
  found = logits.numpy()[:, 1:]  # Lovász-Softmax leaves an absent class out
  np.testing.assert_array_equal(found > 0, labels[:, 1:] > 0)
  whole = loss.compute_whole(name, labels, tf.sigmoid(logits).numpy())
  assert whole == pytest.approx(float(
      tf.reduce_mean(loss.get(name)(labels, logits))),
                                rel=1e-3,
                                abs=1e-5)
