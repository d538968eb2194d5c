"""epoch_plan: counts, rounding, symmetries; a pure function of its key."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pandas as pd
import pytest

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import epoch_plan
from hpa_records.sampling import folds
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling
from tests.support import specs

_KEY = epoch_plan.Key(seed=3, epoch=5, fold=1)
_REPEATS = st.lists(
    st.floats(0, 20, width=32), min_size=1,
    max_size=60).map(lambda values: np.array(values, np.float32))


@hypothesis.given(_REPEATS, st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_counts_are_floor_or_ceiling_and_their_sum_too(repeats, seed, epoch):
  counts = epoch_plan.draw_counts(repeats, epoch_plan.Key(seed, epoch, 0))
  assert (counts >= np.floor(repeats)).all()
  assert (counts <= np.ceil(repeats)).all()
  assert abs(counts.sum() - repeats.sum(dtype=np.float64)) < 1 + 1e-6


def test_whole_repeats_are_drawn_exactly():
  repeats = np.array([0, 3, 1, 500, 0, 2], np.float32)
  for epoch in range(20):
    counts = epoch_plan.draw_counts(repeats, epoch_plan.Key(0, epoch, 0))
    np.testing.assert_array_equal(counts, repeats)


def _z_scores(counts, repeats):
  fraction = repeats % 1
  error = counts.mean(axis=0) - repeats
  return error / np.sqrt(fraction * (1 - fraction) / len(counts))


def test_mean_over_epochs_is_exact_and_a_biased_rounding_would_show():
  repeats = np.array([0.1, 0.25, 1.5, 2.7, 0.9, 0.05], np.float32)
  counts = np.array([
      epoch_plan.draw_counts(repeats, epoch_plan.Key(7, e, 0))
      for e in range(4000)
  ])
  assert np.abs(_z_scores(counts, repeats)).max() < 4
  coins = np.random.default_rng(0).random(counts.shape)
  seldom = np.floor(repeats) + (coins < 0.9 * (repeats % 1))
  assert np.abs(_z_scores(seldom, repeats)).max() > 4


def _ranked(labels):
  """Exact repeats, ranks and labels of images of some label sets."""
  hot = np.zeros((len(labels), 28), np.uint8)
  for row, classes in enumerate(labels):
    hot[row, classes] = 1
  ids = [f'i{i}' for i in range(len(labels))]
  repeats = resampling.repeats_of_fold(ids, hot, np.full(len(hot), -1), 0,
                                       balance.Balance('exact', 40), 0)
  return hot, repeats, label_set.rank(hot)


@pytest.mark.parametrize('cycle', [0, 1, 7])
def test_a_cycle_of_epochs_draws_each_record_as_often_as_it_should(cycle):
  rng = np.random.default_rng(cycle)
  repeats = rng.random(3000).astype(np.float32) * 3
  repeats[:500] = spec.LEAST_REPEATS
  ranks = rng.integers(0, 40, 3000)
  total = sum(
      epoch_plan.draw_counts(repeats, epoch_plan.Key(5, 80 * cycle +
                                                     e, 1), ranks)
      for e in range(spec.CYCLE_EPOCHS))
  wanted = spec.CYCLE_EPOCHS * repeats.astype(np.float64)
  assert np.abs(total - wanted).max() < 1 + 1e-6
  assert (total[:500] >= 1).all()


def test_records_that_coincide_change_with_the_cycle():
  repeats = np.full(200, 0.5, np.float32)
  drawn = {
      epoch_plan.draw_counts(repeats, epoch_plan.Key(0, epoch, 0)).tobytes()
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
  alike = spread(
      lambda e: epoch_plan.draw_counts(repeats, epoch_plan.Key(0, e, 0)))
  ranked = spread(
      lambda e: epoch_plan.draw_counts(repeats, epoch_plan.Key(0, e, 0), ranks))
  assert ranked < 0.5 * alike and ranked < 0.5 * coins


def test_ranks_leave_the_mean_alone():
  _, repeats, ranks = _ranked([[0], [0, 1], [1], [1], [2]] * 20)
  repeats = repeats * np.float32(0.37)
  counts = np.array([
      epoch_plan.draw_counts(repeats, epoch_plan.Key(seed, 3, 0), ranks)
      for seed in range(3000)
  ])
  fraction = repeats % 1
  keep = (fraction > 0.01) & (fraction < 0.99)
  assert keep.sum() > 50
  assert np.abs(_z_scores(counts[:, keep], repeats[keep])).max() < 4.5


def test_expand_lists_each_copy_once_with_its_number():
  epoch = epoch_plan.expand(np.array([2, 0, 3, 1], np.float32), _KEY)
  assert epoch.record.tolist() == [0, 0, 2, 2, 2, 3]
  assert epoch.copy.tolist() == [0, 1, 0, 1, 2, 0]
  assert len(epoch) == 6


@pytest.mark.parametrize('augment', epoch_plan.AUGMENTS)
def test_augment_says_which_copies_are_transformed(augment):
  epoch = epoch_plan.expand(np.full(4000, 2, np.float32), _KEY, augment)
  for first in (True, False):
    counts = np.bincount(epoch.element[(epoch.copy == 0) == first], minlength=8)
    if augment == 'none' or (augment != 'all' and first):
      assert counts[0] == 4000
    elif augment == 'paper':
      six = counts[list(epoch_plan.PAPER_ELEMENTS)]
      assert six.sum() == 4000
      assert np.abs(six - 4000 / 6).max() < 5 * 24
    else:  # uniform: 500 each, deviation 21
      assert np.abs(counts - 500).max() < 5 * 21


def test_unknown_augment_is_refused():
  with pytest.raises(ValueError, match="received 'twice'"):
    epoch_plan.expand(np.ones(3), _KEY, 'twice')


def test_everything_depends_on_the_key_alone():
  repeats = np.linspace(0, 3, 200, dtype=np.float32)

  def draw(key):
    epoch = epoch_plan.expand(repeats, key, 'all')
    shuffled = epoch.take(epoch_plan.order(len(epoch), key))
    return shuffled.record.tolist(), shuffled.element.tolist()

  assert draw(_KEY) == draw(epoch_plan.Key(3, 5, 1))
  for other in (epoch_plan.Key(4, 5,
                               1), epoch_plan.Key(3, 6,
                                                  1), epoch_plan.Key(3, 5, 2)):
    assert draw(_KEY) != draw(other)


def test_order_is_a_permutation():
  assert sorted(epoch_plan.order(1000, _KEY)) == list(range(1000))


@pytest.mark.parametrize('length,batch,steps', [(0, 80, 0), (1, 80, 1),
                                                (80, 80, 1), (81, 80, 2)])
def test_last_batch_counts_as_a_step(length, batch, steps):
  assert epoch_plan.num_steps(length, batch) == steps


@hypothesis.given(_REPEATS, st.integers(0, 2**31 - 1), st.integers(0, 200))
def test_an_epoch_draws_each_record_exactly_its_number_of_times(
    repeats, seed, number):
  key = epoch_plan.Key(seed, number, 2)
  epoch = epoch_plan.shuffle(repeats, key)
  counts = epoch_plan.draw_counts(repeats, key)
  np.testing.assert_array_equal(
      np.bincount(epoch.record, minlength=len(repeats)), counts)
  pairs = list(zip(epoch.record.tolist(), epoch.copy.tolist()))
  assert sorted(pairs) == [
      (r, c) for r, n in enumerate(counts) for c in range(n)
  ]


def _chi_square(orders, bins=8):
  """Of where each of the records stands: [E, N] orders, over bins."""
  length = orders.shape[1]
  places = np.argsort(orders, axis=1) * bins // length
  counts = np.stack([(places == b).sum(axis=0) for b in range(bins)])
  expected = len(orders) / bins
  return ((counts - expected)**2 / expected).sum() / (bins - 1) / length


def _through_buffer(length, size, rng):
  """An order from a shuffle buffer, as a reader in sequence has it."""
  buffer, order = list(range(size)), []
  for each in range(size, length):
    at = rng.integers(size)
    order.append(buffer[at])
    buffer[at] = each
  return np.array(order + rng.permutation(buffer).tolist())


def test_the_order_is_uniform_and_a_shuffle_buffer_is_not():
  orders = np.stack([
      epoch_plan.order(256, epoch_plan.Key(3, epoch, 1)) for epoch in range(400)
  ])
  # Mean of 256 x 7 degrees of freedom: 1, deviation 0.033.
  assert abs(_chi_square(orders) - 1) < 5 * 0.033
  rng = np.random.default_rng(0)
  buffered = np.stack([_through_buffer(256, 128, rng) for _ in range(400)])
  assert abs(_chi_square(buffered) - 1) > 5 * 0.033


def test_neighbours_are_no_more_often_alike_than_by_chance():
  repeats = np.full(100, 5, np.float32)
  alike = np.mean([
      (np.diff(epoch_plan.shuffle(repeats,
                                  epoch_plan.Key(0, e, 0)).record) == 0).mean()
      for e in range(100)
  ])
  # 4 of the 499 others are copies; deviation of the mean 0.0004.
  assert abs(alike - 4 / 499) < 5 * 0.0004


def _most_copies(records, batch=80):
  """Largest number of copies of one record in a batch, mean over batches."""
  whole = records[:len(records) // batch * batch].reshape(-1, batch)
  return np.mean(
      [np.unique(each, return_counts=True)[1].max() for each in whole])


def test_copies_are_spread_as_a_uniform_shuffle_would(shared_data):
  table = pd.read_csv(shared_data / 'hpa' / 'train.csv')
  labels = specs.make(1).multi_hot(
      [[int(k) for k in each.split()] for each in table['Target']])
  ids = table['Id'].tolist()
  cut = folds.assign(ids, labels, 5, 0)
  repeats = resampling.repeats_of_fold(ids, labels, cut, 0,
                                       balance.Balance('exact'), 0)
  ranks = label_set.rank(labels)
  epochs = [
      epoch_plan.shuffle(repeats, epoch_plan.Key(0, e, 0), ranks=ranks).record
      for e in range(8)
  ]
  rng = np.random.default_rng(1)
  planned = np.mean([_most_copies(each) for each in epochs])
  uniform = np.mean([_most_copies(rng.permutation(each)) for each in epochs])
  assert planned == pytest.approx(uniform, rel=0.05)
  assert 1.6 < uniform < 2.4
  in_place = np.sort(epochs[0])
  buffered = _most_copies(in_place[_through_buffer(len(in_place), 2048, rng)])
  assert buffered > 1.2 * uniform


@pytest.mark.parametrize('replicas,pipelines', [(1, 1), (2, 1), (4, 1), (2, 2),
                                                (4, 2)])
def test_global_batches_are_the_same_for_all_replicas_and_workers(
    replicas, pipelines):
  epoch = epoch_plan.shuffle(np.full(74, 1.5, np.float32), _KEY, 'all')
  steps, count = epoch_plan.num_steps(len(epoch), 8), replicas // pipelines
  assert len(epoch) % 8  # the last is not full
  for step in range(steps):
    parts = [
        epoch_plan.cut(epoch, epoch_plan.Share(8, replicas, first, count),
                       step * count + each)
        for first in range(0, replicas, count)
        for each in range(count)
    ]
    whole = epoch_plan.cut(epoch, epoch_plan.Share(8), step)
    for name in ('record', 'element', 'weight', 'slot'):
      together = np.concatenate([getattr(part, name) for part in parts])
      np.testing.assert_array_equal(together, getattr(whole, name))


def test_the_last_batch_is_padded_with_weight_0():
  epoch = epoch_plan.once(np.array([7, 3, 5]))
  part = epoch_plan.cut(epoch, epoch_plan.Share(2), 1)
  assert part.record.tolist() == [5, epoch_plan.BLANK]
  assert part.weight.tolist() == [1, 0]
  assert part.element.tolist() == [0, 0]
  assert part.slot.tolist() == [0, 1]


@pytest.mark.parametrize('values', [(10, 4, 0, 4), (8, 4, 3, 2), (8, 4, -1, 1),
                                    (8, 4, 0, 0)])
def test_invalid_shares_are_refused(values):
  with pytest.raises(ValueError, match='Expected .*, received'):
    epoch_plan.Share(*values)


@pytest.mark.parametrize('key', [(-1, 0, 0), (2**63, 0, 0), (2**64 + 3, 0, 0),
                                 (0, -1, 0), (0, 2**39, 0), (0, 0, -1),
                                 (0, 0, 2**16)])
def test_keys_out_of_range_are_refused(key):
  with pytest.raises(errors.DataError,
                     match='Expected a(n epoch| seed) of 0..2'):
    epoch_plan.Key(*key)


def test_large_seeds_are_different():
  orders = [
      epoch_plan.order(100, epoch_plan.Key(seed, 0, 0)).tobytes()
      for seed in (2**53, 2**53 + 1, 2**62, 2**63 - 2, spec.MAX_SEED)
  ]
  assert len(set(orders)) == 5


@pytest.mark.parametrize('length', [1, 40, 41])
def test_copies_of_a_kind_are_paired(length):
  key = epoch_plan.Key(3, 5, 0)
  plan = epoch_plan.shuffle(np.ones(length), key, 'all')
  kinds = np.full(length, -1)
  kinds[:11], kinds[11:15] = 0, 1
  paired = epoch_plan.pair(plan, kinds, key)
  assert sorted(paired.record) == sorted(plan.record)
  of_record = dict(zip(plan.record.tolist(), plan.element.tolist()))
  assert [of_record[each] for each in paired.record.tolist()
         ] == paired.element.tolist()
  kind = kinds[paired.record][:length // 2 * 2].reshape(-1, 2)
  if length > 1:
    same = kind[kind[:, 0] == kind[:, 1]]
    assert (same[:, 0] == 0).sum() == 5 and (same[:, 0] == 1).sum() == 2
    assert (kind[:, 0] != -1).argmax() < 10  # not all behind the others
  again = epoch_plan.pair(plan, kinds, key)
  np.testing.assert_array_equal(again.record, paired.record)
  other = epoch_plan.pair(plan, kinds, epoch_plan.Key(3, 6, 0))
  assert length == 1 or (other.record != paired.record).any()


def test_without_kinds_all_pairs_stay_those_of_the_order():
  key = epoch_plan.Key(0, 0, 0)
  plan = epoch_plan.shuffle(np.ones(12), key)
  paired = epoch_plan.pair(plan, np.full(12, -1), key)
  one, other = ({tuple(pair)
                 for pair in each.record.reshape(-1, 2)}
                for each in (plan, paired))
  assert one == other
