"""blur: a Gaussian that keeps what an image sums to."""

import numpy as np

from trainer.augmentation import blur


def test_a_point_becomes_a_gaussian_and_sums_stay():
  images = np.zeros((3, 17, 17, 2), np.float32)
  images[:, 8, 8] = 100
  images[1, 0, 16] = 50  # in a corner
  sigmas = np.array([1.5, 2.0, 0.0], np.float32)
  found = blur.blur(images, sigmas, 2.0).numpy()
  np.testing.assert_allclose(found.sum((1, 2)), images.sum((1, 2)), rtol=1e-5)
  np.testing.assert_array_equal(found[2], images[2])
  line = np.exp(-0.5 * (np.arange(-6, 7) / 1.5)**2)
  want = 100 * np.outer(line, line) / line.sum()**2
  np.testing.assert_allclose(found[0, 2:15, 2:15, 1], want, atol=1e-4)


def test_a_blur_may_be_wider_than_the_image():
  images = np.random.default_rng(0).random((2, 4, 4, 1)).astype(np.float32)
  found = blur.blur(images, np.array([9.0, 9.0], np.float32), 9.0).numpy()
  np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), rtol=1e-4)
  assert found.std() < images.std() / 2
