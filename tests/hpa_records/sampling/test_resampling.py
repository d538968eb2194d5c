"""resampling: properties of repeats, on random labels and the real table."""

import pathlib

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy as np
import pandas as pd
import pytest

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import folds as folds_lib
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling
from tests.support import specs

_CSV = pathlib.Path(__file__).parents[4] / 'shared' / 'hpa' / 'train.csv'
_KAGGLE = 28  # classes
_LABELS = strategies.tuples(
    strategies.integers(1, 40),
    strategies.sampled_from([
        1, _KAGGLE, 64, 65, 200, 1138
    ])).flatmap(lambda shape: arrays.arrays(np.uint8,
                                            shape,
                                            elements=strategies.integers(0, 1),
                                            fill=strategies.just(0)))
_POLICIES = strategies.sampled_from(balance.POLICIES)
_WHOLE = ('none', 'hybrid', 'protected', 'mlros', 'lpros')


def _given(**more):

  def decorate(test):
    test = hypothesis.given(labels=_LABELS,
                            num_folds=strategies.integers(2, 4),
                            target=strategies.integers(1, 30),
                            seed=strategies.integers(0, 99),
                            **more)(test)
    return hypothesis.settings(deadline=None, max_examples=60)(test)

  return decorate


def _balance(labels, policy, target=500, **more):
  """With factors of class 0 where the default ones are not of the classes."""
  if policy == 'table' and labels.shape[1] != _KAGGLE:
    more['factors'] = '0:2'
  return balance.Balance(policy, target, **more)


def _repeats(labels, folds, num_folds, policy, target=500, seed=0, **more):
  return resampling.repeats([f'i{i}' for i in range(len(labels))], labels,
                            folds, num_folds,
                            _balance(labels, policy, target, **more), seed)


def _train_on_all(labels, policy, target=500, seed=0, **more):
  """Repeats [N] where no record is held out."""
  held = np.full(len(labels), -1)
  return _repeats(labels, held, 1, policy, target, seed, **more)[:, 0]


def _deal(labels, num_folds):
  return np.arange(len(labels)) % num_folds


def _one_hot(classes, num_classes=_KAGGLE):
  return np.eye(num_classes, dtype=np.uint8)[list(classes)]


def _take_one(labels):
  """Labels of the same shape, one an image."""
  num_classes = labels.shape[1]
  return _one_hot(labels.sum(axis=1) * 31 % num_classes, num_classes)


@_given(policy=_POLICIES)
def test_repeats_are_in_range_and_zero_where_held_out(labels, num_folds, target,
                                                      seed, policy):
  folds = _deal(labels, num_folds)
  drawn = _repeats(labels, folds, num_folds, policy, target, seed)
  assert drawn.shape == (len(labels), num_folds)
  assert drawn.dtype == np.float32
  assert np.isfinite(drawn).all() and (drawn >= 0).all()
  assert policy not in _WHOLE or (drawn == np.floor(drawn)).all()
  held = np.eye(num_folds, dtype=bool)[folds]
  assert (drawn[held] == 0).all()
  assert policy != 'exact' or (drawn[~held] >= spec.LEAST_REPEATS).all()


@_given(policy=_POLICIES, data=strategies.data())
def test_permuting_samples_permutes_repeats(labels, num_folds, target, seed,
                                            policy, data):
  order = np.array(data.draw(strategies.permutations(range(len(labels)))))
  ids = np.array([f'i{i}' for i in range(len(labels))])
  folds = _deal(labels, num_folds)
  asked = (num_folds, _balance(labels, policy, target), seed)
  np.testing.assert_array_equal(
      resampling.repeats(ids[order], labels[order], folds[order], *asked),
      resampling.repeats(ids, labels, folds, *asked)[order])


@_given(policy=_POLICIES)
def test_one_fold_alone_has_the_same_repeats(labels, num_folds, target, seed,
                                             policy):
  folds = _deal(labels, num_folds)
  ids = [f'i{i}' for i in range(len(labels))]
  asked = _balance(labels, policy, target)
  np.testing.assert_array_equal(
      resampling.repeats_of_fold(ids, labels, folds, 1, asked, seed),
      resampling.repeats(ids, labels, folds, num_folds, asked, seed)[:, 1])


@_given(policy=_POLICIES)
def test_images_without_labels_are_drawn_once(labels, num_folds, target, seed,
                                              policy):
  labels[0] = 0
  drawn = _repeats(labels, _deal(labels, num_folds), num_folds, policy, target,
                   seed)
  assert drawn[0].tolist() == [0] + [1] * (num_folds - 1)


@_given(policy=_POLICIES, absent=strategies.integers(0, 1137))
def test_a_class_without_images_does_not_affect_others(labels, num_folds,
                                                       target, seed, policy,
                                                       absent):
  absent %= labels.shape[1]
  labels[:, absent] = 0
  drawn = _repeats(labels, _deal(labels, num_folds), num_folds, policy, target,
                   seed)
  assert np.isfinite(drawn).all() and not (drawn.T @ labels)[:, absent].any()


@_given(policy=strategies.sampled_from(('hybrid', 'protected', 'exact')))
def test_images_all_alike_share_the_target(labels, num_folds, target, seed,
                                           policy):
  labels[:] = labels[0]
  hypothesis.assume(labels[0].any())
  folds = _deal(labels, num_folds)
  drawn = _repeats(labels, folds, num_folds, policy, target, seed, tolerance=0)
  for k in range(num_folds):
    part = drawn[folds != k, k]
    if not part.size:
      continue
    least = part.size * spec.LEAST_REPEATS if policy == 'exact' else 0
    assert part.sum() == pytest.approx(max(target, least), rel=1e-3)
    if policy == 'exact':
      np.testing.assert_allclose(part, part[0], rtol=1e-6)
    if policy == 'protected':
      assert np.ptp(part) <= 1


@pytest.mark.parametrize('policy', balance.POLICIES)
def test_a_class_of_fewer_images_than_folds(policy):
  # Two images of class 1 in folds 0 and 1 of 3, the third has none.
  labels = _one_hot([0] * 9 + [1, 1])
  folds = np.array([0, 1, 2] * 3 + [0, 1])
  drawn = _repeats(labels, folds, 3, policy, 6, tolerance=0)
  totals = drawn[9:].sum(axis=0)
  # Of 7, 7 and 8 training images lpros adds 25 %: 1, 1 and 2, and mlros stops
  # at MeanIR 2 in the third; rana adds 15/17, half of it to the rarer class.
  wanted = {
      'none': [1, 1, 2],
      'table': [1, 1, 2],
      'mlros': [2, 2, 3],
      'lpros': [2, 2, 4],
      'rana': [1 + 7 * 15 / 34, 1 + 7 * 15 / 34, 2 + 8 * 15 / 34],
  }.get(policy, [6, 6, 6])
  np.testing.assert_allclose(totals, wanted, rtol=1e-3)


def test_a_class_in_one_fold_alone_has_no_draws_without_it():
  labels = _one_hot([0, 0, 0, 1])
  drawn = _repeats(labels, np.array([0, 1, 2, 2]), 3, 'exact', 6, tolerance=0)
  np.testing.assert_allclose(drawn.T @ labels[:, :2], [[6, 6], [6, 6], [6, 0]],
                             rtol=1e-3)


@_given(policy=_POLICIES)
def test_held_out_labels_do_not_matter(labels, num_folds, target, seed, policy):
  folds = _deal(labels, num_folds)
  changed = labels.copy()
  changed[folds == 0] = 1 - changed[folds == 0]
  args = (folds, num_folds, policy, target, seed)
  np.testing.assert_array_equal(
      _repeats(labels, *args)[:, 0],
      _repeats(changed, *args)[:, 0])


@_given()
def test_hybrid_leaves_the_last_class_of_all_at_the_target(
    labels, num_folds, target, seed):
  drawn = _repeats(labels, _deal(labels, num_folds), num_folds, 'hybrid',
                   target, seed)
  for k, total in enumerate((drawn.T @ labels)[:, -1]):
    present = labels[_deal(labels, num_folds) != k, -1].any()
    assert total == (target if present else 0)


@_given()
def test_hybrid_meets_the_target_where_images_have_one_label(
    labels, num_folds, target, seed):
  labels = _take_one(labels)
  folds = _deal(labels, num_folds)
  drawn = _repeats(labels, folds, num_folds, 'hybrid', target, seed)
  for k in range(num_folds):
    present = labels[folds != k].any(axis=0)
    np.testing.assert_array_equal(drawn[:, k] @ labels, present * target)


@_given()
def test_a_folds_draws_do_not_depend_on_the_number_of_folds(
    labels, num_folds, target, seed):
  folds = _deal(labels, num_folds)
  np.testing.assert_array_equal(
      _repeats(labels, folds, num_folds, 'hybrid', target, seed),
      _repeats(labels, folds, num_folds + 1, 'hybrid', target,
               seed)[:, :num_folds])


def test_none_draws_every_training_image_once():
  drawn = _repeats(_one_hot(range(6)), _deal(range(6), 3), 3, 'none')
  np.testing.assert_array_equal(drawn, 1 - np.tile(np.eye(3), [2, 1]))


def test_hybrid_duplicates_images_that_an_earlier_class_removed():
  # Class 0 keeps one of 1000 images, hardly ever one of class 1's ten.
  labels = _one_hot([0] * 1000)
  labels[:10, 1] = 1
  assert (_train_on_all(labels, 'hybrid', 1) @ labels)[1] == 1


def test_hybrid_draws_without_bias():
  labels = _one_hot([0] * 50)
  drawn = np.mean([
      _train_on_all(labels, 'hybrid', target, seed)
      for seed in range(200)
      for target in (25, 75)
  ],
                  axis=0)
  # Mean of 400 draws of .5 and 1.5; 5 standard errors of .035.
  np.testing.assert_allclose(drawn, 1, atol=.13)


@pytest.mark.parametrize('policy', ['hybrid', 'protected', 'mlros', 'lpros'])
def test_seed_decides_the_draws(policy):
  first, again, second, last = [
      _train_on_all(_one_hot([0] * 50 + [1] * 10), policy, 20, seed)
      for seed in (0, 0, 1, spec.MAX_SEED)
  ]
  np.testing.assert_array_equal(first, again)
  assert (first != second).any() and (first != last).any()


def test_each_held_out_fold_has_draws_of_its_own():
  drawn = _repeats(_one_hot([0] * 50), np.full(50, -1), 2, 'hybrid', 20)
  assert (drawn[:, 0] != drawn[:, 1]).any()


@_given()
def test_protected_keeps_what_is_rare_and_ends_at_the_target_or_above(
    labels, num_folds, target, seed):
  folds = _deal(labels, num_folds)
  drawn = _repeats(labels, folds, num_folds, 'protected', target, seed)
  for k in range(num_folds):
    part, kept = labels[folds != k], drawn[folds != k, k]
    images, totals = part.sum(axis=0), kept @ part
    is_rare = part[:, images <= target].any(axis=1)
    assert (kept[is_rare] >= 1).all() and (kept[~is_rare] <= 1).all()
    assert (totals[images > 0] >= target).all()
    # None is left that could go.
    could_go = ~is_rare & (kept > 0) & part.any(axis=1)
    assert not ((part == 0) | (totals > target)).all(axis=1)[could_go].any()


@_given()
def test_protected_spreads_the_copies_of_a_class_evenly(labels, num_folds,
                                                        target, seed):
  labels = _take_one(labels)
  folds = _deal(labels, num_folds)
  drawn = _repeats(labels, folds, num_folds, 'protected', target, seed)
  for k in range(num_folds):
    for one_class in range(labels.shape[1]):
      copies = drawn[(folds != k) & (labels[:, one_class] > 0), k]
      assert copies.sum() == (target if copies.size else 0)
      assert not copies.size or np.ptp(copies) <= 1


def test_table_takes_the_largest_factor_of_an_images_labels():
  labels = _one_hot([0, 8, 20, 8, 25])
  labels[3, 20] = labels[4, 27] = 1
  assert _train_on_all(labels, 'table').tolist() == [1, 4, 2, 4, 4]
  drawn = _train_on_all(labels, 'table', factors='8:3, 0:0.5,25:0')
  assert drawn.tolist() == [0.5, 3, 1, 3, 1]


@_given(cap=strategies.sampled_from([0, 1, 2.5, 40]))
def test_exact_keeps_its_bounds(labels, num_folds, target, seed, cap):
  drawn = _train_on_all(labels, 'exact', target, seed, max_repeat=cap)
  del num_folds
  assert (drawn >= spec.LEAST_REPEATS).all()
  assert not cap or (drawn <= cap).all()


@_given(tolerance=strategies.sampled_from([0, 0.05, 0.3]))
def test_exact_meets_the_target_where_images_have_one_label(
    labels, num_folds, target, seed, tolerance):
  labels = _take_one(labels)
  del num_folds
  totals = _train_on_all(labels, 'exact', target, seed,
                         tolerance=tolerance) @ labels
  totals = totals[labels.any(axis=0)]
  assert (totals >= target * (1 - tolerance - 1e-3)).all()
  assert (totals <= target * (1 + tolerance + 1e-3)).all()


def test_exact_gives_a_set_that_occurs_once_its_own_repeats():
  # Classes 0 and 1 meet in one image; both totals are still met.
  labels = _one_hot([0] * 30 + [1] * 3)
  labels[0, 1] = 1
  drawn = _train_on_all(labels, 'exact', 12, tolerance=0)
  np.testing.assert_allclose((drawn @ labels)[:2], 12, rtol=1e-3)
  assert drawn[0] < drawn[30] and np.ptp(drawn[1:30]) == 0


def test_exact_approximates_infeasible_targets():
  # Every image of class 1 is one of class 0, and the other way round but one.
  labels = _one_hot([0] * 10)
  labels[:9, 1] = 1
  capped = _train_on_all(labels, 'exact', 100, tolerance=0, max_repeat=2)
  np.testing.assert_array_equal(capped, 2)
  crowded = _train_on_all(np.tile(labels, [200, 1]), 'exact', 1)
  np.testing.assert_array_equal(crowded, np.float32(spec.LEAST_REPEATS))


def test_summary_of_hand_made_repeats():
  labels = _one_hot([0, 0, 1, 1])
  figures = resampling.summary(labels, np.array([4, 0, 1, 1], np.float32))
  assert figures == {
      'images_drawn': 6,
      'largest_over_smallest': 2,
      'mean_ir': 1.5,
      'scumble': 0,
      'variation': pytest.approx(1 / 3),
      'never_seen': 0.25,
      'least_repeat': 0,
      'largest_repeat': 4,
      'effective_sample_size': 2,
  }


def test_summary_of_a_class_that_is_never_drawn():
  figures = resampling.summary(_one_hot([0, 1]), np.array([1, 0], np.float32))
  assert figures['largest_over_smallest'] == np.inf


@pytest.fixture(name='real', scope='module')
def _real():
  if not _CSV.exists():
    pytest.skip('the real table is not here')
  table = pd.read_csv(_CSV, dtype=str, keep_default_na=False)
  labels = specs.make(1).multi_hot(
      [tuple(map(int, target.split())) for target in table['Target']])
  return list(table['Id']), labels


@pytest.mark.parametrize('seed', range(3))
def test_hybrid_on_the_whole_real_table(real, seed):
  figures = resampling.summary(real[1],
                               _train_on_all(real[1], 'hybrid', 500, seed))
  assert 9600 < figures['images_drawn'] < 9900
  assert 4.4 < figures['largest_over_smallest'] < 5.8
  assert 0.34 < figures['variation'] < 0.43
  assert 0.77 < figures['never_seen'] < 0.80


@pytest.mark.parametrize('seed', range(6))
def test_exact_on_the_real_table_for_every_held_out_fold(real, seed):
  ids, labels = real
  folds = folds_lib.assign(ids, labels, 5, seed)
  drawn = resampling.repeats(ids, labels, folds, 5, balance.Balance('exact'))
  for k in range(5):
    part, column = labels[folds != k], drawn[folds != k, k].astype(np.float64)
    totals = column @ part
    assert (totals >= 475).all() and (totals <= 525).all()
    assert (column >= 1 / 80).all()
    assert resampling.summary(part, column)['effective_sample_size'] > 1300


def test_protected_on_the_real_table_keeps_every_image_of_a_rare_class(real):
  labels = real[1]
  drawn = _train_on_all(labels, 'protected')
  rare = labels.sum(axis=0) <= 500
  assert (drawn[labels[:, rare].any(axis=1)] >= 1).all()
  assert (drawn @ labels >= 500).all()


def test_ranks_put_label_sets_of_the_rarest_class_first():
  labels = _one_hot([0, 1, 0, 0, 1, 2])
  labels[3, 1] = 1
  # Class 2 has one image, class 1 three, class 0 three.
  ranks = label_set.rank(labels)
  assert ranks[5] == 0 and ranks[0] == ranks[2] == ranks.max()
  assert len(set(ranks)) == 4 and ranks[1] == ranks[4]


@pytest.mark.parametrize('seed', [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed):
  with pytest.raises(errors.DataError, match='Expected a seed of 0..2.63-1'):
    _train_on_all(_one_hot([0] * 5), 'hybrid', seed=seed)


@pytest.mark.parametrize('policy,more', [
    ('hybrid', {'target': 10**12}),
    ('protected', {'target': 10**12}),
    ('exact', {'target': 10**12}),
    ('table', {'factors': '0:999999999'}),
])  # yapf: disable
def test_more_draws_than_memory_holds_are_refused(policy, more):
  with pytest.raises(errors.DataError, match='training images, at most'):
    _repeats(_one_hot([0] * 5), np.full(5, -1), 1, policy, **more)


@pytest.mark.parametrize('policy', balance.POLICIES)
def test_factors_of_a_class_that_is_not_there_are_refused(policy):
  with pytest.raises(errors.DataError,
                     match='classes 0..64, received class 65'):
    resampling.repeats_of_fold(list('abc'), _one_hot([0, 1, 2], 65),
                               np.zeros(3, int), 1,
                               balance.Balance(policy, factors='65:2'), 0)


@pytest.mark.parametrize('num_classes', [64, 65, 200, 1138])
def test_exact_meets_the_target_of_each_of_many_single_labels(num_classes):
  counts = 1 + 300 // np.arange(1, num_classes + 1)
  labels = _one_hot(np.repeat(np.arange(num_classes), counts), num_classes)
  drawn = _train_on_all(labels, 'exact', 20, tolerance=0.05)
  totals = label_set.totals(labels, drawn)
  # The stiffness lets a total differ by a price, here up to the target, / 10^4.
  assert (totals >= 18.998).all() and (totals <= 21.002).all()


@pytest.mark.parametrize('num_classes', [1, 63, 64, 65, 130])
def test_totals_are_the_sums_of_each_class(num_classes):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (50, num_classes)).astype(np.uint8)
  weights = rng.integers(0, 99, 50) / 8  # exact in any order
  np.testing.assert_array_equal(label_set.totals(labels, weights),
                                (labels * weights[:, None]).sum(axis=0))
