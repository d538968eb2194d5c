"""Shape of what is bright in a channel: Zernike moments, threshold adjacency.

Both are of the whole image, since records have no outlines of cells. Zernike
moments are of the disc around the centre of mass whose diameter is the shorter
side of the image, our choice.
"""

import mahotas
import numpy as np

_DEGREE = 8
_MASKS = ('near', 'above_near', 'above')  # of threshold adjacency
_NEIGHBOURS = 8

ZERNIKE_NAMES = tuple(f'zernike_{n}_{l}' for n in range(_DEGREE + 1)
                      for l in range(n % 2, n + 1, 2))
ADJACENCY_NAMES = tuple(f'adjacency_{kind}{mask}_{count}' for kind in ('',
                                                                       'not_')
                        for mask in _MASKS for count in range(_NEIGHBOURS + 1))


def compute_zernike(channel: np.ndarray) -> np.ndarray:
  """Returns ZERNIKE_NAMES: magnitudes of moments to degree 8; 0 if all is 0.

  Args:
    channel: [H, W] uint8.

  Returns:
    [25] float64, unchanged by a rotation around the centre of mass.

  Source: Teague, "Image analysis via the general theory of moments", 1980; of
  fluorescence first Boland, Markey, Murphy, 1998; as mahotas 1.4 computes them,
  the pixels of the disc divided by their sum.
  """
  if not channel.any():
    return np.zeros(len(ZERNIKE_NAMES))
  radius = min(channel.shape) / 2
  return mahotas.features.zernike_moments(channel, radius, _DEGREE)


def compute_adjacency(channel: np.ndarray) -> np.ndarray:
  """Returns ADJACENCY_NAMES: shares by number of neighbours in a mask.

  Of each mask, of all pixels that are not in it, the shares that have 0 to 8 of
  their 8 neighbours in it. With mean and deviation of the pixels above Otsu's
  threshold the masks are: nearer to the mean than the deviation, above mean -
  deviation, above the mean; and their complements, whose shares are of the
  pixels in the mask. What is outside the image mirrors what is inside.

  Args:
    channel: [H, W] uint8.

  Returns:
    [54] float64, nine shares of sum 1 for each mask, 0 for one of all pixels.

  Source: Hamilton et al., "Fast automated cell phenotype image classification",
  2007; without fixed thresholds, Coelho et al., 2010; as mahotas 1.4 has them.
  """
  return mahotas.features.pftas(channel)
