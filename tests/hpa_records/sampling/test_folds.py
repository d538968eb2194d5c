"""folds: even in each class; depend only on ids, labels and seed."""

import pathlib

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import planner
from hpa_records.conversion import shard_plan
from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import folds
from tests.support import specs

_CSV = pathlib.Path(__file__).parents[4] / 'shared' / 'hpa' / 'train.csv'
_LABELS = strategies.tuples(strategies.integers(
    6, 40), strategies.sampled_from([
        1, 28, 64, 65, 200, 1138
    ])).flatmap(lambda shape: arrays.arrays(np.uint8,
                                            shape,
                                            elements=strategies.integers(0, 1),
                                            fill=strategies.just(0)))


def _name(count):
  return [f'sample{i}' for i in range(count)]


@pytest.fixture(name='real', scope='module')
def _real():
  if not _CSV.exists():
    pytest.skip('the real label table is not here')
  table = pd.read_csv(_CSV, dtype=str, keep_default_na=False)
  labels = [tuple(map(int, target.split())) for target in table['Target']]
  return table['Id'].tolist(), specs.make(1).multi_hot(labels)


@pytest.mark.parametrize('seed', range(4))
def test_every_class_of_the_real_table_is_within_one_of_even(real, seed):
  ids, labels = real
  assigned = folds.assign(ids, labels, 5, seed)
  counts = np.stack([labels[assigned == k].sum(axis=0) for k in range(5)])
  assert np.abs(counts - labels.sum(axis=0) / 5).max() < 1
  sizes = np.bincount(assigned)
  assert sizes.shape == (5,) and np.ptp(sizes) < 0.03 * len(ids) / 5


def test_seed_decides_the_folds(real):
  ids, labels = real[0][:2000], real[1][:2000]
  first = folds.assign(ids, labels, 5, 0)
  np.testing.assert_array_equal(first, folds.assign(ids, labels, 5, 0))
  for seed in (1, spec.MAX_SEED, 2**40):
    agreement = (first == folds.assign(ids, labels, 5, seed)).mean()
    assert 0.15 < agreement < 0.25  # As two independent deals in five.


def test_row_order_does_not_matter_on_the_real_table(real):
  ids, labels = real[0][:2000], real[1][:2000]
  order = np.random.default_rng(0).permutation(len(ids))
  shuffled = folds.assign([ids[i] for i in order], labels[order], 5, 3)
  np.testing.assert_array_equal(shuffled,
                                folds.assign(ids, labels, 5, 3)[order])


@hypothesis.given(labels=_LABELS,
                  num_folds=strategies.integers(2, 6),
                  seed=strategies.integers(0, 9))
@hypothesis.settings(deadline=None, max_examples=50)
def test_permuted_rows_have_permuted_folds_none_empty(labels, num_folds, seed):
  ids = _name(len(labels))
  assigned = folds.assign(ids, labels, num_folds, seed)
  backwards = folds.assign(ids[::-1], labels[::-1], num_folds, seed)
  np.testing.assert_array_equal(assigned, backwards[::-1])
  assert assigned.dtype == np.int64
  np.testing.assert_array_equal(np.unique(assigned), np.arange(num_folds))


@pytest.mark.parametrize('count', range(5, 13))
def test_one_class_is_spread_evenly(count):
  labels = np.zeros([count, 28], np.uint8)
  labels[:, 3] = 1
  sizes = np.bincount(folds.assign(_name(count), labels, 5, 0), minlength=5)
  assert sizes.max() - sizes.min() <= 1


def test_class_with_fewer_images_than_folds_is_in_as_many_folds():
  labels = np.zeros([40, 28], np.uint8)
  labels[:, 0] = 1
  labels[7:10, 27] = 1
  assigned = folds.assign(_name(40), labels, 5, 0)
  assert len(np.unique(assigned[7:10])) == 3


def test_folds_stay_the_same_on_every_machine():
  # Made by this call; a change of these numbers cuts all data sets anew.
  labels = np.eye(28, dtype=np.uint8)[np.arange(12) % 3]
  assert folds.assign(_name(12), labels, 3,
                      0).tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 2, 2, 2, 2]


def _cut_groups(count, most, seed):
  """Returns names for count samples in groups of 1..most, put at random."""
  rng = np.random.default_rng(seed)
  sizes = rng.integers(1, most, count, endpoint=True)
  return rng.permutation(np.repeat(np.arange(count), sizes)[:count]).astype(str)


@pytest.mark.parametrize('num_folds', [2, 5, 10])
@pytest.mark.parametrize('most,bound', [(8, 2), (50, 16)])
def test_groups_of_the_real_table_are_whole_and_stratified(
    real, num_folds, most, bound):
  ids, labels = real
  groups = _cut_groups(len(ids), most, num_folds)
  assigned = folds.assign(ids, labels, num_folds, 0, groups)
  assert pd.Series(assigned).groupby(groups).nunique().max() == 1
  counts = np.stack(
      [labels[assigned == k].sum(axis=0) for k in range(num_folds)])
  assert np.abs(counts - labels.sum(axis=0) / num_folds).max() < bound
  assert np.ptp(np.bincount(assigned)) < 0.05 * len(ids) / num_folds


def test_a_group_of_one_each_is_no_group(real):
  ids, labels = real
  np.testing.assert_array_equal(folds.assign(ids, labels, 5, 3, ids),
                                folds.assign(ids, labels, 5, 3))


def _assign_groups(labels, group_of, num_folds, seed, turn=slice(None)):
  ids = _name(len(labels))
  return folds.assign(ids[turn], labels[turn], num_folds, seed, group_of[turn])


@hypothesis.given(labels=_LABELS,
                  num_folds=strategies.integers(2, 6),
                  seed=strategies.integers(0, 9),
                  rng=strategies.randoms(use_true_random=False))
@hypothesis.settings(deadline=None, max_examples=100)
def test_groups_stay_whole_whatever_their_names_and_order(
    labels, num_folds, seed, rng):
  group_of = [str(rng.randrange(12)) for _ in labels]
  group_of[:num_folds] = map(str, range(num_folds))
  assigned = _assign_groups(labels, group_of, num_folds, seed)
  assert assigned.dtype == np.int64
  np.testing.assert_array_equal(np.unique(assigned), np.arange(num_folds))
  assert pd.Series(assigned).groupby(group_of).nunique().max() == 1
  backwards = _assign_groups(labels, group_of, num_folds, seed,
                             slice(None, None, -1))
  np.testing.assert_array_equal(assigned, backwards[::-1])
  names = rng.sample(range(100), 12)
  renamed = [f'plate {names[int(group)]}' for group in group_of]
  np.testing.assert_array_equal(
      assigned, _assign_groups(labels, renamed, num_folds, seed))


def test_large_groups_are_evened_out_by_small_ones():
  # 6 + 1 + 1 + 1 against 3 + 3 + 3; in any other order 6 would come too late.
  group_of = [
      str(i) for i, n in enumerate([1, 3, 1, 6, 3, 1, 3]) for _ in 'x' * n
  ]
  labels = np.zeros([18, 28], np.uint8)
  labels[:, 3] = 1
  for seed in range(5):
    assigned = _assign_groups(labels, group_of, 2, seed)
    assert np.bincount(assigned).tolist() == [9, 9]


def test_groups_without_labels_are_spread_evenly():
  labels = np.zeros([24, 28], np.uint8)
  group_of = [str(i // 3) for i in range(24)]
  assigned = _assign_groups(labels, group_of, 4, 0)
  assert np.bincount(assigned).tolist() == [6, 6, 6, 6]


def test_grouped_folds_stay_the_same_on_every_machine():
  # Made by this call; a change of these numbers cuts all data sets anew.
  labels = np.zeros([24, 28], np.uint8)
  labels[:, 0] = 1
  labels[np.arange(24), np.arange(24) % 5] = 1
  group_of = [str(i * i % 7) for i in range(24)]
  # The group of samples 0, 7, 14 and 21 is dealt to fold 2 and moved to fold 1.
  assert _assign_groups(labels, group_of, 3, 0).tolist() == [
      1, 2, 0, 1, 1, 0, 2, 1, 2, 0, 1, 1, 0, 2, 1, 2, 0, 1, 1, 0, 2, 1, 2, 0
  ]


def test_fewer_groups_than_folds_are_refused():
  labels = np.ones([8, 28], np.uint8)
  with pytest.raises(errors.DataError,
                     match='at least 5 groups for 5 folds, received 4; lower'):
    _assign_groups(labels, list('aabbccdd'), 5, 0)


@pytest.mark.parametrize('num_folds,message', [
    (1, 'Expected --num_folds >= 2, received 1'),
    (0, 'received 0'),
    (5, 'at least 5 samples for 5 folds, received 4'),
])
def test_impossible_number_of_folds_is_refused(num_folds, message):
  labels = np.ones([4, 28], np.uint8)
  with pytest.raises(errors.DataError, match=message):
    folds.assign(_name(4), labels, num_folds, 0)


@pytest.mark.parametrize('seed', [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed):
  labels = np.ones([4, 28], np.uint8)
  with pytest.raises(errors.DataError, match='Expected a seed of 0..2.63-1'):
    folds.assign(list('abcd'), labels, 2, seed)


@pytest.mark.parametrize('num_classes', [1, 63, 64, 65, 200, 1138, 2000])
def test_any_number_of_classes_is_spread_evenly(num_classes):
  labels = np.tile(np.eye(num_classes, dtype=np.uint8), (10, 1))
  ids = [f's{i}' for i in range(len(labels))]
  assigned = folds.assign(ids, labels, 5, 0)
  for fold in range(5):
    assert (labels[assigned == fold].sum(axis=0) == 2).all()


def test_more_repeats_than_an_index_may_have_are_refused_at_once():
  table = pd.DataFrame({'row': range(70_000), 'labels': [(0,)] * 70_000})
  table['id'] = table['row'].astype(str)
  with pytest.raises(errors.DataError, match='134,217,728 repeats; lower'):
    planner.lay_out(table, shard_plan.Settings(num_folds=60_000))


@pytest.mark.parametrize('num_classes', [64, 65, 200, 1138])
def test_grouped_folds_of_many_classes_are_stratified(num_classes):
  rng = np.random.default_rng(num_classes)
  labels = np.tile(np.eye(num_classes, dtype=np.uint8), (20, 1))
  group_of = rng.integers(0, num_classes * 4, len(labels)).astype(str)
  assigned = _assign_groups(labels, group_of, 5, 0)
  assert pd.Series(assigned).groupby(group_of).nunique().max() == 1
  counts = np.stack([labels[assigned == k].sum(axis=0) for k in range(5)])
  assert counts.min() >= 2 and counts.max() <= 6
