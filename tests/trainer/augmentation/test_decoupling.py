"""decoupling: draws of split images have either half of their labels."""

import numpy as np

from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import decoupling as decoupling_lib
from trainer.augmentation import decoupling

_ROWS = 64


def _apply(made, labels, first=0, epoch=0, step=0):
  found = made.apply(tf.constant(labels, tf.float32), tf.constant(first),
                     tf.constant(epoch, tf.int64), tf.constant(step, tf.int64))
  return found.numpy()


def test_a_coin_chooses_a_half_by_slot_epoch_and_step():
  labels = np.zeros([20, 4], np.uint8)  # class 3 has no image
  labels[:16, 0], labels[12:20, 1], labels[15, 2] = 1, 1, 1
  made = decoupling.Decoupling(labels, 7, _ROWS)
  batch = np.tile(labels[15], [_ROWS, 1])
  batch[::2] = labels[14]  # majority labels alone
  whole = _apply(made, batch)
  np.testing.assert_array_equal(whole[::2], batch[::2])
  is_rare = whole[1::2, 2] == 1
  np.testing.assert_array_equal(
      whole[1::2], np.where(is_rare[:, None], [0, 0, 1, 0], [1, 1, 0, 0]))
  assert 6 < is_rare.sum() < 26
  part = decoupling.Decoupling(labels, 7, _ROWS // 2)
  np.testing.assert_array_equal(
      _apply(part, batch[_ROWS // 2:], first=_ROWS // 2), whole[_ROWS // 2:])
  for other in ({'epoch': 1}, {'step': 1}, {'first': _ROWS}):
    assert (_apply(made, batch, **other) != whole).any()


def test_the_device_splits_the_images_that_the_rule_chooses():
  rng = np.random.default_rng(0)
  chances = 0.5 / np.arange(1, 41)
  labels = (rng.random([2000, 40]) < chances).astype(np.uint8)
  rule = decoupling_lib.make_rule(labels)
  made = decoupling.Decoupling(labels, 0, len(labels))
  kept = [_apply(made, labels, step=step) for step in range(8)]
  is_split = np.any([each != labels for each in kept], axis=(0, 2))
  chosen = rule.choose(labels)
  assert 50 < chosen.sum() < 1900
  assert not (is_split & ~chosen).any()
  # A half that is kept eight times is still a change.
  np.testing.assert_array_equal(is_split, chosen)
