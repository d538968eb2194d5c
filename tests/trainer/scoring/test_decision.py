"""decision: the predicted classes of a sample."""

import numpy as np
import pytest

from trainer.scoring import decision

_PREDICTIONS = np.array([[.2, .7, .7], [.5, .1, .4]], np.float32)


def test_above_one_threshold_or_that_of_each_class():
  assert decision.decide(_PREDICTIONS, 0.3).tolist() == [[False, True, True],
                                                         [True, False, True]]
  assert decision.decide(_PREDICTIONS,
                         np.array([.1, .7,
                                   .9])).tolist() == [[True, False, False],
                                                      [True, False, False]]


def test_the_most_probable_class_of_equals_the_first():
  found = decision.decide(_PREDICTIONS, None)
  assert found.tolist() == [[False, True, False], [True, False, False]]
  assert decision.decide(_PREDICTIONS[:, :1], None).all()


def test_a_threshold_of_other_classes_is_refused():
  with pytest.raises(ValueError, match=r'one threshold or \[3\]'):
    decision.decide(_PREDICTIONS, np.zeros(2))
