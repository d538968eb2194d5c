"""seed_test: its numbers, how often it is wrong, and what it finds."""

import itertools

import numpy as np
import pytest
from scipy import stats

from trainer.scoring import bootstrap
from trainer.scoring import seed_test

_FOLDS = np.arange(60) % 2
_HOW = {'threshold': 0.5, 'repetitions': 60}


def _simulate(seed, gain=0.0, of_seeds=0.15):
  """Labels, and the networks of two recipes, right where a sum is above 0.

  The sum is of the image and class for all, for a recipe and for a network; of
  the network; and gain for the first recipe.
  """
  rng = np.random.default_rng(seed)
  labels = rng.random((60, 3)) < 0.4
  image = 0.8 + rng.normal(size=labels.shape)
  recipes = image + 0.4 * rng.normal(size=(2, *labels.shape))
  runs = []
  for number in range(6):
    score = (recipes[number // 3] + 0.4 * rng.normal(size=labels.shape) +
             of_seeds * rng.normal() + gain * (number < 3))
    runs.append(np.where(labels == (score > 0), 0.9, 0.1))
  return labels, runs[:3], runs[3:]


def test_it_is_the_t_test_of_its_docstring():
  labels, a, b = _simulate(0)
  table = seed_test.compare(labels, a, b[:2], _FOLDS, seed=4, **_HOW)
  values = bootstrap.repeat(labels, [*a, *b[:2]], _FOLDS, 0.5, None, 60, 4)
  metric = bootstrap.list_metrics(0.5).index('f1_macro')
  on_all, drawn = values[:, metric, 0], values[:, metric, 1:]

  def covary(pairs):
    return np.mean([
        np.mean((drawn[i] - drawn[i].mean()) * (drawn[j] - drawn[j].mean())) *
        60 / 59 for i, j in pairs
    ])

  shared = (covary([(0, 1), (0, 2), (1, 2)]) + covary([(3, 4)]) -
            2 * covary(itertools.product(range(3), (3, 4))))
  assert shared > 0
  own = [on_all[:3].var(ddof=1) / 3, on_all[3:].var(ddof=1) / 2]
  variance = sum(own) + shared
  freedom = variance**2 / (own[0]**2 / 2 + own[1]**2 / 1)
  difference = on_all[:3].mean() - on_all[3:].mean()
  reach = stats.t.ppf(.975, freedom) * np.sqrt(variance)
  found = table.loc['f1_macro']
  assert found['difference'] == pytest.approx(difference)
  assert found['low'] == pytest.approx(difference - reach)
  assert found['high'] == pytest.approx(difference + reach)
  assert found['p_value'] == pytest.approx(
      2 * stats.t.sf(abs(difference) / np.sqrt(variance), freedom))


def test_where_there_is_no_difference_it_is_rarely_found():
  names = ['accuracy_binary', 'f1_micro', 'f1_macro', 'auc_micro']
  found, of_images = [], []
  for seed in range(40):
    labels, a, b = _simulate(seed)
    table = seed_test.compare(labels, a, b, np.zeros(60), **_HOW)
    found.append(table.loc[names, 'p_value'] < 0.05)
    table = bootstrap.compare(labels, a[0], b[0], np.zeros(60), **_HOW)
    of_images.append(table.loc[names, 'p_value'] < 0.05)
  # Other images alone do not tell a recipe from a lucky seed.
  assert np.mean(found) < 0.08 and np.mean(of_images) > 0.15


def test_a_clear_difference_is_found_whichever_is_first():
  labels, a, b = _simulate(1, gain=1.0, of_seeds=0.05)
  table = seed_test.compare(labels, a, b, _FOLDS, **_HOW)
  turned = seed_test.compare(labels, b, a, _FOLDS, **_HOW)
  assert (table.loc[['f1_micro', 'accuracy_binary'], 'p_value'] < 0.01).all()
  assert (table['low'] > 0)['f1_micro']
  np.testing.assert_allclose(turned['difference'], -table['difference'])
  np.testing.assert_allclose(turned['low'], -table['high'])
  np.testing.assert_allclose(turned['p_value'], table['p_value'])


def test_the_same_images_for_all_make_a_difference_surer():
  labels, a, b = _simulate(2, gain=0.4, of_seeds=0)
  table = seed_test.compare(labels, a, b, _FOLDS, **_HOW)
  alone = [
      bootstrap.bootstrap(labels, each, _FOLDS, **_HOW) for each in (a[0], b[0])
  ]
  paired, *unpaired = ((each['high'] - each['low'])['accuracy_binary']
                       for each in (table, *alone))
  assert paired < 0.8 * np.hypot(*unpaired)


def test_groups_make_a_difference_less_sure():
  labels, a, b = _simulate(3, gain=1.0, of_seeds=0)
  # In half of the groups the recipes are the same.
  groups = np.repeat(np.arange(6), 10)
  for network, other in zip(a, b):
    other[groups < 3] = network[groups < 3]
  alone, grouped = (seed_test.compare(labels,
                                      a,
                                      b,
                                      np.zeros(60),
                                      groups=each,
                                      **_HOW) for each in (None, groups))
  widths = [each['high'] - each['low'] for each in (alone, grouped)]
  assert (widths[1] > widths[0])['accuracy_binary']
  np.testing.assert_allclose(grouped['difference'], alone['difference'])


def test_the_same_networks_do_not_differ():
  labels, a, _ = _simulate(4)
  for each in (a, [a[0]] * 2):
    table = seed_test.compare(labels, each, each, _FOLDS, **_HOW)
    assert (table['difference'] == 0).all() and (table['p_value'] == 1).all()


def test_an_undefined_metric_has_no_test():
  labels, a, b = _simulate(5)
  table = seed_test.compare(np.zeros_like(labels), a, b, _FOLDS, **_HOW)
  assert table.loc['f1_macro'].isna().all()
  assert table.loc['accuracy_binary'].notna().all()


def test_a_single_seed_is_refused():
  labels, a, b = _simulate(6)
  with pytest.raises(ValueError, match='two seeds .* received 3 and 1'):
    seed_test.compare(labels, a, b[:1], _FOLDS, **_HOW)
