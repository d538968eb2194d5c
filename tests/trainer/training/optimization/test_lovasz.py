"""Tests of trainer.training.optimization.lovasz."""

import numpy as np

from trainer.training.optimization import lovasz


def find_extension(labels, errors):
  """By its definition: the loss of each set of mistakes, errors as weights."""
  order = np.argsort(-errors, kind='stable')
  total, before, mistakes = 0.0, 0.0, np.zeros(len(labels), bool)
  for i in order:
    mistakes[i] = True
    predicted = labels.astype(bool) ^ mistakes
    both = (predicted & labels.astype(bool)).sum()
    jaccard = 1 - both / max(1, (predicted | labels.astype(bool)).sum())
    total += max(0.0, errors[i]) * (jaccard - before)
    before = jaccard
  return total


def test_lovasz_is_the_extension_of_the_jaccard_index():
  rng = np.random.default_rng(0)
  labels = (rng.random((60, 28)) < 0.1).astype(int)
  labels[0], labels[1] = 0, 1
  logits = rng.normal(0, 2, (60, 28)).astype(np.float32)
  want = []
  for row, logit in zip(labels, logits):
    errors = 1 - logit * (2 * row - 1)
    want.append(
        (find_extension(row, errors) + find_extension(1 - row, errors)) / 2)
  np.testing.assert_allclose(lovasz.of_example(labels, logits), want, rtol=1e-4)


def test_lovasz_of_fractions_lies_between_those_of_labels():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(20, 6)).astype(np.float32)
  ones = (rng.random((20, 6)) < 0.5).astype(np.float32)
  near = lovasz.of_example(np.abs(ones - 1e-6), logits)
  np.testing.assert_allclose(near, lovasz.of_example(ones, logits), rtol=1e-3)
  half = lovasz.of_example(np.full((20, 6), 0.5, np.float32), logits).numpy()
  np.testing.assert_allclose(half, half[0], rtol=1e-5)  # all margins are 1
