"""mlsmote: synthetic features and labels of tables computed by hand."""

import numpy as np

from trainer.prediction import mlsmote


def _table():
  """20 images of class 0 alone; four of class 1, on a line, with others."""
  labels = np.zeros([24, 4], np.uint8)
  labels[:20, 0] = labels[20:, 1] = 1
  labels[20:22, 2] = 1
  features = np.zeros([24, 2])
  features[20:, 0] = [0, 1, 3, 100]
  features[20:, 1] = 7
  return features, labels


def test_seeds_move_towards_one_of_their_nearest():
  # IRLbl 1, 5, 10; MeanIR 16 / 3: class 2 alone is rare, and has two images.
  features, labels = _table()
  made, found = mlsmote.resample(features, labels, 0)
  np.testing.assert_array_equal(made[:24], features)
  np.testing.assert_array_equal(found[:24], labels)
  assert found[24:].tolist() == [[0, 1, 1, 0]] * 2
  assert ((0 < made[24:, 0]) & (made[24:, 0] < 1)).all()
  assert made[24, 0] != made[25, 0] and (made[24:, 1] == 7).all()


def test_labels_are_those_of_more_than_half():
  features, labels = _table()
  labels[:, 2] = 0
  labels[20:22, 3] = 1  # IRLbl 10: rare
  labels[:20, 2] = 1  # IRLbl 1, 1, 5, 10; MeanIR 4.25: class 1 is rare, too
  made, found = mlsmote.resample(features, labels, 1, k=2)
  assert len(made) == 24 + 4 + 2
  # Class 1 first. Seeds 0, 1, 3 and 100 with the nearest two: (1, 3), (0, 3),
  # (0, 1) and (1, 3): class 3, of the first two, has 2, 2, 2 and 1 of 3.
  assert found[24:28].tolist() == [[0, 1, 0, 1]] * 3 + [[0, 1, 0, 0]]
  for place, (low, high) in enumerate([(0, 3), (0, 3), (0, 3), (1, 100)]):
    assert low <= made[24 + place, 0] <= high


def test_each_feature_has_a_share_of_its_own_by_seed():
  rng = np.random.default_rng(0)
  labels = np.repeat(np.eye(2, dtype=np.uint8), [30, 6], axis=0)
  features = rng.normal(size=(36, 8)).astype(np.float32)
  made, found = mlsmote.resample(features, labels, 3)
  assert made.dtype == np.float32 and found.dtype == np.uint8
  assert len(made) == 42 and (found[36:] == [0, 1]).all()
  seeds = features[30:]
  for row, synthetic in zip(seeds, made[36:]):
    shares = [(synthetic - row) / (other - row)
              for other in seeds
              if (other != row).any()]
    fits = [
        each for each in shares
        if (-1e-4 < each).all() and (each < 1 + 1e-4).all()
    ]
    assert fits and np.ptp(fits[0]) > 0.1
  np.testing.assert_array_equal(mlsmote.resample(features, labels, 3)[0], made)
  assert (mlsmote.resample(features, labels, 4)[0] != made).any()


def test_a_label_of_one_image_makes_none():
  labels = np.repeat(np.eye(2, dtype=np.uint8), [9, 1], axis=0)
  made, found = mlsmote.resample(np.arange(20.0).reshape(10, 2), labels, 0)
  assert len(made) == len(found) == 10
