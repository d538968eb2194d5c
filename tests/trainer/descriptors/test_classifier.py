"""Classifiers of descriptors: weights, rare classes, and the same numbers."""

import numpy as np
import pytest

from trainer.descriptors import classifier
from trainer.recipe import baseline

_N = 60


def _make(num_classes=2):
  """Returns descriptors [_N, 5] whose first ones say the labels."""
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (_N, num_classes)).astype(np.uint8)
  known = rng.normal(size=(_N, 5)).astype(np.float32)
  known[:, :num_classes] += 4 * labels
  return known, labels


def _predict(name, known, labels, weights, asked, single=False, workers=1):
  return classifier.predict(name,
                            known,
                            labels,
                            np.asarray(weights, np.float32),
                            asked,
                            seed=3,
                            is_single_label=single,
                            workers=workers)


@pytest.mark.parametrize('name', baseline.CLASSIFIERS)
def test_it_learns_and_is_the_same_with_any_threads(name):
  known, labels = _make()
  found = _predict(name, known[:40], labels[:40], np.ones(40), known[40:])
  assert found.shape == (20, 2) and found.dtype == np.float32
  assert ((found > .5) == labels[40:]).mean() > .8
  again = _predict(name,
                   known[:40],
                   labels[:40],
                   np.ones(40),
                   known[40:],
                   workers=2)
  np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize('name', baseline.CLASSIFIERS)
def test_an_image_of_weight_0_is_left_out(name):
  known, labels = _make(1)
  weights = np.arange(_N) % 3
  drawn = weights > 0
  other = known.copy()
  other[~drawn] = 1e9
  np.testing.assert_array_equal(
      _predict(name, known[drawn], labels[drawn], weights[drawn], known),
      _predict(name, other, labels, weights, known))


def test_a_weight_of_two_is_two_copies():
  known, labels = _make()
  weights = 1 + np.arange(_N) % 2
  copies = np.repeat(np.arange(_N), weights)
  np.testing.assert_allclose(_predict('logistic_regression', known, labels,
                                      weights, known),
                             _predict('logistic_regression',
                                      known[copies], labels[copies],
                                      np.ones(len(copies)), known),
                             atol=1e-3)


def test_more_workers_than_cores_are_not_started():
  known, labels = _make(1)
  few, many = (classifier.predict('random_forest',
                                  known,
                                  labels,
                                  np.ones(_N),
                                  known,
                                  seed=0,
                                  is_single_label=False,
                                  workers=each) for each in (1, 10**6))
  np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize('name', baseline.CLASSIFIERS)
def test_a_class_of_no_one_or_all_images(name):
  known, labels = _make(1)
  labels = np.hstack([labels, np.zeros((_N, 3), np.uint8)])
  labels[5, 1] = 1  # one sample
  labels[:, 3] = 1
  found = _predict(name, known, labels, np.ones(_N), known)
  assert (found[:, 2] == 0).all() and (found[:, 3] == 1).all()
  assert np.isfinite(found).all() and found[:, 1].max() < 1


@pytest.mark.parametrize('name', baseline.CLASSIFIERS)
def test_a_single_label_chooses_among_the_classes_that_occur(name):
  known, _ = _make(1)
  chosen = np.digitize(known[:, 0], [0, 4])
  labels = np.eye(5, dtype=np.uint8)[np.array([0, 2, 3])[chosen]]
  found = _predict(name, known, labels, np.ones(_N), known, single=True)
  np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
  assert not found[:, [1, 4]].any()
  assert (found.argmax(axis=1) == labels.argmax(axis=1)).mean() > .8
  only = np.eye(5, dtype=np.uint8)[np.full(_N, 2)]
  found = _predict(name, known, only, np.ones(_N), known, single=True)
  np.testing.assert_array_equal(found, only)
