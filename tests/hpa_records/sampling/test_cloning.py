"""cloning: ML-ROS and LP-ROS on tables computed by hand."""

import numpy as np
import pytest

from hpa_records.sampling import cloning
from hpa_records.sampling import imbalance


def _rng():
  return np.random.default_rng(0)


def _one_hot(counts):
  return np.repeat(np.eye(len(counts), dtype=np.uint8), counts, axis=0)


def test_mlros_leaves_a_label_at_mean_ir():
  # IRLbl 1, 4, 8; MeanIR 13 / 3. One clone: IRLbl 8 / 2 = 4.
  counts = cloning.clone_labels(_one_hot([8, 2, 1]), 100, _rng())
  assert counts.tolist() == [1] * 10 + [2]


def test_mlros_labels_take_turns_until_the_percentage():
  # 83 images, IRLbl 1, 1, 20, 40; MeanIR 15.5. Class 2 leaves after one clone,
  # 40 / 3 = 13.3, class 3 after two.
  labels = _one_hot([40, 40, 2, 1])
  for percent, want in ((2, [3, 1]), (3, [3, 2]), (4, [3, 3]), (99, [3, 3])):
    counts = cloning.clone_labels(labels, percent, _rng())
    assert (counts @ labels).tolist() == [40, 40, *want], percent


def test_mlros_counts_clones_for_all_their_labels():
  # The image of class 2 is also one of the 8 of class 0. IRLbl 1, 4, 8, MeanIR
  # 13 / 3. Clones make them 9 / 2, which is above, then 10 / 3.
  labels = _one_hot([7, 2, 1])
  labels[9, 0] = 1
  counts = cloning.clone_labels(labels, 100, _rng())
  assert counts.tolist() == [1] * 9 + [3]


def test_lpros_shares_clones_from_the_largest_set_on():
  # Sizes 6, 3, 1, 2: mean 3. Room of the sets of 2 and 1: 1 and 2.
  labels = _one_hot([6, 3, 1, 2])
  for percent, want in ((25, [6, 3, 3,
                              3]), (50, [6, 3, 3,
                                         3]), (17, [6, 3, 2,
                                                    3]), (9, [6, 3, 2, 2])):
    counts = cloning.clone_sets(labels, percent, _rng())
    assert (counts @ labels).tolist() == want, percent


def test_lpros_has_sets_of_labels_and_leaves_images_without():
  labels = _one_hot([6, 2])
  labels = np.concatenate([labels, [[1, 1]], np.zeros([9, 2], np.uint8)])
  # Sets of 6, 2 and 1 images: mean 3; 3 clones of 18 images.
  counts = cloning.clone_sets(labels, 17, _rng())
  assert counts[:6].tolist() == [1] * 6 and counts[8] == 3
  assert counts[6:8].sum() == 3 and counts[9:].tolist() == [1] * 9
  assert cloning.clone_sets(labels[9:], 100, _rng()).tolist() == [1] * 9


@pytest.mark.parametrize('clone', [cloning.clone_labels, cloning.clone_sets])
def test_clones_are_of_all_images_of_a_bag_and_not_more_than_asked(clone):
  labels = _one_hot([1000, 1000, 1000, 30])
  counts = clone(labels, 10, _rng())
  assert counts[:3000].tolist() == [1] * 3000
  found = imbalance.measure(labels, counts)
  if clone is cloning.clone_labels:  # IRLbl 33.3, MeanIR 9.08: 111 images
    assert counts[3000:].sum() == 111 and found.ratios[3] <= 9.09
  else:
    assert counts.sum() == 3030 + 303
  assert (counts[3000:] > 1).sum() > 20 and np.ptp(counts[3000:]) > 1
