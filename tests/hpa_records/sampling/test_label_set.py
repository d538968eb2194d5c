"""label_set: distinct sets for any number of classes."""

import numpy as np
import pytest

from hpa_records.sampling import balance
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling


@pytest.mark.parametrize('num_classes', [1, 28, 63, 64, 65, 200, 1138])
def test_each_class_alone_is_a_set_of_its_own(num_classes):
  labels = np.repeat(np.eye(num_classes, dtype=np.uint8), 2, axis=0)
  sets, numbers = label_set.find(labels)
  assert len(sets) == num_classes
  np.testing.assert_array_equal(sets[numbers], labels)
  assert len(set(label_set.rank(labels))) == num_classes


@pytest.mark.parametrize('num_classes', [28, 63, 64, 65, 200, 1138])
def test_sets_and_ranks_are_those_of_whole_numbers(num_classes):
  rng = np.random.default_rng(num_classes)
  labels = (rng.random((200, num_classes)) < 2 / num_classes).astype(np.uint8)
  codes = [int(''.join(map(str, row[::-1])), 2) for row in labels.tolist()]
  sets, numbers = label_set.find(labels)
  order = sorted(set(codes))
  assert numbers.tolist() == [order.index(code) for code in codes]
  np.testing.assert_array_equal(sets[numbers], labels)
  rarest_last = np.argsort(-labels.sum(axis=0, dtype=int), kind='stable')
  ranked = labels[:, rarest_last[::-1]].tolist()
  order = sorted(map(tuple, ranked), reverse=True)
  order = list(dict.fromkeys(order))
  assert label_set.rank(labels).tolist() == [
      order.index(tuple(row)) for row in ranked
  ]


@pytest.mark.parametrize('policy', ['protected', 'exact'])
def test_classes_without_images_change_no_draws(policy):
  rng = np.random.default_rng(0)
  labels = (rng.random((300, 28)) < .07).astype(np.uint8)
  drawn = []
  for num_classes in (28, 63, 64, 65, 1138):
    wider = np.pad(labels, ((0, 0), (0, num_classes - 28)))
    drawn.append(
        resampling.repeats_of_fold([f's{i}' for i in range(300)], wider,
                                   np.full(300, -1), 0,
                                   balance.Balance(policy, 20), 0))
  assert all((each == drawn[0]).all() for each in drawn[1:])
