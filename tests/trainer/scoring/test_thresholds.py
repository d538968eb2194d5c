"""thresholds: each rule against brute force, and what a fold may not see."""

import hypothesis
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest

from trainer.scoring import thresholds


def _f1(gains, total, predicted):
  return 2 * gains[predicted].sum() / max(total + predicted.sum(), 1e-300)


def _quality(rule, labels, predictions, cut):
  """How good a rule finds a threshold of one class; greater is better."""
  predicted = predictions > cut
  if rule == 'prevalence':
    return -abs(predicted.sum() - labels.sum())
  gains = labels if rule == 'f1' else predictions
  return _f1(gains, gains.sum(), predicted)


@st.composite
def _cases(draw):
  shape = (draw(st.integers(1, 12)), draw(st.integers(1, 3)))
  labels = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
  neighbours = [0.5 + i * np.spacing(0.5) for i in range(3)]
  few = st.sampled_from([0, 0.25, *neighbours, 1])
  elements = draw(st.sampled_from([few, st.floats(0, 1)]))
  return labels, draw(hnp.arrays(np.float64, shape, elements=elements))


@pytest.mark.parametrize('rule', thresholds.RULES)
@hypothesis.settings(deadline=None, max_examples=100, derandomize=True)
@hypothesis.given(case=_cases())
def test_no_threshold_is_better(rule, case):
  for labels, predictions, chosen in zip(*map(np.transpose, case),
                                         thresholds.choose(rule, *case)):
    best = max(
        _quality(rule, labels, predictions, cut)
        for cut in [-1, *predictions.tolist()])
    found = _quality(rule, labels, predictions, chosen)
    assert found == pytest.approx(best, rel=1e-12, abs=1e-12)


def _choose(rule, labels, predictions):
  """The threshold of one class."""
  columns = [
      np.array(values)[:, np.newaxis] for values in (labels, predictions)
  ]
  return thresholds.choose(rule, *columns).item()


def test_thresholds_lie_midway():
  labels, predictions = [1, 0, 1, 0], [.9, .2, .7, .4]
  assert _choose('f1', labels, predictions) == pytest.approx(.55)
  assert _choose('prevalence', labels, predictions) == pytest.approx(.55)
  assert _choose('prevalence', [1, 1, 1, 1], predictions) == pytest.approx(.1)
  assert _choose('prevalence', [0, 0, 0, 0], predictions) == pytest.approx(.95)


@pytest.mark.parametrize('rule', ['f1', 'prevalence'])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('steps', [0, 1])
def test_neighbours_are_kept_apart(rule, dtype, steps):
  low = dtype(0.5) + steps * np.spacing(dtype(0.5))
  predictions = np.array([[low + np.spacing(low)], [low], [low], [low]])
  assert predictions.dtype == dtype
  chosen = thresholds.choose(rule, np.array([[1], [0], [0], [0]]), predictions)
  assert (predictions > chosen).ravel().tolist() == [True, False, False, False]


def test_a_class_without_positives_is_never_predicted():
  predictions = [.2, .6, .6]
  for rule in ('f1', 'prevalence'):
    assert _choose(rule, [0, 0, 0], predictions) == pytest.approx(.8)
    assert _choose(rule, [0, 0], [.5, 1]) == 1
  assert _choose('expected_f1', [0, 1, 0], [0, 0, 0]) == .5


def test_a_class_without_negatives_is_always_predicted():
  for rule in ('f1', 'prevalence'):
    assert _choose(rule, [1, 1, 1], [.3, .2, .9]) == pytest.approx(.1)
    assert _choose(rule, [1, 1, 1], [.3, 0, .9]) == -.5


def test_equal_scores_are_predicted_together_and_fewer_if_in_doubt():
  predictions = [.8, .4, .4, .1]
  assert _choose('prevalence', [1, 1, 0, 0], predictions) == pytest.approx(.6)
  assert _choose('prevalence', [1, 1, 1, 0], predictions) == pytest.approx(.25)
  # F1 2/3 for one answer and for all four: 2 / (1 + 2), 4 / (2 + 4).
  assert _choose('f1', [1, 0, 0, 1], predictions) == pytest.approx(.6)


def test_expected_f1_asks_no_labels_and_is_half_of_what_it_expects():
  predictions = np.random.default_rng(0).random((5000, 2))**[1, 4]
  chosen = thresholds.choose('expected_f1', np.zeros(predictions.shape),
                             predictions)
  np.testing.assert_array_equal(
      chosen,
      thresholds.choose('expected_f1', np.ones(predictions.shape), predictions))
  for column, cut in zip(predictions.T, chosen):
    expected = _f1(column, column.sum(), column > cut)
    assert cut == pytest.approx(expected / 2, abs=1e-3)


def _folds(seed=0):
  rng = np.random.default_rng(seed)
  labels = (rng.random((300, 5)) < 0.3).astype(int)
  predictions = 0.4 * labels + 0.6 * rng.random(labels.shape)
  return labels, predictions, rng.integers(0, 3, 300)


@pytest.mark.parametrize('rule', thresholds.RULES)
def test_a_fold_does_not_bear_on_its_own_thresholds(rule):
  labels, predictions, folds = _folds()
  first = thresholds.cross_fit(rule, labels, predictions, folds)
  own = folds == 1
  labels[own], predictions[own] = 1 - labels[own], predictions[own]**3
  second = thresholds.cross_fit(rule, labels, predictions, folds)
  assert set(second) == {0, 1, 2}
  np.testing.assert_array_equal(first[1], second[1])
  assert (first[0] != second[0]).any() and (first[2] != second[2]).any()


def test_thresholds_of_a_fold_are_those_of_the_other_rows():
  labels, predictions, folds = _folds()
  others = folds != 2
  np.testing.assert_array_equal(
      thresholds.cross_fit('f1', labels, predictions, folds)[2],
      thresholds.choose('f1', labels[others], predictions[others]))


@pytest.mark.parametrize('rule, labels, predictions, message', [
    ('best', [[1]], [[.5]], "one of f1, expected_f1, prevalence, .*'best'"),
    ('f1', [[1, 0]], [[.5]], r'\[1, 2\] and \[1, 1\]'),
    ('f1', [1], [.5], r'\[1\] and \[1\]'),
    ('f1', [[2]], [[.5]], 'labels of 0 and 1'),
    ('f1', [[1]], [[1.5]], 'predictions 0..1, received 1.5 to 1.5'),
    ('f1', [[1]], [[np.nan]], 'predictions 0..1, received nan'),
])
def test_wrong_input_is_refused(rule, labels, predictions, message):
  with pytest.raises(ValueError, match=message):
    thresholds.choose(rule, labels, predictions)


def test_one_fold_has_no_others():
  with pytest.raises(ValueError, match='at least two folds, received 1'):
    thresholds.cross_fit('f1', [[1], [0]], [[.5], [.1]], np.array([4, 4]))
