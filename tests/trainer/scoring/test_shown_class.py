"""shown_class: which of many classes are shown."""

import numpy as np
import pytest

from trainer.scoring import shown_class


@pytest.mark.parametrize('num_classes', [1, 2, 28, 30])
def test_few_classes_are_all_shown(num_classes):
  positives = np.zeros(num_classes, int)
  for quality in (None, np.full(num_classes, np.nan)):
    shown = shown_class.choose(positives, quality)
    assert shown.tolist() == list(range(num_classes))


def test_of_many_the_largest_and_the_worst_are_shown():
  positives = np.full(40, 5)
  positives[:12] = 100
  positives[12] = 0  # the worst, but nothing to look at
  quality = np.linspace(1, 0, 40)
  quality[12], quality[39] = np.nan, np.nan
  shown = shown_class.choose(positives, quality)
  assert shown.tolist() == [*range(12), *range(27, 39)]


def test_without_a_quality_the_largest_are_shown():
  assert shown_class.choose(np.arange(2000)).tolist() == list(range(1976, 2000))


@pytest.mark.parametrize('num_positive', [0, 1, 13, 24])
def test_classes_without_positives_are_not_shown(num_positive):
  positives = np.zeros(50, np.uint8)
  positives[:num_positive] = 200
  for quality in (None, np.zeros(50)):
    shown = shown_class.choose(positives, quality)
    assert shown.tolist() == list(range(num_positive))
