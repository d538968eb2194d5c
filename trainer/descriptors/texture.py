"""Texture of a channel: Haralick's features and local binary patterns.

Haralick's features are read from how often two gray levels are neighbours. The
levels are 32 between 0 and the brightest pixel of the channel, our choice: with
all 256, most pairs of levels occur once or never in a small image, and an image
takes 80 times as long.
"""

import mahotas
import numpy as np
from skimage import feature

_LEVELS = 32
_HARALICK = ('energy', 'contrast', 'correlation', 'variance', 'homogeneity',
             'sum_average', 'sum_variance', 'sum_entropy', 'entropy',
             'difference_variance', 'difference_entropy', 'correlation_1',
             'correlation_2')
_RINGS = ((1, 8), (2, 16))  # (radius in pixels, neighbours) of the patterns

HARALICK_NAMES = tuple(f'haralick_{kind}_{name}' for kind in ('mean', 'range')
                       for name in _HARALICK)
PATTERN_NAMES = tuple(f'lbp_radius{radius}_{code}' for radius, count in _RINGS
                      for code in (*range(count + 1), 'other'))


def compute_haralick(channel: np.ndarray) -> np.ndarray:
  """Returns HARALICK_NAMES: mean and range of 13 features over 4 directions.

  Neighbours are one pixel apart, pairs count in both orders, logarithms have
  base 2. Of an image of one level the correlation is 1, as mahotas has it.

  Args:
    channel: [H, W] uint8.

  Returns:
    [26] float64, finite.

  Source: Haralick, Shanmugam, Dinstein, "Textural features for image
  classification", 1973, f1 to f13; as mahotas 1.4 computes them.
  """
  levels = channel.astype(np.int64) * _LEVELS // (int(channel.max()) + 1)
  return mahotas.features.haralick(levels, return_mean_ptp=True)


def compute_patterns(channel: np.ndarray) -> np.ndarray:
  """Returns PATTERN_NAMES: shares of each uniform local binary pattern.

  A pixel's pattern says which neighbours on a circle are at least as bright. A
  uniform one has at most two changes around the circle, and is counted by its
  number of such neighbours; the others are counted together. Pixels whose
  circle leaves the image are left out.

  Args:
    channel: [H, W] uint8, H, W >= 5.

  Returns:
    [28] float64, 10 and 18 shares of sum 1.

  Source: Ojala, Pietikäinen, Mäenpää, "Multiresolution gray-scale and rotation
  invariant texture classification with local binary patterns", 2002, riu2.
  """
  found = []
  for radius, count in _RINGS:
    codes = feature.local_binary_pattern(channel, count, radius, 'uniform')
    inner = codes[radius:-radius, radius:-radius].astype(np.int64)
    found.append(np.bincount(inner.ravel(), minlength=count + 2) / inner.size)
  return np.concatenate(found)
