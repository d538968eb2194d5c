"""bootstrap: the fast way equals the plain one, and intervals are right."""

import numpy as np
import pytest

from trainer.scoring import bootstrap
from trainer.scoring import metrics
from trainer.scoring import resample
from trainer.scoring import scorer as scorer_lib

_CLASSES = 28
_NAMES = [f'class {k}' for k in range(_CLASSES)]


def _random(count, seed=0, share=0.1, ties=False):
  rng = np.random.default_rng(seed)
  labels = (rng.random((count, _CLASSES)) < share).astype(np.uint8)
  predictions = 0.47 * labels + 0.52 * rng.random(labels.shape)
  return labels, predictions.round(1) if ties else predictions.astype(
      np.float32)


@pytest.mark.parametrize('share', [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize('ties', [False, True])
def test_a_resample_scores_as_its_rows_do(share, ties):
  labels, predictions = _random(50, share=share, ties=ties)
  rng = np.random.default_rng(1)
  rows = [rng.integers(50, size=size) for size in (50, 50, 37, 1, 80)]
  draws = resample.Draws.of(rows, 50)
  fast = scorer_lib.Scorer(labels, predictions, 0.5)
  found, classes = fast.compute(draws), fast.compute_classes(draws)
  for i, each in enumerate(rows):
    plain = metrics.compute(labels[each], predictions[each], 0.5)
    for name, values in found.items():
      expected = np.nan if plain[name] is None else plain[name]
      assert values[i] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    table = metrics.per_class(labels[each], predictions[each], _NAMES, 0.5)
    for name, values in classes.items():
      np.testing.assert_allclose(values[:, i], table[name], atol=1e-12)


def _plain_repetitions(labels, predictions, folds, repetitions):
  """Means over folds of metrics.compute on explicitly resampled rows."""
  found = []
  for fold in np.unique(folds):
    rng = np.random.Generator(np.random.Philox(key=[7, fold]))
    rows = np.flatnonzero(folds == fold)
    of_fold = []
    for _ in range(repetitions):
      drawn = rows[rng.permutation(rng.integers(len(rows), size=len(rows)))]
      result = metrics.compute(labels[drawn], predictions[drawn])
      of_fold.append([result[name] for name in bootstrap.list_metrics(0.5)])
    found.append(of_fold)
  return np.nanmean(np.array(found, float), axis=0)


def test_intervals_are_quantiles_of_plain_resamples():
  labels, predictions = _random(90, share=0.2)
  folds = np.arange(90) % 3
  table = bootstrap.bootstrap(labels,
                              predictions,
                              folds,
                              threshold=0.5,
                              repetitions=30,
                              seed=7)
  plain = _plain_repetitions(labels, predictions, folds, 30)
  low, high = np.quantile(plain, [.025, .975], axis=0)
  np.testing.assert_allclose(table['low'], np.minimum(low, table['value']))
  np.testing.assert_allclose(table['high'], np.maximum(high, table['value']))
  assert (table['low'] < table['high']).all()


def test_values_are_means_over_the_folds():
  labels, predictions = _random(90)
  folds = np.repeat([0, 1, 4], [20, 30, 40])
  of_folds = [
      metrics.compute(labels[folds == fold], predictions[folds == fold])
      for fold in (0, 1, 4)
  ]
  table = bootstrap.bootstrap(labels,
                              predictions,
                              folds,
                              threshold=0.5,
                              repetitions=1)
  assert table.index.tolist() == list(bootstrap.list_metrics(0.5))
  for name, value in table['value'].items():
    assert value == pytest.approx(np.mean([each[name] for each in of_folds]))
  # Of one repetition both quantiles are the same, so one bound is the value.
  assert ((table['low'] <= table['value']) &
          (table['value'] <= table['high'])).all()


def test_how_many_are_held_at_a_time_does_not_bear_on_the_numbers(monkeypatch):
  labels, predictions = _random(40)
  how = {'threshold': 0.5, 'repetitions': 11, 'seed': 3}
  folds = np.arange(40) % 2
  first = bootstrap.bootstrap(labels, predictions, folds, **how)
  monkeypatch.setattr(bootstrap, '_ROWS_AT_ONCE', 60)
  np.testing.assert_allclose(
      bootstrap.bootstrap(labels, predictions, folds, **how), first)
  how['seed'] = 4
  other = bootstrap.bootstrap(labels, predictions, folds, **how)
  assert (other['low'] != first['low']).any()


def test_classes_have_the_interval_of_their_ratios():
  labels, predictions = _random(60, share=0.3)
  folds = np.repeat([0, 1], [25, 35])
  labels[folds == 0, 5], labels[:, 9] = 0, 0
  table = bootstrap.bootstrap_classes(labels,
                                      predictions,
                                      folds,
                                      threshold=0.5,
                                      repetitions=40)
  assert table.columns.tolist() == [
      f'{ratio}_{bound}' for ratio in metrics.RATIOS
      for bound in ('low', 'high')
  ]
  assert table.index.tolist() == list(range(_CLASSES))
  assert table.loc[9].isna().all() and table.drop(9).notna().all(axis=None)
  later = folds == 1  # the one fold that has class 5
  values = metrics.per_class(labels[later], predictions[later], _NAMES).loc[5]
  for ratio in metrics.RATIOS:
    low, high = table.loc[5, [f'{ratio}_low', f'{ratio}_high']]
    assert low <= values[ratio] <= high
  assert (table['f1_low'] < table['f1_high']).sum() > 20


def _simulate(seed, count=80):
  """Decisions that are right with a probability of .8, each by itself."""
  rng = np.random.default_rng(seed)
  labels = rng.random((count, _CLASSES)) < 0.3
  right = rng.random(labels.shape) < 0.8
  return labels, np.where(labels == right, 0.9, 0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
  held = 0
  for seed in range(100):
    labels, predictions = _simulate(seed)
    table = bootstrap.bootstrap(labels,
                                predictions,
                                np.zeros(len(labels), int),
                                threshold=0.5,
                                repetitions=100,
                                seed=seed)
    truth = {
        'accuracy_binary': .8,
        'auc_micro': .8,
        'f1_micro': 2 * .24 / (.3 + .24 + .14)
    }
    held += np.array([
        table['low'][name] <= value <= table['high'][name]
        for name, value in truth.items()
    ])
  assert ((held >= 85) & (held <= 99)).all(), held


def test_copies_say_nothing_new_once_they_are_a_group():
  labels, predictions = (np.repeat(each, 4, axis=0) for each in _random(60))
  folds = np.repeat(np.arange(60) % 2, 4)
  groups = np.repeat([f'slide {i}' for i in range(60)], 4)
  widths = []
  for groups_or_none in (groups, None):
    table = bootstrap.bootstrap(labels,
                                predictions,
                                folds,
                                threshold=0.5,
                                groups=groups_or_none,
                                repetitions=200)
    widths.append(table['high'] - table['low'])
  ratio = (widths[0] / widths[1])['f1_micro']
  assert 1.6 < ratio < 2.4  # the square root of 4
  alone = bootstrap.bootstrap(labels[::4],
                              predictions[::4],
                              folds[::4],
                              threshold=0.5,
                              repetitions=200)
  assert widths[0]['f1_micro'] == pytest.approx(
      (alone['high'] - alone['low'])['f1_micro'], rel=0.25)


def _compare(a, b, labels, seed=0, **how):
  folds = np.arange(len(labels)) % 2
  return bootstrap.compare(labels,
                           a,
                           b,
                           folds,
                           threshold=0.5,
                           repetitions=99,
                           seed=seed,
                           **how)


def test_a_run_does_not_differ_from_itself():
  labels, predictions = _random(60)
  table = _compare(predictions, predictions, labels)
  assert (table[['difference', 'low', 'high']] == 0).all(axis=None)
  assert (table['p_value'] == 1).all()


def test_a_planted_difference_is_found_whichever_is_first():
  labels, predictions = _random(200, share=0.3)
  worse = np.where(
      np.random.default_rng(2).random(predictions.shape) < 0.1,
      0.99 - predictions, predictions)
  table = _compare(predictions, worse, labels)
  turned = _compare(worse, predictions, labels)
  assert (table['p_value'] == 2 / 100).all()  # the least of 99 repetitions
  assert (table['low'] > 0).all()
  np.testing.assert_allclose(turned['difference'], -table['difference'])
  np.testing.assert_allclose(turned['low'], -table['high'])
  np.testing.assert_allclose(turned['p_value'], table['p_value'])


def test_where_there_is_none_it_is_rarely_found():
  found = []
  for seed in range(40):
    labels, a = _simulate(seed)
    right = np.random.default_rng([seed, 1]).random(labels.shape) < 0.8
    b = np.where(labels == right, 0.9, 0.1)
    found.append((_compare(a, b, labels, seed)['p_value'] < 0.05).to_numpy())
  share = np.mean(found)
  assert 0.01 < share < 0.1


def test_pairing_is_what_finds_a_small_difference():
  labels, predictions = _random(200, share=0.3)
  worse = np.array(predictions)
  worse[::20] = 0.99 - worse[::20]
  table = _compare(predictions, worse, labels)
  apart = [
      bootstrap.bootstrap(labels,
                          each,
                          np.arange(200) % 2,
                          threshold=0.5,
                          repetitions=99) for each in (predictions, worse)
  ]
  assert table['p_value']['accuracy_binary'] < 0.05
  assert (apart[0]['low'] < apart[1]['high'])['accuracy_subset']


def test_groups_make_a_difference_less_sure():
  labels, predictions = (np.repeat(each, 10, axis=0) for each in _random(12))
  worse = np.roll(predictions, 3, axis=1)
  groups = np.repeat(np.arange(12), 10)
  alone = _compare(predictions, worse, labels)
  grouped = _compare(predictions, worse, labels, groups=groups)
  widths = [table['high'] - table['low'] for table in (alone, grouped)]
  assert (widths[1] > widths[0])['f1_micro']
  np.testing.assert_allclose(grouped['difference'], alone['difference'])


def test_a_single_sample_and_no_positive_leave_no_number_in_silence():
  labels, predictions = _random(1, share=0)
  how = {'threshold': np.full(_CLASSES, 0.5), 'repetitions': 3}
  table = bootstrap.bootstrap(labels, predictions, np.zeros(1), **how)
  assert table.loc['auc_macro'].isna().all()
  assert table.loc['f1_macro'].isna().all()
  assert table.loc['accuracy_argmax'].notna().all()
  compared = bootstrap.compare(labels, predictions, predictions, np.zeros(1),
                               **how)
  assert compared.loc['auc_macro'].isna().all()
  assert compared['p_value']['f1_micro'] == 1


@pytest.mark.parametrize('change, message', [
    ({
        'repetitions': 0
    }, 'repetitions >= 1, received 0'),
    ({
        'groups': np.zeros(9)
    }, r'the same length, received \[10, 10, 10, 9\]'),
    ({
        'threshold': np.zeros(3)
    }, r'received \[3\]'),
])
def test_wrong_input_is_refused(change, message):
  how = {'threshold': 0.5, 'repetitions': 2, **change}
  with pytest.raises(ValueError, match=message):
    bootstrap.bootstrap(*_random(10), np.zeros(10), **how)


def test_one_label_a_sample_has_intervals_and_tests():
  rng = np.random.default_rng(0)
  labels = np.eye(6, dtype=np.uint8)[np.arange(60) % 6]
  powers = np.exp(2 * labels + rng.normal(size=labels.shape))
  predictions = powers / powers.sum(axis=1, keepdims=True)
  how = {'threshold': None, 'repetitions': 40}
  folds = np.arange(60) % 2
  table = bootstrap.bootstrap(labels, predictions, folds, **how)
  accuracy = (labels.argmax(axis=1) == predictions.argmax(axis=1)).mean()
  assert table.loc['accuracy_argmax', 'value'] == pytest.approx(accuracy)
  loss = -np.log(predictions[labels == 1]).mean()
  assert table.loc['log_loss', 'value'] == pytest.approx(loss)
  assert (table['low'] < table['value']).all()
  worse = np.full_like(predictions, 1 / 6)
  found = bootstrap.compare(labels, predictions, worse, folds, **how)
  assert found.loc['log_loss', 'difference'] < 0
  assert found.loc['log_loss', 'p_value'] < 0.1
