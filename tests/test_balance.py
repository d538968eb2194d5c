"""What holds for the repeats of any label matrix, and of the real one."""

import pathlib

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy as np
import pandas as pd
import pytest

from hpa_records import balance
from hpa_records import sample_table
from hpa_records import schema

_CSV = pathlib.Path(__file__).parents[2] / 'shared' / 'hpa' / 'train.csv'
_LABELS = strategies.integers(
    1, 40).flatmap(lambda n: arrays.arrays(np.uint8, [n, schema.NUM_CLASSES],
                                           elements=strategies.integers(0, 1),
                                           fill=strategies.just(0)))


def _given(**more):

  def decorate(test):
    test = hypothesis.given(labels=_LABELS,
                            num_folds=strategies.integers(2, 4),
                            target=strategies.integers(1, 30),
                            seed=strategies.integers(0, 99),
                            **more)(test)
    return hypothesis.settings(deadline=None, max_examples=60)(test)

  return decorate


def _deal(labels, num_folds):
  return np.arange(len(labels)) % num_folds


def _one_hot(classes):
  return np.eye(schema.NUM_CLASSES, dtype=np.uint8)[list(classes)]


@_given(policy=strategies.sampled_from(balance.POLICIES))
def test_repeats_are_whole_and_zero_where_held_out(labels, num_folds, target,
                                                   seed, policy):
  folds = _deal(labels, num_folds)
  drawn = balance.repeats(labels, folds, num_folds, policy, target, seed)
  assert drawn.shape == (len(labels), num_folds)
  assert drawn.dtype == np.float32
  assert (drawn >= 0).all() and (drawn == np.floor(drawn)).all()
  assert (drawn[np.arange(len(labels)), folds] == 0).all()


@_given(policy=strategies.sampled_from(balance.POLICIES))
def test_held_out_labels_do_not_matter(labels, num_folds, target, seed, policy):
  folds = _deal(labels, num_folds)
  changed = labels.copy()
  changed[folds == 0] = 1 - changed[folds == 0]
  args = (folds, num_folds, policy, target, seed)
  np.testing.assert_array_equal(
      balance.repeats(labels, *args)[:, 0],
      balance.repeats(changed, *args)[:, 0])


@_given()
def test_hybrid_leaves_the_last_class_of_all_at_the_target(
    labels, num_folds, target, seed):
  drawn = balance.repeats(labels, _deal(labels, num_folds), num_folds, 'hybrid',
                          target, seed)
  for k, total in enumerate((drawn.T @ labels)[:, -1]):
    present = labels[_deal(labels, num_folds) != k, -1].any()
    assert total == (target if present else 0)


@_given()
def test_hybrid_meets_the_target_where_images_have_one_label(
    labels, num_folds, target, seed):
  labels = _one_hot(labels.sum(axis=1) % schema.NUM_CLASSES)
  folds = _deal(labels, num_folds)
  drawn = balance.repeats(labels, folds, num_folds, 'hybrid', target, seed)
  for k in range(num_folds):
    present = labels[folds != k].any(axis=0)
    np.testing.assert_array_equal(drawn[:, k] @ labels, present * target)


@_given()
def test_hybrid_keeps_images_without_labels_once(labels, num_folds, target,
                                                 seed):
  labels[0] = 0
  drawn = balance.repeats(labels, _deal(labels, num_folds), num_folds, 'hybrid',
                          target, seed)
  assert drawn[0].tolist() == [0] + [1] * (num_folds - 1)


@_given()
def test_one_folds_draws_do_not_hang_on_the_number_of_folds(
    labels, num_folds, target, seed):
  folds = _deal(labels, num_folds)
  np.testing.assert_array_equal(
      balance.repeats(labels, folds, num_folds, 'hybrid', target, seed),
      balance.repeats(labels, folds, num_folds + 1, 'hybrid', target,
                      seed)[:, :num_folds])


def test_none_draws_every_training_image_once():
  drawn = balance.repeats(_one_hot(range(6)), _deal(range(6), 3), 3, 'none')
  np.testing.assert_array_equal(drawn, 1 - np.tile(np.eye(3), [2, 1]))


def test_hybrid_duplicates_images_that_an_earlier_class_removed():
  # Class 0 keeps one of 1000 images, hardly ever one of class 1's ten.
  labels = _one_hot([0] * 1000)
  labels[:10, 1] = 1
  drawn = balance.repeats(labels, np.ones(1000), 1, 'hybrid', target=1)[:, 0]
  assert (drawn @ labels)[1] == 1


def test_hybrid_draws_without_bias():
  labels = _one_hot([0] * 50)
  folds = np.full(50, -1)
  drawn = np.mean([
      balance.repeats(labels, folds, 1, 'hybrid', target, seed)
      for seed in range(200)
      for target in (25, 75)
  ],
                  axis=0)
  # Mean of 400 draws of .5 and 1.5; 5 standard errors of .035.
  np.testing.assert_allclose(drawn, 1, atol=.13)


def test_seed_decides_the_draws():
  first, again, second, negative = [
      balance.repeats(_one_hot([0] * 50), np.full(50, -1), 1, 'hybrid', 20,
                      seed) for seed in (0, 0, 1, -1)
  ]
  np.testing.assert_array_equal(first, again)
  assert (first != second).any() and (first != negative).any()


def test_each_held_out_fold_has_draws_of_its_own():
  drawn = balance.repeats(_one_hot([0] * 50), np.full(50, -1), 2, 'hybrid', 20)
  assert (drawn[:, 0] != drawn[:, 1]).any()


def test_summary_of_hand_made_repeats():
  labels = _one_hot([0, 0, 1, 1])
  figures = balance.summary(labels, np.array([4, 0, 1, 1], np.float32))
  assert figures == {
      'images_drawn': 6,
      'largest_over_smallest': 2,
      'variation': pytest.approx(1 / 3),
      'never_seen': 0.25,
      'largest_repeat': 4,
      'effective_sample_size': 2,
  }


def test_summary_of_a_class_that_is_never_drawn():
  figures = balance.summary(_one_hot([0, 1]), np.array([1, 0], np.float32))
  assert figures['largest_over_smallest'] == np.inf


@pytest.mark.skipif(not _CSV.exists(), reason='the real table is not here')
@pytest.mark.parametrize('seed', range(3))
def test_hybrid_on_the_whole_real_table(seed):
  table = pd.read_csv(_CSV, dtype=str, keep_default_na=False)
  labels = sample_table.multi_hot(
      [tuple(map(int, target.split())) for target in table['Target']])
  drawn = balance.repeats(labels, np.full(len(labels), -1), 1, 'hybrid', 500,
                          seed)
  figures = balance.summary(labels, drawn[:, 0])
  assert 9600 < figures['images_drawn'] < 9900
  assert 4.4 < figures['largest_over_smallest'] < 5.8
  assert 0.34 < figures['variation'] < 0.43
  assert 0.77 < figures['never_seen'] < 0.80


@pytest.mark.parametrize('policy,target,message', [
    ('hybird', 500, "one of none, hybrid, received 'hybird'"),
    ('hybrid', 0, 'Expected --balance_target >= 1, received 0'),
])
def test_unknown_settings_are_refused(policy, target, message):
  with pytest.raises(schema.DataError, match=message):
    balance.repeats(_one_hot([0, 1]), np.arange(2), 2, policy, target)
