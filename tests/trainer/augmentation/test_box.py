"""box: squares of any size, wholly inside."""

import numpy as np

from trainer.augmentation import box


def test_squares_cover_what_they_measure_anywhere_inside():
  noise = np.random.default_rng(0).random((2000, 3)).astype(np.float32)
  boxes = box.draw_square(noise, 20, 0.5)
  sides = np.asarray(boxes[:, 2:] - boxes[:, :2])
  np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
  assert set(sides[:, 0]) == set(range(11))
  covered = box.cover(boxes, 20).numpy()
  assert covered.shape == (2000, 20, 20, 1)
  np.testing.assert_array_equal(covered.sum((1, 2, 3)), sides[:, 0]**2)
  np.testing.assert_array_equal(box.measure(boxes), sides[:, 0]**2)
  assert covered.any(axis=0).all()


def test_a_box_covers_rows_from_top_to_before_bottom():
  covered = box.cover(np.array([[1, 2, 3, 6]], np.float32), 7).numpy()
  want = np.zeros((7, 7), bool)
  want[1:3, 2:6] = True
  np.testing.assert_array_equal(covered[0, ..., 0], want)
