"""All changes of the images of a batch, in their order, on the device.

The symmetry of the square comes with the batch. Then one resampling moves the
image, and one rounding to uint8 ends the chain. What is off is not computed.

Each change draws from a stream of its own, so that none differs when another is
turned on. All is compiled, even inside a step that is not. There the parts are
compiled one by one: in one program XLA computes a part again for each pixel
that the next one reads, which took four times as long.
"""

from typing import Any, Mapping

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import affine
from trainer.augmentation import blur
from trainer.augmentation import box
from trainer.augmentation import dihedral
from trainer.augmentation import intensity
from trainer.augmentation import mixing
from trainer.augmentation import rana_mix
from trainer import noise as noise_lib
from trainer.recipe import augmentation

_STREAMS = {
    name: noise_lib.FIRST_OF_AUGMENTATION + number
    for number, name in enumerate(('move', 'blur', 'intensity', 'gamma',
                                   'noise', 'channel_drop', 'cutout', 'mix',
                                   'rana_mix'))
}
_RECOLORINGS = ('intensity', 'gamma', 'noise', 'channel_drop', 'cutout')


class Chain:
  """The changes of some settings."""

  def __init__(self,
               settings: augmentation.Augmentation,
               seed: int,
               rows: int,
               is_rare: np.ndarray | None = None):
    """Prepares the changes; nothing is traced yet.

    Args:
      settings: which, and how much.
      seed: of the run.
      rows: b, images of a call; even if they are mixed.
      is_rare: [K] bool, the classes whose pairs rana_mix mixes; None is all.
    """
    self._is_rare = np.bool_(True) if is_rare is None else is_rare
    self._settings, self._seed, self._rows = settings, seed, rows

  def apply(self, batch: Mapping[str, Any], epoch: tf.Tensor,
            step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images [b, H, H, C] uint8 and labels [b, K] float32.

    Args:
      batch: of a reader; its slots follow each other.
      epoch: int64 scalar.
      step: int64 scalar, of the epoch.
    """
    on = self._settings
    images = dihedral.transform(batch[spec.IMAGE], batch[dataset.ELEMENT])
    labels, weights = batch[spec.LABELS], batch[dataset.WEIGHT]
    if not on.active:
      return images, labels
    images, labels, weights = (tf.ensure_shape(each,
                                               [self._rows, *each.shape[1:]])
                               for each in (images, labels, weights))
    drawn = self._draw(batch[dataset.SLOT][0], epoch, step, *images.shape[2:])
    if 'move' in drawn:
      images = affine.move(images, *drawn['move'])
    images = tf.cast(images, tf.float32)
    if on.blur:
      images = blur.blur(images, drawn['blur'], on.blur)
    if any(name in drawn for name in _RECOLORINGS):
      images = self._recolor(images, drawn)
    if on.rana_mix:
      images, labels = rana_mix.mix(images, labels, weights, drawn['rana_mix'],
                                    self._is_rare, on.rana_mix)
    if on.mixup or on.cutmix:
      images, labels = mixing.mix(images, labels, weights, *drawn['mix'])
    return tf.cast(tf.round(images), tf.uint8), labels

  @tensorflow.compiled
  def _draw(self, first, epoch, step, size, channels):
    """Returns what each change draws at random, by name.

    Args:
      first: int32 scalar, slot of the first image.
      epoch, step: as of apply.
      size: H, of the images.
      channels: C.
    """
    on = self._settings
    key = noise_lib.make_key(self._seed, epoch, step)

    def draw(name, width):
      return noise_lib.draw(noise_lib.fold(key, _STREAMS[name]), first,
                            (self._rows, width))

    drawn = {}
    if on.scale or on.shift or on.rotate:
      drawn['move'] = affine.draw(draw('move', affine.NUM_DRAWN), size,
                                  on.scale, on.shift, on.rotate)
    if on.blur:
      drawn['blur'] = on.blur * draw('blur', 1)[:, 0]
    for name in ('intensity', 'gamma'):
      if getattr(on, name):
        drawn[name] = intensity.draw_factors(draw(name, channels),
                                             getattr(on, name))
    if on.noise:
      numbers = draw('noise', 3)
      drawn['noise'] = numbers[:, 1:], on.noise * numbers[:, 0]
    if on.channel_drop:
      drawn['channel_drop'] = intensity.draw_kept(
          draw('channel_drop', channels), on.channel_drop)
    if on.cutout:
      drawn['cutout'] = box.draw_square(draw('cutout', box.NUM_DRAWN), size,
                                        on.cutout)
    if on.rana_mix:
      drawn['rana_mix'] = draw('rana_mix', rana_mix.NUM_DRAWN)
    if on.mixup or on.cutmix:
      drawn['mix'] = mixing.draw(draw('mix', mixing.NUM_DRAWN), size, on.mixup,
                                 on.cutmix)
    return drawn

  @tensorflow.compiled
  def _recolor(self, images, drawn):
    """Returns images [b, H, H, C] float32 with new intensities."""
    if 'intensity' in drawn:
      images = intensity.multiply(images, drawn['intensity'])
    if 'gamma' in drawn:
      images = intensity.apply_gamma(images, drawn['gamma'])
    if 'noise' in drawn:
      images = intensity.add_noise(images, *drawn['noise'])
    if 'channel_drop' in drawn:
      images *= drawn['channel_drop'][:, None, None, :]
    if 'cutout' in drawn:
      images = tf.where(box.cover(drawn['cutout'], images.shape[1]), 0.0,
                        images)
    return images
