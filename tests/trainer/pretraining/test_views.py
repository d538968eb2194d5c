"""views: what they show of an image, and that slots decide it."""

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime.tensorflow import tf
from trainer.pretraining import settings as settings_lib
from trainer.pretraining import views

_SIZE, _COUNT = 16, 16  # of all images here: each other shape is compiled


def _settings(**values):
  return settings_lib.Settings(records='r', workdir='w', **values)


def _make(images, first=0, step=0, **values):
  """Returns the views [V, b, H, H, C] uint8 of images."""
  batch = {
      spec.IMAGE: tf.constant(images),
      dataset.SLOT: tf.range(first, first + len(images))
  }
  found = views.Views(_settings(**values),
                      len(images)).make(batch, tf.constant(0, tf.int64),
                                        tf.constant(step, tf.int64)).numpy()
  return found.reshape(-1, *images.shape)


def _images():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (_COUNT, _SIZE, _SIZE, 2), dtype=np.uint8)


def _even(value):
  return np.full((_COUNT, _SIZE, _SIZE, 2), value, np.uint8)


_STILL = {'crop': 1.0, 'intensity': 0.0, 'operations': 0}


def test_without_changes_a_view_is_the_image_or_its_mirror_image():
  images = _images()
  found = _make(images, **_STILL)
  assert len(found) == 3
  flipped = set()
  for view in found:
    for image, seen in zip(images, view):
      is_flipped = not np.array_equal(image, seen)
      np.testing.assert_array_equal(seen,
                                    image[:, ::-1] if is_flipped else image)
      flipped.add(is_flipped)
  assert flipped == {True, False}


def test_nt_xent_has_two_views_and_arcface_the_first_of_them():
  images = _images()
  two = _make(images, loss='nt_xent')
  one = _make(images, loss='arcface', identity='antibody')
  assert (len(two), len(one)) == (2, 1)
  np.testing.assert_array_equal(one[0], two[0])


def test_intensities_change_by_channel_in_the_first_two_views():
  images = _even(100)
  found = _make(images, **{**_STILL, 'intensity': 0.4})
  assert (found[2] == 100).all()
  factors = found[:2, :, 0, 0].astype(float) / 100  # [view, image, channel]
  assert (found[:2] == found[:2, :, :1, :1]).all()
  assert factors.min() >= 0.71 and factors.max() <= 1.4
  assert len(np.unique(factors)) > 20  # of 64: each has its own


def test_crops_lie_in_the_image_and_have_at_least_their_area():
  ramp = np.arange(_SIZE, dtype=np.uint8) * 10
  images = np.stack(np.broadcast_arrays(ramp[:, None], ramp), -1)
  images = np.repeat(images[None], _COUNT,
                     axis=0).copy()  # channels are y and x
  found = _make(images, **{**_STILL, 'crop': 0.25}).astype(float)
  sides = []
  for axis in (0, 1):
    ends = np.moveaxis(found[..., axis], 2 + axis, 2)[..., 0]
    steps = np.abs(ends[:, :, -1] - ends[:, :, 0]) / 10 / (_SIZE - 1)
    sides.append(steps)
    # Beyond the middle of the outermost pixels their mirror image begins.
    assert ends.min() >= 0 and ends.max() <= 150
  np.testing.assert_allclose(sides[0], sides[1], atol=.07)
  assert sides[0].min() > 0.42 and sides[0].max() > 0.9
  areas = np.sort(sides[0].reshape(-1))**2
  assert abs(np.median(areas) - 0.625) < 0.1  # uniform from .25 to 1


def test_slots_and_steps_decide_what_is_drawn():
  images = np.repeat(_images()[:1], _COUNT, axis=0)
  whole = _make(images)
  later = _make(images, first=4)
  np.testing.assert_array_equal(later[:, :-4], whole[:, 4:])
  assert (later != whole).any(axis=(2, 3, 4)).all()
  assert (_make(images, step=1) != whole).any(axis=(2, 3, 4)).all()
  different = {each.tobytes() for each in whole.reshape(3 * _COUNT, -1)}
  assert len(different) == 3 * _COUNT


def test_only_the_third_view_has_operations():
  found = _make(_even(20), **{**_STILL, 'operations': 2})
  assert (found[:2] == 20).all()
  # Of an even image invert, posterize and solarize_add change all pixels.
  changed = (found[2] != 20).any(axis=(1, 2, 3)).mean()
  assert 0.1 < changed < 0.9
