"""curve: scikit-learn's curves, with fewer corners."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest
from sklearn import calibration
from sklearn import metrics as reference

from trainer.report.figures import curve


def _sample(size, decimals, seed=0):
  """Labels and correlated predictions; few decimals make ties."""
  rng = np.random.default_rng(seed)
  labels = (rng.random(size) < 0.3).astype(np.uint8)
  predictions = rng.normal(labels, 1.0)
  return labels, np.round(1 / (1 + np.exp(-predictions)),
                          decimals).astype(np.float32)


@pytest.mark.parametrize('decimals', [1, 2, 8])
def test_roc_is_that_of_scikit_learn(decimals):
  labels, predictions = _sample(500, decimals)
  x, y, _ = reference.roc_curve(labels, predictions, drop_intermediate=False)
  found = curve.roc(labels, predictions)
  np.testing.assert_allclose(found.x, x)
  np.testing.assert_allclose(found.y, y)
  assert found.area == pytest.approx(
      reference.roc_auc_score(labels, predictions))


@pytest.mark.parametrize('decimals', [1, 2, 8])
def test_precision_recall_is_steps_over_that_of_scikit_learn(decimals):
  labels, predictions = _sample(500, decimals)
  precision, recall, _ = reference.precision_recall_curve(labels, predictions)
  found = curve.precision_recall(labels, predictions)
  assert found.area == pytest.approx(
      reference.average_precision_score(labels, predictions))
  # Level, then upright, in turns; levels are the precision at a step's end.
  assert not np.diff(found.y)[::2].any() and not np.diff(found.x)[1::2].any()
  assert (found.x[0], found.x[-1]) == (0, 1)
  best = {r: p for p, r in zip(precision, recall) if r > 0}
  for level, end in zip(found.y[1::2], found.x[1::2]):
    assert best[end] == pytest.approx(level)
  assert len(found.x) == 2 * len(best)


def test_equal_scores_are_chance():
  labels, predictions = np.array([1, 0, 0, 0]), np.full(4, 0.25, np.float32)
  roc, steps = curve.roc(labels, predictions), curve.precision_recall(
      labels, predictions)
  assert (roc.x.tolist(), roc.y.tolist(), roc.area) == ([0, 1], [0, 1], 0.5)
  assert (steps.x.tolist(), steps.y.tolist(), steps.area) == ([0, 1], [.25] * 2,
                                                              .25)


@pytest.mark.parametrize('labels,has_roc,has_steps', [([0, 0], False, False),
                                                      ([1, 1], False, True),
                                                      ([0, 1], True, True),
                                                      ([], False, False)])
def test_a_curve_without_what_it_needs_is_none(labels, has_roc, has_steps):
  labels = np.array(labels, np.uint8)
  predictions = np.linspace(0, 1, len(labels))
  assert (curve.roc(labels, predictions) is not None) == has_roc
  assert (curve.precision_recall(labels, predictions) is not None) == has_steps


def _distances(points, line):
  """Of each point from the nearest piece of a line, piece by piece."""
  nearest = np.full(len(points), np.inf)
  for start, end in zip(line[:-1], line[1:]):
    along = np.linspace(start, end, 2001)
    apart = np.hypot(*(points[:, None] - along[None]).transpose(2, 0, 1))
    nearest = np.minimum(nearest, apart.min(axis=1))
  return nearest


@hypothesis.settings(deadline=None, derandomize=True, max_examples=60)
@hypothesis.given(st.integers(2, 60), st.integers(1, 8), st.integers(0, 999))
def test_a_thinned_curve_keeps_corners_and_never_leaves_the_curve(
    size, decimals, seed):
  labels, predictions = _sample(size, decimals, seed)
  labels[:2] = 0, 1
  for compute in (curve.roc, curve.precision_recall):
    whole = compute(labels, predictions)
    thinned = curve.thin(whole)
    points = np.stack([whole.x, whole.y], axis=1)
    line = np.stack([thinned.x, thinned.y], axis=1)
    assert thinned.area == whole.area
    assert (line[0] == points[0]).all() and (line[-1] == points[-1]).all()
    corners = iter(points.tolist())
    assert all(each in corners for each in line.tolist())  # in order too
    assert _distances(points, line).max() <= 0.001 + 1 / 2000


def test_a_spike_is_not_thinned_away():
  # Far beyond the ends of the piece below it, but near the line through them.
  found = curve.thin(
      curve.Curve(np.array([0, 1e-6, 2e-6]), np.array([0.5, 1.0, 0.6]), 0.0))
  assert found.y.tolist() == [0.5, 1.0, 0.6]


def test_thirty_thousand_corners_become_a_few_hundred():
  labels, predictions = _sample(31_072, 8)
  for compute in (curve.roc, curve.precision_recall):
    whole = compute(labels, predictions)
    assert len(whole.x) > 10_000 and len(curve.thin(whole).x) < 300


def test_reliability_is_that_of_scikit_learn():
  labels, predictions = _sample(3000, 8)
  predictions = predictions * 0.8  # the last bins are empty
  share, mean = calibration.calibration_curve(labels, predictions, n_bins=20)
  found = curve.reliability(labels.reshape(-1, 3), predictions.reshape(-1, 3))
  filled = found.counts > 0
  assert not filled.all() and np.isnan(found.share[~filled]).all()
  np.testing.assert_allclose(found.share[filled], share)
  np.testing.assert_allclose(found.mean[filled], mean)
  np.testing.assert_array_equal(found.counts,
                                np.histogram(predictions, found.edges)[0])


def test_the_calibration_error_is_the_mean_distance_from_what_came_true():
  labels = np.array([0, 1, 1, 1, 1])
  found = curve.reliability(labels, np.array([0.2, 0.2, 0.9, 0.9, 1]), bins=2)
  assert found.counts.tolist() == [2, 3]
  assert found.error == pytest.approx((2 * 0.3 + 0.1 + 0.1 + 0) / 5)
  assert np.isnan(curve.reliability(labels[:0], labels[:0]).error)
