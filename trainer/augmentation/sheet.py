"""A contact sheet: what the augmentation of some settings does to images."""

import dataclasses
import textwrap
from typing import Sequence

from matplotlib import figure as mpl_figure
import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.inspection import figure
from hpa_records.reading import dataset
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer.augmentation import chain
from trainer.recipe import augmentation

NUM_IMAGES = 4
_NUM_DRAWS = 4  # of an image; with the stored one a row of draw_composites
_WIDTH = 110  # letters of the title


def draw(settings: augmentation.Augmentation, seed: int, images: np.ndarray,
         ids: Sequence[str], spec: spec_lib.Spec) -> mpl_figure.Figure:
  """Returns a figure: images as stored, and draws of them.

  A row for each image, with all that is on; then, if that is more than one
  thing, a row of the first image for each alone. Draws are those of the first
  copies of an image in an epoch, and are mixed with those of the next row.

  Args:
    settings: which changes, and how much.
    seed: of the draws.
    images: [n, H, H, C] uint8, n >= 1.
    ids: of the images.
    spec: of the images.
  """
  tiles, titles = [], []

  def add(chosen, rows, name):
    drawn, captions = apply(chosen, seed, images)
    for row in rows:
      tiles.extend([images[row], *drawn[row]])
      titles.extend([name or f'stored {ids[row]}', *captions[row]])

  add(settings, range(len(images)), '')
  alone = _list_alone(settings)
  if len(alone) > 1:
    for chosen in alone:
      add(chosen, [0], f'{" ".join(describe(chosen))} alone')
  title = ' '.join([*describe(settings), f'--seed={seed}'])
  return figure.draw_composites(np.stack(tiles), titles, spec,
                                textwrap.fill(title, _WIDTH))


def apply(settings: augmentation.Augmentation, seed: int,
          images: np.ndarray) -> tuple[np.ndarray, list[list[str]]]:
  """Returns draws of images, and what is said of each.

  Args:
    settings, seed, images: as of draw.

  Returns:
    [n, D, H, H, C] uint8, and [n][D] captions with the parts of a mixed image.
  """
  count = len(images)
  spare = count % 2  # a blank in place of a partner
  rows = count + spare
  key = epoch_plan.Key(seed, 0, 0)
  plan = epoch_plan.expand(np.full(count, _NUM_DRAWS), key, settings.augment)
  elements = np.pad(plan.element.reshape(count, _NUM_DRAWS),
                    ((0, spare), (0, 0)))
  blanks = [(0, spare), (0, 0), (0, 0), (0, 0)]
  slots = rows * _NUM_DRAWS
  batch = {
      spec_lib.IMAGE:
          np.tile(np.pad(images, blanks), (_NUM_DRAWS, 1, 1, 1)),
      # Each slot is its own class, so that labels say what was mixed.
      spec_lib.LABELS:
          np.eye(slots, dtype=np.float32),
      dataset.WEIGHT:
          np.tile(np.arange(rows) < count, _NUM_DRAWS).astype(np.float32),
      dataset.ELEMENT:
          elements.T.reshape(-1),
      dataset.SLOT:
          np.arange(slots, dtype=np.int32),
  }
  found, labels = chain.Chain(settings, seed, slots).apply(
      {
          name: tf.constant(each) for name, each in batch.items()
      }, tf.constant(0, tf.int64), tf.constant(0, tf.int64))
  drawn = found.numpy().reshape(_NUM_DRAWS, rows, *images.shape[1:])
  parts = labels.numpy()
  captions = []
  for row in range(count):
    captions.append([])
    for number in range(_NUM_DRAWS):
      slot = number * rows + row
      caption = f'draw {number + 1}'
      if parts[slot, slot ^ 1]:
        caption += f', {parts[slot, slot ^ 1]:.0%} of row {(row ^ 1) + 1}'
      captions[-1].append(caption)
  return drawn.swapaxes(0, 1)[:count], captions


def describe(settings: augmentation.Augmentation) -> list[str]:
  """Returns the flags of what is on, such as --rotate=30."""
  flags = [] if settings.augment == 'none' else [
      f'--augment={settings.augment}'
  ]
  return flags + [
      f'--{name}={getattr(settings, name):g}' for name in settings.active
  ]


def _list_alone(
    settings: augmentation.Augmentation) -> list[augmentation.Augmentation]:
  """Returns settings with one thing on each."""
  off = augmentation.Augmentation(augment='none')
  names = settings.active
  if settings.augment != 'none':
    names = ('augment', *names)
  return [
      dataclasses.replace(off, **{name: getattr(settings, name)})
      for name in names
  ]
