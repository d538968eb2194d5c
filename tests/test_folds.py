"""Folds are even in every class and hang on ids, labels and seed alone."""

import pathlib

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy as np
import pandas as pd
import pytest

from hpa_records import folds
from hpa_records import sample_table
from hpa_records import schema

_CSV = pathlib.Path(__file__).parents[2] / 'shared' / 'hpa' / 'train.csv'
_LABELS = strategies.integers(
    6, 40).flatmap(lambda n: arrays.arrays(np.uint8, [n, schema.NUM_CLASSES],
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
  return table['Id'].tolist(), sample_table.multi_hot(labels)


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
  for seed in (1, -1, 2**40):
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
def test_one_class_is_dealt_evenly(count):
  labels = np.zeros([count, schema.NUM_CLASSES], np.uint8)
  labels[:, 3] = 1
  sizes = np.bincount(folds.assign(_name(count), labels, 5, 0), minlength=5)
  assert sizes.max() - sizes.min() <= 1


def test_class_with_fewer_images_than_folds_is_in_as_many_folds():
  labels = np.zeros([40, schema.NUM_CLASSES], np.uint8)
  labels[:, 0] = 1
  labels[7:10, 27] = 1
  assigned = folds.assign(_name(40), labels, 5, 0)
  assert len(np.unique(assigned[7:10])) == 3


def test_folds_stay_the_same_on_every_machine():
  # Made by this call; a change of these numbers cuts all data sets anew.
  labels = np.eye(schema.NUM_CLASSES, dtype=np.uint8)[np.arange(12) % 3]
  assert folds.assign(_name(12), labels, 3,
                      0).tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 2, 2, 2, 2]


@pytest.mark.parametrize('num_folds,message', [
    (1, 'Expected --num_folds >= 2, received 1'),
    (0, 'received 0'),
    (5, 'at least 5 samples for 5 folds, received 4'),
])
def test_impossible_number_of_folds_is_refused(num_folds, message):
  labels = np.ones([4, schema.NUM_CLASSES], np.uint8)
  with pytest.raises(schema.DataError, match=message):
    folds.assign(_name(4), labels, num_folds, 0)
