"""All descriptors of an image, in one order."""

from collections.abc import Sequence

import numpy as np

from trainer.descriptors import colocalization
from trainer.descriptors import granularity
from trainer.descriptors import shape
from trainer.descriptors import texture

# Of the numbers: raised with each change of one, so that none is taken for
# another's.
VERSION = 1
SMALLEST_PX = 5  # side of an image

# Names and function of each family of a channel.
_FAMILIES = (
    (texture.HARALICK_NAMES, texture.compute_haralick),
    (texture.PATTERN_NAMES, texture.compute_patterns),
    (shape.ZERNIKE_NAMES, shape.compute_zernike),
    (shape.ADJACENCY_NAMES, shape.compute_adjacency),
    (granularity.NAMES, granularity.compute),
)


def name_all(channels: Sequence[str]) -> tuple[str, ...]:
  """Returns the names of the D descriptors, DESCRIPTOR:CHANNEL.

  Such as lbp_radius1_0:dna; those of pairs have both channels, such as
  pearson:dna:er. D is 141 for each channel and 4 for each pair.

  Args:
    channels: names of the C channels.
  """
  of_channels = [
      f'{name}:{channel}' for channel in channels for names, _ in _FAMILIES
      for name in names
  ]
  return (*of_channels, *(f'{name}:{channels[a]}:{channels[b]}'
                          for a, b in colocalization.list_pairs(len(channels))
                          for name in colocalization.NAMES))


def compute(image: np.ndarray) -> np.ndarray:
  """Returns all descriptors of an image, [D] float32, in order of name_all.

  Args:
    image: [H, W, C] uint8, H, W >= SMALLEST_PX.

  Returns:
    Finite numbers.
  """
  found = [
      np.asarray(family(channel), np.float64)
      for channel in map(np.ascontiguousarray, image.transpose(2, 0, 1))
      for _, family in _FAMILIES
  ]
  found.append(colocalization.compute(image).ravel())
  return np.concatenate(found).astype(np.float32)
