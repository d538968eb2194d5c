"""chain: all changes together, drawn by seed, epoch, step and slot."""

import dataclasses
import functools

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import chain
from trainer.recipe import augmentation

_B, _SIZE = 8, 12
ALL = {
    'scale': 0.3,
    'shift': 0.2,
    'rotate': 180.0,
    'blur': 1.0,
    'intensity': 0.5,
    'gamma': 0.5,
    'noise': 20.0,
    'channel_drop': 0.2,
    'cutout': 0.5,
    'mixup': 0.4,
    'cutmix': 1.0,
    'rana_mix': 0.9
}


def _batch():
  rng = np.random.default_rng(0)
  return {
      'image':
          rng.integers(0, 256, (_B, _SIZE, _SIZE, 3), np.uint8),
      # Neighbours share a class, as pairs that rana_mix mixes.
      'labels':
          np.maximum(rng.random((_B, 5)) < 0.4,
                     np.arange(5) == 0).astype(np.float32),
      'weight':
          np.ones(_B, np.float32),
      'element':
          np.arange(_B, dtype=np.int32),
      'slot':
          np.arange(_B, dtype=np.int32),
  }


@functools.cache
def _chain(settings, seed, rows):
  """Compiled once for several calls."""
  return chain.Chain(augmentation.Augmentation(**dict(settings)), seed, rows)


def _apply(settings, batch, seed=7, epoch=0, step=0):
  made = _chain(tuple(settings.items()), seed, len(batch['image']))
  batch = {key: tf.constant(value) for key, value in batch.items()}
  found = made.apply(batch, tf.constant(epoch, tf.int64),
                     tf.constant(step, tf.int64))
  return [each.numpy() for each in found]


def _select(batch, rows):
  return {name: each[rows] for name, each in batch.items()}


def test_images_and_labels_depend_on_slots_seed_epoch_and_step():
  batch = _batch()
  whole = _apply(ALL, batch)
  assert whole[0].dtype == np.uint8 and whole[1].dtype == np.float32
  for begin in (0, 2, 4):  # parts of two replicas, and others
    rows = slice(begin, begin + 4)
    for found, want in zip(_apply(ALL, _select(batch, rows)), whole):
      np.testing.assert_array_equal(found, want[rows])
  for other in ({'seed': 8}, {'epoch': 1}, {'step': 1}):
    found = _apply(ALL, batch, **other)
    assert (found[0] != whole[0]).any(axis=(1, 2, 3)).all()
  assert (_apply(ALL, batch | {'slot': batch['slot'] + _B})[0]
          != whole[0]).any(axis=(1, 2, 3)).all()
  assert set(ALL) == set(augmentation.Augmentation(**ALL).active) == {
      each.name for each in dataclasses.fields(augmentation.Augmentation)
  } - {'augment'}


def test_off_is_the_symmetry_alone():
  batch = _batch()
  images, labels = _apply({}, batch)
  np.testing.assert_array_equal(images[1], np.rot90(batch['image'][1]))
  np.testing.assert_array_equal(labels, batch['labels'])


@pytest.mark.parametrize('name', ALL)
def test_each_alone_changes_what_it_says(name):
  batch = _batch()
  batch['element'][:] = 0
  stored = batch['image']
  stored[:, 0, :, 1] = 0
  images, labels = _apply({name: ALL[name]}, batch)
  if name == 'channel_drop':
    is_same = (images == stored).all(axis=(1, 2))
    assert (is_same ^ ~images.any(axis=(1, 2))).all() and not is_same.all()
  elif name == 'cutout':
    assert ((images == stored) | (images == 0)).all()
    assert (images != stored).any()
  else:
    assert (images != stored).any(axis=(1, 2, 3)).mean() > 0.7
  if name in ('intensity', 'gamma', 'channel_drop', 'cutout'):
    assert not images[:, 0, :, 1].any()
  is_mixed = name in ('mixup', 'cutmix', 'rana_mix')
  assert (labels != batch['labels']).any() == is_mixed


def test_no_draw_differs_when_another_change_is_on():
  batch = _batch()
  alone, _ = _apply({'rotate': 180.0}, batch)
  both, _ = _apply({'rotate': 180.0, 'cutout': 0.3}, batch)
  assert ((both == alone) | (both == 0)).all() and (both != alone).any()


def test_padding_stays_out_of_others_and_is_finite():
  batch = _batch()
  batch['weight'][5:] = 0
  batch['image'][5:], batch['labels'][5:] = 0, 0
  images, labels = _apply(ALL, batch)
  other = batch | {'image': batch['image'].copy()}
  other['image'][5:] = 255
  np.testing.assert_array_equal(_apply(ALL, other)[0][:5], images[:5])
  assert np.isfinite(labels).all() and 0 <= labels.min() <= labels.max() <= 1
