"""knn: predictions by the nearest images."""

import numpy as np

from trainer.pretraining import knn


def test_shares_of_the_nearest_by_cosine():
  # Ten along one axis, of any length, and twelve along the other.
  known = np.float32([[1 + i, 0.01 * i] for i in range(10)] +
                     [[0, 1 + i] for i in range(12)])
  labels = np.zeros((22, 3), np.uint8)
  labels[:10, 0] = 1
  labels[:4, 1] = 1
  labels[10:, 2] = 1
  found = knn.predict(known, labels, np.float32([[50, 1], [-1, 9]]))
  np.testing.assert_allclose(found, [[1, .4, 0], [0, 0, 1]], rtol=1e-6)


def test_fewer_known_images_than_neighbours_all_vote():
  labels = np.uint8([[1, 0], [0, 1], [0, 1]])
  found = knn.predict(np.eye(3, dtype=np.float32), labels,
                      np.zeros((1, 3), np.float32))
  np.testing.assert_allclose(found, [[1 / 3, 2 / 3]], rtol=1e-6)


def test_many_images_are_predicted_as_few():
  rng = np.random.default_rng(0)
  known = rng.normal(size=(30, 4)).astype(np.float32)
  labels = rng.integers(0, 2, (30, 5), dtype=np.uint8)
  asked = rng.normal(size=(1500, 4)).astype(np.float32)
  found = knn.predict(known, labels, asked)
  for first in (0, 1020, 1499):
    part = knn.predict(known, labels, asked[first:first + 1])
    np.testing.assert_allclose(found[first:first + 1], part, atol=1e-6)
