"""Tests of trainer.training.optimization.class_weight."""

import numpy as np
import pytest

from trainer.training.optimization import class_weight

_LABELS = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
_REPEATS = np.array([3.5, 0.5, 1, 0], np.float32)  # the last is held out


@pytest.mark.parametrize('name,power', [('inverse', 1), ('sqrt_inverse', 0.5)])
def test_weights_follow_the_draws_with_the_mean_1(name, power):
  weights = class_weight.compute(name, _LABELS, _REPEATS)
  assert weights.dtype == np.float32 and weights.mean() == pytest.approx(1)
  draws = np.array([4, 0.5, 1])
  want = draws**-power / np.mean(draws**-power)
  np.testing.assert_allclose(weights, [*want, 1], rtol=1e-6)


def test_classes_without_draws_are_finite():
  weights = class_weight.compute('inverse', _LABELS, np.zeros(4, np.float32))
  assert weights.tolist() == [1, 1, 1, 1]


def test_none_weights_nothing():
  assert class_weight.compute('none', _LABELS, _REPEATS) is None
