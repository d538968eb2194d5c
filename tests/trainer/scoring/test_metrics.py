"""Tests of trainer.scoring.metrics."""

import json
import pathlib

import hypothesis
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlcm import mlcm
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from trainer.scoring import metrics

_GOLDEN = pathlib.Path(__file__).parents[4] / 'shared' / 'metrics'
_CLASSES = 28
_NAMES = [f'class {k}' for k in range(_CLASSES)]


def _random(count, seed=0, share=0.1):
  rng = np.random.default_rng(seed)
  labels = rng.random((count, _CLASSES)) < share
  return labels.astype(np.int64), rng.random((count, _CLASSES))


def _rows(*rows):
  """Multi-hot rows of lists of classes."""
  labels = np.zeros((len(rows), _CLASSES), np.int64)
  for row, classes in zip(labels, rows):
    row[classes] = 1
  return labels


def _sklearn_ratios(labels, predicted, average):
  of_classes = average in ('macro', 'weighted')
  classes = np.flatnonzero(labels.any(axis=0)) if of_classes else None
  if of_classes and not classes.size:
    return [None] * 3
  return sklearn_metrics.precision_recall_fscore_support(labels,
                                                         predicted,
                                                         labels=classes,
                                                         average=average,
                                                         zero_division=0)[:3]


def _sklearn_auc(labels, predictions):
  both = [k for k in range(_CLASSES) if len(set(labels[:, k])) == 2]
  areas = [
      sklearn_metrics.roc_auc_score(labels[:, k], predictions[:, k])
      for k in both
  ]
  return np.mean(areas) if areas else None


def _sklearn_average_precision(labels, predictions):
  """Macro over the classes with positives, and micro."""
  if not labels.any():
    return None, None
  present = labels.any(axis=0)
  return [
      sklearn_metrics.average_precision_score(*parts, average=average)
      for average, parts in (('macro', (labels[:,
                                               present], predictions[:,
                                                                     present])),
                             ('micro', (labels, predictions)))
  ]


def _expected(labels, predictions, threshold):
  """The same numbers as scikit-learn and plain loops have them."""
  predicted = (predictions > threshold).astype(int)
  match = [
      np.argmax(row) == np.argmax(other)
      for row, other in zip(labels, predictions)
  ]
  expected = {
      'auc_macro': _sklearn_auc(labels, predictions),
      'accuracy_subset': sklearn_metrics.accuracy_score(labels, predicted),
      'accuracy_binary': 1 - sklearn_metrics.hamming_loss(labels, predicted),
      'accuracy_argmax': np.mean(match),
  }
  expected |= dict(
      zip(('average_precision_macro', 'average_precision_micro'),
          _sklearn_average_precision(labels, predictions)))
  names = ('precision', 'recall', 'f1')
  for average in ('macro', 'micro', 'samples', 'weighted'):
    values = _sklearn_ratios(labels, predicted, average)
    expected |= {f'{n}_{average}': v for n, v in zip(names, values)}
  batches = [
      _sklearn_ratios(labels[i:i + 16], predicted[i:i + 16], 'micro')
      for i in range(0, len(labels), 16)
  ]
  return expected | {
      f'{n}_paper': v for n, v in zip(names, np.mean(batches, axis=0))
  }


@st.composite
def _cases(draw):
  shape = (draw(st.integers(1, 40)), _CLASSES)
  share = draw(st.sampled_from([0.0, 0.03, 0.3, 1.0]))
  labels, _ = _random(shape[0], draw(st.integers(0, 2**32)), share)
  # Few values, so that predictions tie with each other and with the threshold.
  ties = hnp.arrays(np.float64,
                    shape,
                    elements=st.sampled_from([0, .25, .5, 1]))
  predictions = draw(st.one_of(ties, st.just(_random(shape[0], 1)[1])))
  of_classes = np.linspace(0, 1, _CLASSES)
  return labels, predictions, draw(st.sampled_from([0.25, 0.5, of_classes]))


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(_cases())
def test_equals_scikit_learn(case):
  result = metrics.compute(*case)
  for name, value in _expected(*case).items():
    if value is None:
      assert result[name] is None, name
    else:
      assert result[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize('seed', range(3))
def test_micro_auc_equals_scikit_learn(seed):
  labels, predictions = _random(200, seed)
  predictions = predictions.round(1)
  expected = sklearn_metrics.roc_auc_score(labels, predictions, average='micro')
  result = metrics.compute(labels, predictions)['auc_micro']
  assert result == pytest.approx(expected, abs=1e-12)


def test_wrong_reference_would_be_seen():
  labels, noise = _random(100)
  predictions = 0.3 * labels + 0.6 * noise**4
  result = metrics.compute(labels, predictions)
  expected = _expected(labels, predictions, 0.6)
  differing = [n for n, v in expected.items() if abs(result[n] - v) > 1e-6]
  assert set(expected) - set(differing) == {
      'auc_macro', 'accuracy_argmax', 'average_precision_macro',
      'average_precision_micro'
  }


def test_names_and_json():
  result = metrics.compute(*_random(50))
  ratios = {
      f'{name}_{average}' for name in ('f1', 'precision', 'recall')
      for average in ('macro', 'micro', 'samples', 'paper', 'weighted')
  }
  assert set(result) == ratios | {
      'auc_macro', 'auc_micro', 'average_precision_macro',
      'average_precision_micro', 'accuracy_binary', 'accuracy_subset',
      'accuracy_argmax', 'num_samples', 'threshold', 'classes_scored',
      'auc_classes'
  }
  assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_threshold_for_each_class():
  labels, predictions = _random(50)
  thresholds = np.linspace(0.2, 0.8, _CLASSES)
  moved = (predictions
           > thresholds).astype(float)  # 0 and 1: any threshold fits
  result = metrics.compute(labels, predictions, thresholds)
  assert result['threshold'] == thresholds.tolist()
  assert json.loads(json.dumps(result)) == result
  assert result['f1_macro'] == metrics.compute(labels, moved)['f1_macro']
  table = metrics.per_class(labels, predictions, _NAMES, thresholds)
  assert table['predicted'].tolist() == moved.sum(axis=0).tolist()


@pytest.mark.parametrize('threshold, message', [
    (np.zeros(27), r'one threshold or \[28\], received \[27\]'),
    (np.nan, 'finite thresholds, received nan'),
])
def test_a_wrong_threshold_is_refused(threshold, message):
  with pytest.raises(ValueError, match=message):
    metrics.compute(*_random(5), threshold)


def test_paper_f1_by_hand():
  labels = _rows(*[[0]] * 17)
  predictions = labels * 0.9
  predictions[:8] = 0  # half of the first batch is missed
  predictions[16, 1] = 0.9  # the batch of one row has a false positive
  result = metrics.compute(labels, predictions)
  assert result['recall_paper'] == pytest.approx((8 / 16 + 1) / 2)
  assert result['precision_paper'] == pytest.approx((1 + 1 / 2) / 2)
  assert result['f1_paper'] == pytest.approx((2 / 3 + 2 / 3) / 2)
  assert result['f1_micro'] == pytest.approx(2 * 9 / (17 + 10))


def test_paper_f1_depends_on_the_order():
  labels, predictions = _random(100)
  turned = metrics.compute(labels[::-1], predictions[::-1])
  result = metrics.compute(labels, predictions)
  assert turned['f1_paper'] != result['f1_paper']
  assert turned['f1_micro'] == result['f1_micro']


def test_three_accuracies_by_hand():
  labels = _rows([0, 1], [2], [3])
  predictions = np.zeros((3, _CLASSES))
  predictions[0, [0, 1]] = 0.9, 0.8  # all right
  predictions[1, [2, 5]] = 0.9, 0.8  # argmax right, one class too many
  predictions[2, [3, 4]] = 0.3, 0.4  # argmax wrong, nothing predicted
  result = metrics.compute(labels, predictions)
  assert result['accuracy_subset'] == pytest.approx(1 / 3)
  assert result['accuracy_argmax'] == pytest.approx(2 / 3)
  assert result['accuracy_binary'] == pytest.approx(1 - 2 / 84)


def test_argmax_takes_the_first_of_equals_as_keras_does():
  labels = _rows([3, 7])
  predictions = np.full((1, _CLASSES), 0.1)
  predictions[0, [3, 7]] = 0.9
  assert metrics.compute(labels, predictions)['accuracy_argmax'] == 1.0
  predictions[0, 7] = 0.95
  assert metrics.compute(labels, predictions)['accuracy_argmax'] == 0.0


def test_score_at_the_threshold_is_not_predicted():
  labels = _rows([0])
  assert metrics.compute(labels, labels * 0.5)['recall_micro'] == 0.0
  assert metrics.compute(labels, labels * 0.501)['recall_micro'] == 1.0


def test_empty_class_is_left_out_and_said():
  labels, predictions = _rows([0], [1], [0, 1]), np.zeros((3, _CLASSES))
  predictions[:, :3] = 0.9  # class 2 is predicted and never true
  result = metrics.compute(labels, predictions)
  assert result['classes_scored'] == 2
  assert result['precision_macro'] == pytest.approx(2 / 3)
  assert result['precision_micro'] == pytest.approx(4 / 9)


def test_class_without_negatives_counts_in_f1_but_not_in_auc():
  labels = _rows([0, 1], [0])
  result = metrics.compute(labels, labels * 0.9)
  assert (result['classes_scored'], result['auc_classes']) == (2, 1)
  assert (result['f1_macro'], result['auc_macro']) == (1.0, 1.0)


def test_no_positive_at_all_is_none_not_nan():
  result = metrics.compute(np.zeros((4, _CLASSES)), np.full((4, _CLASSES), 0.9))
  nones = {name for name, value in result.items() if value is None}
  assert nones == {
      'auc_macro', 'auc_micro', 'average_precision_macro',
      'average_precision_micro', 'f1_macro', 'precision_macro', 'recall_macro',
      'f1_weighted', 'precision_weighted', 'recall_weighted'
  }
  assert result['f1_micro'] == 0.0


def test_per_class_counts():
  labels, predictions = _random(300)
  labels[:, 4] = 0
  table = metrics.per_class(labels, predictions, _NAMES, 0.7)
  matrices = sklearn_metrics.multilabel_confusion_matrix(
      labels, predictions > 0.7)
  names = ['true_negative', 'false_positive', 'false_negative', 'true_positive']
  np.testing.assert_array_equal(table[names], matrices.reshape(_CLASSES, 4))
  np.testing.assert_array_equal(table['positives'], labels.sum(axis=0))
  np.testing.assert_array_equal(table['predicted'], (predictions
                                                     > 0.7).sum(axis=0))


def test_per_class_columns_and_names():
  table = metrics.per_class(*_random(5), _NAMES)
  assert list(table) == [
      'class', 'name', 'positives', 'predicted', 'true_positive',
      'false_positive', 'false_negative', 'true_negative', 'precision',
      'recall', 'f1', 'auc', 'average_precision'
  ]
  assert list(table['class']) == list(range(_CLASSES))
  assert table['name'].tolist() == _NAMES


def test_means_of_the_table_are_the_macro_scores():
  labels, predictions = _random(40, share=0.02)
  assert not labels.any(axis=0).all()
  table = metrics.per_class(labels, predictions, _NAMES)
  result = metrics.compute(labels, predictions)
  assert table['f1'].count() == result['classes_scored']
  for name in ('precision', 'recall', 'f1', 'auc', 'average_precision'):
    assert table[name].mean() == pytest.approx(result[f'{name}_macro'])


def test_undefined_fields_are_empty_in_csv():
  labels = _rows([0], [0])
  lines = metrics.per_class(labels, labels * 0.9,
                            _NAMES).to_csv(index=False).split('\n')
  assert lines[1] == '0,class 0,2,2,2,0,0,0,1.0,1.0,1.0,,1.0'
  assert lines[3] == '2,class 2,0,0,0,0,0,2,,,,,'


def test_float32_scores_of_the_real_size_keep_exact_ranks():
  labels, predictions = _random(31_072)
  predictions = predictions.astype(np.float32)
  expected = sklearn_metrics.roc_auc_score(labels[:, 3], predictions[:, 3])
  assert metrics.per_class(labels, predictions,
                           _NAMES)['auc'][3] == pytest.approx(expected,
                                                              abs=1e-12)


def _mlcm(labels, predicted):
  """The matrix of the package, which is older than NumPy 1.24."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(np, 'int', int, raising=False)
    return mlcm.cm(labels.astype(int), predicted.astype(int), False)[0]


@hypothesis.settings(deadline=None, max_examples=60, derandomize=True)
@hypothesis.given(st.data())
def test_confusion_matrix_equals_mlcm(data):
  shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 6)))
  labels, predicted = [
      data.draw(hnp.arrays(bool, shape)) for _ in ('labels', 'predicted')
  ]
  np.testing.assert_array_equal(metrics.confusion_matrix(labels, predicted),
                                _mlcm(labels, predicted))


def test_confusion_matrix_by_hand():
  labels = _rows([0, 1, 2], [3, 4], [5], [6, 7], [], [])
  predicted = _rows([0, 8, 9], [3, 4, 8], [], [6], [9], []).astype(bool)
  matrix = metrics.confusion_matrix(labels, predicted)
  assert matrix.dtype == np.int64 and matrix.shape == (29, 29)
  found = {tuple(each): matrix[tuple(each)] for each in np.argwhere(matrix)}
  right = [(0, 0), (3, 3), (4, 4), (6, 6)]
  first_wrong = [(1, 8), (2, 8)]  # 8 answers for the missed 1 and 2
  other_wrong = [(0, 9), (1, 9), (2, 9), (3, 8), (4, 8)]
  nothing = [(5, 28), (7, 28), (28, 9), (28, 28)]
  assert found == dict.fromkeys(right + first_wrong + other_wrong + nothing, 1)


def test_confusion_matrix_of_other_shapes_is_refused():
  with pytest.raises(ValueError, match=r'\[3, 28\] and \[2, 28\]'):
    metrics.confusion_matrix(np.zeros((3, 28)), np.zeros((2, 28)))


@pytest.mark.parametrize('labels, predictions, message', [
    (np.zeros((3, 28)), np.zeros((3, 27)), r'\[3, 27\], received \[3, 28\]'),
    (np.zeros((3, 28)), np.zeros((2, 28)), r'\[2, 28\], received \[3, 28\]'),
    (np.zeros((0, 28)), np.zeros((0, 28)), r'N >= 1 .*received \[0, 28\]'),
    (np.zeros(28), np.zeros(28), r'received \[28\]'),
    (np.full((3, 28), 2), np.zeros((3, 28)), 'labels of 0 and 1, received 2'),
    (np.zeros((3, 28)), np.full((3, 28), np.nan), 'nan at row 0, class 0'),
])
@pytest.mark.parametrize('function', [
    metrics.compute,
    lambda labels, predictions: metrics.per_class(labels, predictions, _NAMES)
])
def test_wrong_input_is_refused(function, labels, predictions, message):
  with pytest.raises(ValueError, match=message):
    function(labels, predictions)


@pytest.fixture(name='golden')
def _golden():
  if not _GOLDEN.exists():
    pytest.skip('the reference predictions of ../shared/metrics are not here')
  return json.loads((_GOLDEN / 'golden_metrics.json').read_text())


def _golden_labels():
  table = pd.read_csv(_GOLDEN / 'leak_ground_truth.csv')
  targets = table['Target'].str.split()
  return table['Id'], _rows(*[list(map(int, target)) for target in targets])


@pytest.mark.parametrize('model', ['vpp_summary_final', 'vpp_xception_512'])
def test_real_competition_scores(golden, model):
  _, labels = _golden_labels()
  predictions = np.load(_GOLDEN / f'leak605_{model}_scores.npy')
  result = metrics.compute(labels, predictions)
  expected = golden[model]
  assert result['num_samples'] == expected['n']
  assert result['classes_scored'] == expected['classes_present']
  assert result['f1_macro'] == pytest.approx(expected['macro_f1_at_0_5'])
  assert result['auc_macro'] == pytest.approx(expected['macro_AUC_present'],
                                              abs=1e-6)
  assert result['average_precision_macro'] == pytest.approx(
      expected['macro_AP_present'], abs=1e-6)


def test_real_confusion_matrix_equals_mlcm(golden):
  _, labels = _golden_labels()
  predictions = np.load(_GOLDEN / 'leak605_vpp_summary_final_scores.npy')
  assert len(labels) == golden['vpp_summary_final']['n']
  np.testing.assert_array_equal(
      metrics.confusion_matrix(labels, predictions > 0.5),
      _mlcm(labels, predictions > 0.5))


def test_real_competition_answer(golden):
  _, labels = _golden_labels()
  table = pd.read_csv(_GOLDEN / 'leak605_vpp_summary_final_predicted.csv')
  answers = table['Predicted'].fillna('').str.split()
  predicted = _rows(*[list(map(int, answer)) for answer in answers])
  result = metrics.compute(labels, predicted)
  expected = golden['vpp_summary_final']
  for average in ('macro', 'micro', 'samples'):
    assert result[f'f1_{average}'] == pytest.approx(
        expected[f'predicted_{average}_f1'])


def _single(count, classes, seed=0):
  """One label a row, and softmax probabilities, as float32."""
  rng = np.random.default_rng(seed)
  labels = np.zeros((count, classes), np.uint8)
  labels[np.arange(count), rng.integers(classes, size=count)] = 1
  powers = np.exp(2 * labels + rng.normal(size=labels.shape))
  return labels, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize('count,classes', [(200, 12), (40, 60), (50, 2)])
def test_one_label_a_sample_equals_scikit_learn(count, classes):
  labels, predictions = _single(count, classes)
  truth, predicted = labels.argmax(axis=1), predictions.argmax(axis=1)
  result = metrics.compute(labels, predictions, None)
  assert result['threshold'] is None
  assert json.loads(json.dumps(result, allow_nan=False)) == result
  accuracy = sklearn_metrics.accuracy_score(truth, predicted)
  for name in ('accuracy_argmax', 'accuracy_subset', 'f1_micro'):
    assert result[name] == pytest.approx(accuracy)
  for name, function in (('f1', sklearn_metrics.f1_score),
                         ('precision', sklearn_metrics.precision_score),
                         ('recall', sklearn_metrics.recall_score)):
    assert result[f'{name}_macro'] == pytest.approx(
        function(truth,
                 predicted,
                 labels=np.unique(truth),
                 average='macro',
                 zero_division=0))
  wanted = sklearn_metrics.log_loss(truth, predictions, labels=range(classes))
  assert result['log_loss'] == pytest.approx(wanted, rel=1e-5)
  present = np.unique(truth)
  assert result['auc_macro'] == pytest.approx(
      sklearn_metrics.roc_auc_score(labels[:, present], predictions[:,
                                                                    present]))
  np.testing.assert_array_equal(
      metrics.confusion_matrix(
          labels, predictions == predictions.max(axis=1,
                                                 keepdims=True))[:-1, :-1],
      sklearn_metrics.confusion_matrix(truth, predicted, labels=range(classes)))


def test_each_metric_alone_is_that_of_all():
  case = (*_single(60, 12), None)
  result = metrics.compute(*case)
  for name in ('f1_macro', 'accuracy_argmax', 'log_loss', 'auc_macro'):
    assert metrics.compute_one(name, *case) == result[name]
  table = metrics.per_class(case[0], case[1], _NAMES[:12], None)
  np.testing.assert_array_equal(metrics.compute_f1(*case), table['f1'])
  assert set(metrics.choose_titles(None)) <= result.keys()


def test_a_probability_of_0_has_a_finite_loss():
  labels = np.eye(2, dtype=np.uint8)
  predictions = labels[::-1].astype(np.float32)
  result = metrics.compute(labels, predictions, None)
  assert result['log_loss'] == pytest.approx(-np.log(2.0**-23))


@pytest.mark.parametrize('row', [[0, 0, 0], [1, 0, 1]])
def test_without_a_threshold_every_sample_has_one_label(row):
  labels = np.array([[1, 0, 0], row])
  with pytest.raises(ValueError, match=f'received {sum(row)} in row 1'):
    metrics.compute(labels, np.full((2, 3), 0.3), None)


@pytest.mark.parametrize('threshold', [0.5, None])
def test_one_class_alone(threshold):
  labels, predictions = np.ones((5, 1), int), np.full((5, 1), 0.9)
  result = metrics.compute(labels, predictions, threshold)
  assert result['f1_macro'] == result['accuracy_subset'] == 1
  assert result['auc_macro'] is None
  assert len(metrics.per_class(labels, predictions, ['cell'], threshold)) == 1


def test_many_classes_equal_scikit_learn():
  labels, predictions = _single(800, 2000)
  result = metrics.compute(labels, predictions, 0.01)
  expected = sklearn_metrics.f1_score(labels,
                                      predictions > 0.01,
                                      labels=np.flatnonzero(labels.any(axis=0)),
                                      average='macro',
                                      zero_division=0)
  assert result['f1_macro'] == pytest.approx(expected)
  # Both sort a million decisions, here in several parts.
  assert result['average_precision_micro'] == pytest.approx(
      sklearn_metrics.average_precision_score(labels,
                                              predictions,
                                              average='micro'))
