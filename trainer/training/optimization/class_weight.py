"""The factor of each class in the training loss."""

import numpy as np

from trainer.recipe import optimization

_POWERS = {'inverse': 1.0, 'sqrt_inverse': 0.5}


def compute(name: str, labels: np.ndarray,
            repeats: np.ndarray) -> np.ndarray | None:
  """Returns the factor of each class, [K] float32, mean 1; None for 'none'.

  It is proportional to 1 / draws, or to the square root of that; the draws are
  the images with the class that an epoch is expected to draw. A class without
  draws, whose labels are all 0, has the mean of the others, 1.

  Args:
    name: one of optimization.CLASS_WEIGHTS.
    labels: [N, K] of 0 and 1, of all records.
    repeats: [N] float, expected draws of each record in an epoch, 0 for those
      that are not trained on.
  """
  if name == optimization.NONE:
    return None
  draws = repeats.astype(np.float64) @ labels
  is_drawn = draws > 0
  weights = np.ones(len(draws))
  if is_drawn.any():
    drawn = draws[is_drawn]**-_POWERS[name]
    weights[is_drawn] = drawn / drawn.mean()
  return weights.astype(np.float32)
