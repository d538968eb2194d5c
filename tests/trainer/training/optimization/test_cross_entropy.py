"""Tests of trainer.training.optimization.cross_entropy."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.training.optimization import cross_entropy


def _reference(labels, logits):
  labels, logits = labels.astype(float), logits.astype(float)
  entropy = np.logaddexp(0, logits) - labels * logits
  return entropy.mean(axis=-1)


@pytest.mark.parametrize('size', [1e-3, 1.0, 30.0, 1e4])
def test_equals_float64_at_any_size_of_logit(size):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (50, 28))
  logits = (size * rng.standard_normal((50, 28))).astype(np.float32)
  result = cross_entropy.binary_crossentropy(labels, logits).numpy()
  np.testing.assert_allclose(result, _reference(labels, logits), rtol=2e-6)


def test_extreme_logits_have_finite_loss_and_gradient():
  labels = tf.constant([[0., 1., 0., 1.]])
  logits = tf.Variable([[3e38, -3e38, -3e38, 3e38]])
  with tf.GradientTape() as tape:
    total = cross_entropy.binary_crossentropy(labels, logits / 4)
  assert np.isfinite(total.numpy()).all()
  gradient = tape.gradient(total, logits).numpy()
  np.testing.assert_allclose(16 * gradient, [[1, -1, 0, 0]])


def test_right_and_sure_costs_nothing():
  result = cross_entropy.binary_crossentropy([[0, 1]], [[-200., 200.]])
  assert result.numpy().tolist() == [0.0]


@pytest.mark.parametrize('dtype', [np.uint8, np.int64, np.float32])
def test_one_float32_an_example_from_any_label_type(dtype):
  labels = np.array([[1, 0], [0, 0], [1, 1]], dtype)
  result = cross_entropy.binary_crossentropy(labels,
                                             tf.zeros([3, 2], tf.bfloat16))
  assert result.dtype == tf.float32
  np.testing.assert_allclose(result.numpy(), [np.log(2)] * 3, rtol=1e-6)


def test_focal_by_hand():
  labels, logits = np.array([[1, 0]]), np.array([[2.0, -1.0]], np.float32)
  chance = 1 / (1 + np.exp([2.0, 1.0]))  # of the wrong answer
  want = np.mean(chance**2 * -np.log(1 - chance))
  np.testing.assert_allclose(cross_entropy.focal(labels, logits), [want],
                             rtol=1e-6)


def test_softmax_is_the_logarithm_of_the_label_s_probability():
  labels = np.array([[0, 1, 0], [0, 0, 0]], np.uint8)
  logits = np.array([[1.0, 2.0, -1.0], [1.0, 2.0, 3.0]], np.float32)
  odds = np.exp(logits[0].astype(float))
  want = -np.log(odds[1] / odds.sum())
  found = cross_entropy.softmax_crossentropy(labels, logits)
  assert found.dtype == tf.float32
  np.testing.assert_allclose(found, [want, 0], rtol=1e-6)
  sure = cross_entropy.softmax_crossentropy([[1, 0]], tf.constant([[1e4,
                                                                    -1e4]]))
  assert sure.numpy().tolist() == [0.0]
