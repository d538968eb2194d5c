"""Tests of trainer.training.loss."""

import numpy as np
import pytest

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.training import loss


def _reference(labels, logits):
  labels, logits = labels.astype(float), logits.astype(float)
  entropy = np.logaddexp(0, logits) - labels * logits
  return entropy.mean(axis=-1)


@pytest.mark.parametrize('size', [1e-3, 1.0, 30.0, 1e4])
def test_equals_float64_at_any_size_of_logit(size):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (50, 28))
  logits = (size * rng.standard_normal((50, 28))).astype(np.float32)
  result = loss.binary_crossentropy(labels, logits).numpy()
  np.testing.assert_allclose(result, _reference(labels, logits), rtol=2e-6)


def test_extreme_logits_have_finite_loss_and_gradient():
  labels = tf.constant([[0., 1., 0., 1.]])
  logits = tf.Variable([[3e38, -3e38, -3e38, 3e38]])
  with tf.GradientTape() as tape:
    total = loss.binary_crossentropy(labels, logits / 4)
  assert np.isfinite(total.numpy()).all()
  gradient = tape.gradient(total, logits).numpy()
  np.testing.assert_allclose(16 * gradient, [[1, -1, 0, 0]])


def test_right_and_sure_costs_nothing():
  result = loss.binary_crossentropy([[0, 1]], [[-200., 200.]])
  assert result.numpy().tolist() == [0.0]


@pytest.mark.parametrize('dtype', [np.uint8, np.int64, np.float32])
def test_one_float32_an_example_from_any_label_type(dtype):
  labels = np.array([[1, 0], [0, 0], [1, 1]], dtype)
  result = loss.binary_crossentropy(labels, tf.zeros([3, 2], tf.bfloat16))
  assert result.dtype == tf.float32
  np.testing.assert_allclose(result.numpy(), [np.log(2)] * 3, rtol=1e-6)


def test_focal_by_hand():
  labels, logits = np.array([[1, 0]]), np.array([[2.0, -1.0]], np.float32)
  chance = 1 / (1 + np.exp([2.0, 1.0]))  # of the wrong answer
  want = np.mean(chance**2 * -np.log(1 - chance))
  np.testing.assert_allclose(loss.focal(labels, logits), [want], rtol=1e-6)


def _lovasz_extension(labels, errors):
  """By its definition: the loss of each set of mistakes, errors as weights."""
  order = np.argsort(-errors, kind='stable')
  total, before, mistakes = 0.0, 0.0, np.zeros(len(labels), bool)
  for i in order:
    mistakes[i] = True
    predicted = labels.astype(bool) ^ mistakes
    both = (predicted & labels.astype(bool)).sum()
    jaccard = 1 - both / max(1, (predicted | labels.astype(bool)).sum())
    total += max(0.0, errors[i]) * (jaccard - before)
    before = jaccard
  return total


def test_lovasz_is_the_extension_of_the_jaccard_index():
  rng = np.random.default_rng(0)
  labels = (rng.random((60, 28)) < 0.1).astype(int)
  labels[0], labels[1] = 0, 1
  logits = rng.normal(0, 2, (60, 28)).astype(np.float32)
  want = []
  for row, logit in zip(labels, logits):
    errors = 1 - logit * (2 * row - 1)
    want.append(
        (_lovasz_extension(row, errors) + _lovasz_extension(1 - row, errors)) /
        2)
  np.testing.assert_allclose(loss.lovasz(labels, logits), want, rtol=1e-4)


@pytest.mark.parametrize('name', loss.LOSSES)
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


def test_softmax_is_the_logarithm_of_the_label_s_probability():
  labels = np.array([[0, 1, 0], [0, 0, 0]], np.uint8)
  logits = np.array([[1.0, 2.0, -1.0], [1.0, 2.0, 3.0]], np.float32)
  odds = np.exp(logits[0].astype(float))
  want = -np.log(odds[1] / odds.sum())
  found = loss.softmax_crossentropy(labels, logits)
  assert found.dtype == tf.float32
  np.testing.assert_allclose(found, [want, 0], rtol=1e-6)
  sure = loss.softmax_crossentropy([[1, 0]], tf.constant([[1e4, -1e4]]))
  assert sure.numpy().tolist() == [0.0]


def test_get_by_name():
  assert loss.get('bce') is loss.binary_crossentropy
  with pytest.raises(ValueError, match="softmax, received 'hinge'"):
    loss.get('hinge')


@pytest.mark.parametrize('l1,l2,want', [(0, 0, 0), (0.5, 0, 5), (0, 0.1, 3),
                                        (0.5, 0.1, 8)])
def test_penalty_by_hand(l1, l2, want):
  kernels = [tf.Variable([[1.0, -2.0]]), tf.Variable([[-3.0], [4.0]])]
  total = loss.penalty(kernels, l1, l2)
  assert total.dtype == tf.float32 and total.shape == []
  np.testing.assert_allclose(total.numpy(), want, rtol=1e-6)
