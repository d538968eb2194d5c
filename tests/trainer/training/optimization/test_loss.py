"""Tests of trainer.training.optimization.loss."""

import numpy as np
import pytest

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.recipe import optimization
from trainer.training.optimization import batch_loss
from trainer.training.optimization import cross_entropy
from trainer.training.optimization import loss

_OF_EXAMPLES = [each for each in loss.LOSSES if each not in batch_loss.LOSSES]


@pytest.mark.parametrize('name', _OF_EXAMPLES)
def test_each_loss_is_an_example_s_own_and_leads_to_its_labels(name):
  rng = np.random.default_rng(1)
  labels = (rng.random((8, 28)) < 0.2).astype(np.float32)
  if name == 'softmax':
    labels = np.eye(28, dtype=np.float32)[rng.integers(0, 28, 8)]
  function = tensorflow.compiled(loss.get(name))
  logits = tf.Variable(rng.normal(size=(8, 28)), dtype=tf.float32)
  whole = function(labels, logits).numpy()
  assert whole.shape == (8,) and whole.dtype == np.float32
  alone = [
      function(labels[i:i + 1], logits[i:i + 1]).numpy()[0] for i in range(8)
  ]
  np.testing.assert_allclose(whole, alone, rtol=1e-5)
  for _ in range(300):
    with tf.GradientTape() as tape:
      total = tf.reduce_sum(function(labels, logits))
    logits.assign_sub(tape.gradient(total, logits))
  found = logits.numpy()
  level = 0 if name != 'softmax' else np.sort(found)[:, -2:].mean(1)[:, None]
  np.testing.assert_array_equal(found > level, labels > 0)


def _losses(name, labels, logits, **settings):
  """[B] of a loss as it is trained, and its gradient."""
  weights = settings.pop('weights', None)
  function = loss.get_trained(optimization.Optimization(loss=name, **settings),
                              weights)
  logits = tf.Variable(logits, dtype=tf.float32)
  with tf.GradientTape() as tape:
    found = function(np.array(labels, np.float32), logits)
  return found.numpy(), tape.gradient(found, logits).numpy()


def test_asymmetric_by_hand():
  logits = np.array([[2.0, -1.0, 0.5, -4.0]])
  p = 1 / (1 + np.exp(-logits[0]))
  q = np.maximum(p - 0.05, 0)
  present, absent = -np.log(p), -q**4 * np.log(1 - q)
  assert absent[3] == 0
  found, gradient = _losses('asymmetric', [[1, 0, 0, 0]], logits)
  assert found[0] == pytest.approx(np.mean([present[0], *absent[1:]]), rel=1e-5)
  # The derivatives by p, times p (1 - p).
  slope = (4 * q**3 * -np.log(1 - q) + q**4 / (1 - q)) * p * (1 - p)
  np.testing.assert_allclose(gradient[0] * 4, [p[0] - 1, *slope[1:]],
                             rtol=1e-4,
                             atol=1e-7)


@pytest.mark.parametrize('name', ['bce', 'asymmetric', 'softmax'])
def test_a_fraction_is_the_mean_of_the_losses_of_both_labels(name):
  logits = np.array([[0.3, -2.0, 1.0]])
  one, other, mixed = (_losses(name, [labels], logits)[0]
                       for labels in ([1, 0, 0], [0, 1, 0], [0.25, 0.75, 0]))
  np.testing.assert_allclose(mixed, 0.25 * one + 0.75 * other, rtol=1e-5)


def test_focal_of_a_fraction_is_0_where_it_is_met():
  """|y - p|**2 times the cross-entropy."""
  labels, logits = np.array([[0.3, 0.8]]), np.array([[0.7, -0.2]])
  p = 1 / (1 + np.exp(-logits))
  entropy = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
  want = np.mean((labels - p)**2 * entropy)
  assert _losses('focal', labels, logits)[0][0] == pytest.approx(want, rel=1e-5)
  met = np.log(labels / (1 - labels))
  np.testing.assert_allclose(_losses('focal', labels, met)[0], 0, atol=1e-12)


@pytest.mark.parametrize('name', loss.LOSSES)
@pytest.mark.parametrize('part', [1, 0.4])
def test_extreme_logits_of_any_label_are_finite(name, part):
  labels = np.array([[part, 0, 1 - part], [0, part, 1 - part]])
  for size in (100.0, 1e4):
    logits = size * np.array([[1, 1, -1], [1, -1, 1]], np.float32)
    for each in _losses(name, labels, logits, label_smoothing=0.1):
      assert np.isfinite(each).all()


@pytest.mark.parametrize('name', ['bce', 'focal', 'asymmetric', 'softmax'])
def test_each_class_has_its_weight(name):
  labels, logits = [[1, 0, 0]], [[0.3, -2.0, 1.0]]
  weights = np.array([2.0, 0.25, 0.75], np.float32)
  plain = loss.get(name)
  alone = [
      plain(labels, logits,
            np.eye(3, dtype=np.float32)[i])[0] for i in range(3)
  ]
  found, gradient = _losses(name, labels, logits, weights=weights)
  np.testing.assert_allclose(found[0], weights @ np.array(alone), rtol=1e-5)
  same, unweighted = (_losses(name, labels, logits, weights=each)
                      for each in (np.ones(3, np.float32), None))
  np.testing.assert_allclose(same[0], unweighted[0], rtol=1e-6)
  np.testing.assert_allclose(same[1], unweighted[1], rtol=1e-5, atol=1e-7)
  assert not np.allclose(gradient, same[1])


@pytest.mark.parametrize('name,smoothed', [
    ('bce', [[0.9, 0.1, 0.1, 0.1]]),
    ('softmax', [[0.85, 0.05, 0.05, 0.05]]),
])
def test_smoothed_labels_are_those_of_the_formula(name, smoothed):
  logits = np.array([[0.3, -2.0, 1.0, 0.0]], np.float32)
  found, _ = _losses(name, [[1, 0, 0, 0]], logits, label_smoothing=0.2)
  np.testing.assert_allclose(found, loss.get(name)(smoothed, logits), rtol=1e-5)


def test_get_by_name():
  assert loss.get('bce') is cross_entropy.binary_crossentropy
  with pytest.raises(ValueError, match="bestfitting, received 'hinge'"):
    loss.get('hinge')


@pytest.mark.parametrize('l1,l2,want', [(0, 0, 0), (0.5, 0, 5), (0, 0.1, 3),
                                        (0.5, 0.1, 8)])
def test_penalty_by_hand(l1, l2, want):
  kernels = [tf.Variable([[1.0, -2.0]]), tf.Variable([[-3.0], [4.0]])]
  total = loss.penalty(kernels, l1, l2)
  assert total.dtype == tf.float32 and total.shape == []
  np.testing.assert_allclose(total.numpy(), want, rtol=1e-6)
