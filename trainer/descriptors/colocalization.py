"""Whether two channels are bright in the same places, for each pair.

All sums are of whole numbers below 2^53, so they are exact in any order.
"""

import itertools

import mahotas
import numpy as np

NAMES = ('pearson', 'overlap', 'manders_first', 'manders_second')


def list_pairs(num_channels: int) -> list[tuple[int, int]]:
  """Returns the pairs of channels, the first number below the second."""
  return list(itertools.combinations(range(num_channels), 2))


def compute(image: np.ndarray) -> np.ndarray:
  """Returns NAMES of each pair of list_pairs; 0 where the divisor is 0.

  Of channels a and b over all pixels: Pearson's correlation; Manders' overlap,
  sum(ab) / sqrt(sum(a^2) sum(b^2)); Manders' M1, the share of a's light where b
  is above its threshold of Otsu; and M2, the same of b where a is.

  Args:
    image: [H, W, C] uint8.

  Returns:
    [P, 4] float64; the correlation is -1..1, the others are 0..1.

  Source: Manders, Verbeek, Aten, "Measurement of co-localization of objects in
  dual-colour confocal images", 1993; thresholds of Otsu are our choice.
  """
  pixels = image.reshape(-1, image.shape[-1]).T.astype(np.float64)
  count, sums = pixels.shape[1], pixels.sum(axis=1)
  products = pixels @ pixels.T
  squares = np.diag(products)
  spread = count * products - np.outer(sums, sums)
  is_bright = np.stack([
      each > mahotas.thresholding.otsu(each)
      for each in image.transpose(2, 0, 1)
  ])
  shared = pixels @ is_bright.reshape(len(pixels), -1).T.astype(np.float64)
  found = []
  for a, b in list_pairs(len(pixels)):
    found.append((
        _divide(spread[a, b],
                np.sqrt(spread[a, a]) * np.sqrt(spread[b, b])),
        _divide(products[a, b],
                np.sqrt(squares[a]) * np.sqrt(squares[b])),
        _divide(shared[a, b], sums[a]),
        _divide(shared[b, a], sums[b]),
    ))
  return np.clip(np.reshape(found, (-1, len(NAMES))), -1, 1)


def _divide(value: float, divisor: float) -> float:
  return value / divisor if divisor else 0.0
