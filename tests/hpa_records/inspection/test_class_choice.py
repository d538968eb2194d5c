"""class_choice: all classes, or the largest and the rarest."""

import numpy as np
import pytest

from hpa_records.inspection import class_choice


@pytest.mark.parametrize('num_classes', [0, 1, 40])
def test_few_classes_are_all_chosen_in_order(num_classes):
  counts = np.arange(num_classes)
  assert class_choice.choose(counts).tolist() == list(range(num_classes))
  assert class_choice.describe(num_classes) == ''


def test_of_many_classes_the_largest_and_the_rarest_are_chosen():
  chosen = class_choice.choose(np.arange(1000) // 2)  # ties keep their order
  assert chosen[:4].tolist() == [998, 999, 996, 997]
  assert chosen[-4:].tolist() == [2, 3, 0, 1]
  assert len(set(chosen.tolist())) == 40
  assert class_choice.describe(1000) == (
      'the 20 largest and the 20 rarest of 1,000 classes')
