"""plan: counts, rounding, transforms; a pure function of its key."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from hpa_records import balance
from hpa_records import plan
from hpa_records import schema

_KEY = plan.Key(seed=3, epoch=5, fold=1)
_REPEATS = st.lists(
    st.floats(0, 20, width=32), min_size=1,
    max_size=60).map(lambda values: np.array(values, np.float32))


@hypothesis.given(_REPEATS, st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_counts_are_floor_or_ceiling_and_their_sum_too(repeats, seed, epoch):
  counts = plan.draw_counts(repeats, plan.Key(seed, epoch, 0))
  assert (counts >= np.floor(repeats)).all()
  assert (counts <= np.ceil(repeats)).all()
  assert abs(counts.sum() - repeats.sum(dtype=np.float64)) < 1 + 1e-6


def test_whole_repeats_are_drawn_exactly():
  repeats = np.array([0, 3, 1, 500, 0, 2], np.float32)
  for epoch in range(20):
    counts = plan.draw_counts(repeats, plan.Key(0, epoch, 0))
    np.testing.assert_array_equal(counts, repeats)


def _z_scores(counts, repeats):
  fraction = repeats % 1
  error = counts.mean(axis=0) - repeats
  return error / np.sqrt(fraction * (1 - fraction) / len(counts))


def test_mean_over_epochs_is_exact_and_a_biased_rounding_would_show():
  repeats = np.array([0.1, 0.25, 1.5, 2.7, 0.9, 0.05], np.float32)
  counts = np.array(
      [plan.draw_counts(repeats, plan.Key(7, e, 0)) for e in range(4000)])
  assert np.abs(_z_scores(counts, repeats)).max() < 4
  coins = np.random.default_rng(0).random(counts.shape)
  seldom = np.floor(repeats) + (coins < 0.9 * (repeats % 1))
  assert np.abs(_z_scores(seldom, repeats)).max() > 4


def _ranked(labels):
  """Exact repeats, ranks and labels of images of some label sets."""
  hot = np.zeros((len(labels), schema.NUM_CLASSES), np.uint8)
  for row, classes in enumerate(labels):
    hot[row, classes] = 1
  ids = [f'i{i}' for i in range(len(labels))]
  repeats = balance.repeats_of_fold(ids, hot, np.full(len(hot), -1), 0,
                                    balance.Balance('exact', 40), 0)
  return hot, repeats, balance.rank_label_sets(hot)


@pytest.mark.parametrize('cycle', [0, 1, 7])
def test_a_cycle_of_epochs_draws_each_record_as_often_as_it_should(cycle):
  rng = np.random.default_rng(cycle)
  repeats = rng.random(3000).astype(np.float32) * 3
  repeats[:500] = schema.LEAST_REPEATS
  ranks = rng.integers(0, 40, 3000)
  total = sum(
      plan.draw_counts(repeats, plan.Key(5, 80 * cycle + e, 1), ranks)
      for e in range(schema.CYCLE_EPOCHS))
  wanted = schema.CYCLE_EPOCHS * repeats.astype(np.float64)
  assert np.abs(total - wanted).max() < 1 + 1e-6
  assert (total[:500] >= 1).all()


def test_which_records_go_together_changes_with_the_cycle():
  repeats = np.full(200, 0.5, np.float32)
  drawn = {
      plan.draw_counts(repeats, plan.Key(0, epoch, 0)).tobytes()
      for epoch in range(240)
  }
  assert len(drawn) > 4  # two kinds of start in each of three cycles


def test_class_totals_of_an_epoch_vary_less_along_ranks_than_by_coins():
  rng = np.random.default_rng(0)
  labels = [
      rng.choice(6, rng.integers(1, 3), replace=False) for _ in range(900)
  ]
  hot, repeats, ranks = _ranked(labels)

  def spread(draw):
    return np.std([draw(epoch) @ hot for epoch in range(80)], axis=0)[:6].mean()

  coins = spread(lambda _: np.floor(repeats) +
                 (rng.random(len(repeats)) < repeats % 1))
  alike = spread(lambda e: plan.draw_counts(repeats, plan.Key(0, e, 0)))
  ranked = spread(lambda e: plan.draw_counts(repeats, plan.Key(0, e, 0), ranks))
  assert ranked < 0.5 * alike and ranked < 0.5 * coins


def test_ranks_leave_the_mean_alone():
  _, repeats, ranks = _ranked([[0], [0, 1], [1], [1], [2]] * 20)
  repeats = repeats * np.float32(0.37)
  counts = np.array([
      plan.draw_counts(repeats, plan.Key(seed, 3, 0), ranks)
      for seed in range(3000)
  ])
  fraction = repeats % 1
  keep = (fraction > 0.01) & (fraction < 0.99)
  assert keep.sum() > 50
  assert np.abs(_z_scores(counts[:, keep], repeats[keep])).max() < 4.5


def test_expand_lists_each_copy_once_with_its_number():
  epoch = plan.expand(np.array([2, 0, 3, 1], np.float32), _KEY)
  assert epoch.record.tolist() == [0, 0, 2, 2, 2, 3]
  assert epoch.copy.tolist() == [0, 1, 0, 1, 2, 0]
  assert len(epoch) == 6


@pytest.mark.parametrize('augment', plan.AUGMENTS)
def test_augment_says_which_copies_are_transformed(augment):
  epoch = plan.expand(np.full(4000, 2, np.float32), _KEY, augment)
  for first in (True, False):
    counts = np.bincount(epoch.element[(epoch.copy == 0) == first], minlength=8)
    if augment == 'none' or (augment == 'copies' and first):
      assert counts[0] == 4000
    else:  # uniform: 500 each, deviation 21
      assert np.abs(counts - 500).max() < 5 * 21


def test_unknown_augment_is_refused():
  with pytest.raises(ValueError, match="received 'twice'"):
    plan.expand(np.ones(3), _KEY, 'twice')


def test_everything_depends_on_the_key_alone():
  repeats = np.linspace(0, 3, 200, dtype=np.float32)

  def draw(key):
    epoch = plan.expand(repeats, key, 'all')
    shuffled = epoch.take(plan.order(len(epoch), key))
    return shuffled.record.tolist(), shuffled.element.tolist()

  assert draw(_KEY) == draw(plan.Key(3, 5, 1))
  for other in (plan.Key(4, 5, 1), plan.Key(3, 6, 1), plan.Key(3, 5, 2)):
    assert draw(_KEY) != draw(other)


def test_order_is_a_permutation():
  assert sorted(plan.order(1000, _KEY)) == list(range(1000))


@pytest.mark.parametrize('length,batch,steps', [(0, 80, 0), (1, 80, 1),
                                                (80, 80, 1), (81, 80, 2)])
def test_last_batch_counts_as_a_step(length, batch, steps):
  assert plan.num_steps(length, batch) == steps
