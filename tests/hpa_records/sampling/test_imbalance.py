"""imbalance: IRLbl, MeanIR and SCUMBLE of tables computed by hand."""

import numpy as np
import pytest

from hpa_records.sampling import imbalance

# Class 0 has 8 images, class 1 has 2, class 2 has 1, class 3 has none.
_LABELS = np.zeros([9, 4], np.uint8)
_LABELS[:8, 0] = 1
_LABELS[[7, 8], 1] = 1
_LABELS[6, 2] = 1


def test_ratios_and_their_mean():
  found = imbalance.measure(_LABELS)
  assert found.ratios.tolist() == [1, 4, 8, np.inf]
  assert found.mean == pytest.approx(13 / 3)
  assert found.is_rare.tolist() == [False, False, True, False]


def test_scumble_of_each_image():
  found = imbalance.measure(_LABELS).scumble(_LABELS)
  # IRLbl 1 and 8: 1 - sqrt(8) / 4.5; 1 and 4: 1 - 2 / 2.5.
  want = [0] * 6 + [1 - np.sqrt(8) / 4.5, 0.2, 0]
  np.testing.assert_allclose(found, want, atol=1e-12)
  three = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], np.uint8)
  found = imbalance.measure(_LABELS).scumble(three)
  np.testing.assert_allclose(found, [1 - 32**(1 / 3) / (13 / 3), 0])


def test_draws_count_as_images():
  weights = np.array([1] * 6 + [4, 2, 0])
  found = imbalance.measure(_LABELS, weights)
  assert found.ratios.tolist() == [1, 6, 3, np.inf]
  assert found.mean == pytest.approx(10 / 3)
  copies = imbalance.measure(np.repeat(_LABELS, weights, axis=0))
  np.testing.assert_array_equal(copies.ratios, found.ratios)


def test_a_class_that_is_never_drawn_is_infinitely_rare():
  found = imbalance.measure(_LABELS, np.array([1] * 6 + [0, 1, 1]))
  assert found.ratios.tolist() == [1, 3.5, np.inf, np.inf]
  assert found.mean == np.inf and not found.is_rare.any()
  assert np.isfinite(found.scumble(_LABELS)).all()


@pytest.mark.parametrize('num_classes', [64, 65, 1138])
def test_many_classes_are_summed_in_parts(num_classes):
  rng = np.random.default_rng(0)
  labels = (rng.random([50, num_classes]) < 0.2).astype(np.uint8)
  found = imbalance.measure(labels)
  for row, value in zip(labels, found.scumble(labels)):
    ratios = found.ratios[row > 0]
    want = 1 - np.exp(np.log(ratios).mean()) / ratios.mean()
    assert value == pytest.approx(want, abs=1e-12)
