"""decoupling: REMEDIAL on a table computed by hand."""

import numpy as np
import pytest

from hpa_records.sampling import decoupling

# Classes 0, 1, 2 have 8, 4, 1 images: IRLbl 1, 2, 8, MeanIR 11 / 3.
_LABELS = np.zeros([10, 3], np.uint8)
_LABELS[:8, 0] = 1
_LABELS[[6, 7, 8, 9], 1] = 1
_LABELS[7, 2] = 1


def test_images_above_the_mean_scumble_become_two():
  rule = decoupling.make_rule(_LABELS)
  # SCUMBLE: image 6 (1 and 2) 1 - sqrt(2) / 1.5 = 0.057; image 7 (1, 2, 8)
  # 1 - 16^(1/3) / (11 / 3) = 0.313; mean of ten 0.037.
  values = rule.found.scumble(_LABELS)
  np.testing.assert_allclose(values[6:8], [0.0572, 0.3128], atol=1e-4)
  # Image 6 is above the mean, but has no minority label.
  assert np.flatnonzero(rule.choose(_LABELS)).tolist() == [7]
  assert rule.threshold == pytest.approx(0.0572 / 2, abs=1e-4)
  found = rule.split(_LABELS)
  want = np.concatenate([_LABELS, [[0, 0, 1]]])
  want[7] = 1, 1, 0
  np.testing.assert_array_equal(found, want)
  assert found.dtype == np.uint8 and _LABELS[7].all()


@pytest.mark.parametrize('labels',
                         [[[1, 1]] * 7, [[1, 0], [0, 1], [0, 1]], [[0, 0]]])
def test_equal_images_and_single_labels_stay(labels):
  labels = np.array(labels, np.uint8)
  rule = decoupling.make_rule(labels)
  assert rule.threshold == np.inf and not rule.choose(labels).any()
  np.testing.assert_array_equal(rule.split(labels), labels)
