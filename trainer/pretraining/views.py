"""The views of the images of a batch, drawn on the device.

All views are a random crop, which may be flipped. The views x and y then have
random intensities, the view z operations of RandAugment. What is drawn depends
on seed, epoch and slot alone.

As in SIFLoc, but chosen by us: a crop is square and as large as the image
afterwards; each channel has a random factor of its own in place of the jitter
of colors, which is one of brightness, contrast and saturation of RGB.

Source: Tu et al., "SIFLoc", 2022; Outliers1106/SIFLoc, src/datasets.py.
"""

from typing import Any, Mapping

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer import noise as noise_lib
from trainer.augmentation import affine
from trainer.augmentation import dihedral
from trainer.augmentation import intensity
from trainer.augmentation import rand_augment
from trainer.pretraining import settings as settings_lib

_MOVE, _INTENSITY, _OPERATION = range(3)  # streams; rounds are from the last on
_NUM_MOVED = 4  # numbers of a crop and its flip
_FLIP = 4  # the symmetry that is a horizontal flip
_JITTERED = 2  # views, the first


def make_key(seed: int, epoch: tf.Tensor, step: tf.Tensor,
             view: int) -> tf.Tensor:
  """Returns the key of a view, [2] int32 or int64.

  Args:
    seed: of the run.
    epoch: int64 scalar.
    step: int64 scalar, of the epoch.
    view: from 0.
  """
  return noise_lib.fold(noise_lib.make_key(seed, epoch, step),
                        noise_lib.FIRST_OF_AUGMENTATION + view)


class Views:
  """The views of some settings."""

  def __init__(self, settings: settings_lib.Settings, rows: int):
    """Prepares the views; nothing is traced yet.

    Args:
      settings: of the run.
      rows: b, images of a call.
    """
    self._settings, self._rows = settings, rows

  def make(self, batch: Mapping[str, Any], epoch: tf.Tensor,
           step: tf.Tensor) -> tf.Tensor:
    """Returns all views, one after the other, [V * b, H, H, C] uint8.

    Args:
      batch: of a reader; its slots follow each other.
      epoch: int64 scalar.
      step: int64 scalar, of the epoch.
    """
    images = batch[spec.IMAGE]
    images = tf.ensure_shape(images, [self._rows, *images.shape[1:]])
    size, channels = images.shape[2:]
    elements, zooms, shifts, factors, rounds = self._draw(
        batch[dataset.SLOT][0], epoch, step, size, channels)
    images = tf.tile(images, [self._settings.num_views, 1, 1, 1])
    moved = affine.move(dihedral.transform(images, elements), zooms,
                        tf.zeros_like(zooms), shifts)
    jittered = intensity.multiply(moved[:_JITTERED * self._rows], factors)
    changed = tf.round(moved[_JITTERED * self._rows:])
    for each in rounds:
      changed = rand_augment.apply(changed, each, self._settings.magnitude)
    return tf.cast(tf.concat([tf.round(jittered), changed], 0), tf.uint8)

  @tensorflow.compiled
  def _draw(self, first, epoch, step, size, channels):
    """Returns what is drawn for all views.

    Args:
      first: int32 scalar, slot of the first image.
      epoch, step: as of make.
      size: H.
      channels: C.

    Returns:
      Symmetries [V * b], zooms [V * b] and shifts [V * b, 2] of the crops,
      factors [b, C] of x and of y, and the noise of each round of RandAugment
      [b, n].
    """
    on = self._settings
    keys = [
        make_key(on.seed, epoch, step, view) for view in range(on.num_views)
    ]

    def draw(view, stream, width):
      return noise_lib.draw(noise_lib.fold(keys[view], stream), first,
                            (self._rows, width))

    moves = tf.concat(
        [draw(view, _MOVE, _NUM_MOVED) for view in range(on.num_views)], 0)
    elements = tf.where(moves[:, 0] < 0.5, _FLIP, 0)
    zooms = tf.math.rsqrt(tf.minimum(on.crop + (1 - on.crop) * moves[:, 1], 1))
    # A crop of side H / zoom lies in the image.
    shifts = (2 * moves[:, 2:] - 1) * (size / 2) * (zooms[:, None] - 1)
    jittered = range(min(_JITTERED, on.num_views))
    factors = intensity.draw_factors(
        tf.concat([draw(view, _INTENSITY, channels) for view in jittered], 0),
        on.intensity)
    rounds = [
        draw(_JITTERED, _OPERATION + number, rand_augment.NUM_DRAWN)
        for number in range(on.operations)
    ] if on.num_views > _JITTERED else []
    return elements, zooms, shifts, factors, rounds
