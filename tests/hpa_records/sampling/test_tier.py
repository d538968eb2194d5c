"""tier: Rana's tiers and draws."""

import numpy as np
import pytest

from hpa_records.sampling import tier

# Images of Kaggle's 28 classes, of its train.csv.
_KAGGLE = [
    12885, 1254, 3621, 1561, 1858, 2513, 1008, 2822, 53, 45, 28, 1093, 688, 537,
    1066, 21, 530, 210, 902, 1482, 172, 3777, 802, 2965, 322, 8228, 328, 11
]


def _one_hot(counts):
  return np.repeat(np.eye(len(counts), dtype=np.uint8), counts, axis=0)


def test_tiers_of_kaggles_images_are_ranas_lists():
  found = [sorted(each.tolist()) for each in tier.cut(_one_hot(_KAGGLE))]
  assert found == [[8, 9, 10, 15, 27], [16, 17, 20, 24, 26],
                   [6, 12, 13, 18, 22]]


def test_draws_of_three_classes_by_hand():
  # 34 images: 30 extra draws, 15 of class 2, 7.5 of classes 1 and 0 each.
  labels = _one_hot([25, 6, 3])
  np.testing.assert_allclose(tier.draw(labels),
                             [1.3] * 25 + [2.25] * 6 + [6.0] * 3)
  assert [each.tolist() for each in tier.cut(labels)] == [[2], [1], [0]]


def test_an_image_has_the_extra_draws_of_all_its_labels():
  labels = _one_hot([25, 5, 3])
  labels = np.concatenate([labels, [[0, 1, 1]]]).astype(np.uint8)
  # 34 images: 15 draws over 4 images, 7.5 over 6.
  assert tier.draw(labels)[-1] == pytest.approx(1 + 15 / 4 + 7.5 / 6)


@pytest.mark.parametrize('num_classes,sizes', [(1, [1, 0, 0]), (2, [1, 1, 0]),
                                               (11, [2, 2, 2]),
                                               (200, [36, 36, 36])])
def test_tiers_of_other_classes(num_classes, sizes):
  labels = np.pad(_one_hot(range(1, num_classes + 1)), ((0, 0), (2, 3)))
  found = tier.cut(labels)
  assert [len(each) for each in found] == sizes
  assert np.concatenate(found).tolist() == list(range(2, sum(sizes) + 2))
  assert tier.mark_rarest(labels).sum() == sizes[0]


def test_kinds_are_the_rarest_class_of_the_first_tier():
  trained = _one_hot(range(11, 0, -1))  # classes 10 and 9 are the rarest
  labels = np.zeros([4, 11], np.uint8)
  labels[0, 9] = labels[1, [9, 10]] = labels[2, 0] = 1
  assert tier.find_kinds(labels, trained).tolist() == [1, 0, -1, -1]
