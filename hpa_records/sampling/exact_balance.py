"""Solver for repeats with given class totals, as even over images as possible.

An image with several labels counts for several classes: all Lysosomes images
are also Endosomes, and two thirds of all images show Nucleoplasm or Cytosol.
Among the repeats r with

  target * (1 - tolerance) <= class total <= target * (1 + tolerance)
  floor <= r <= cap,

the solver finds those of the largest effective sample size
E = (sum r)^2 / sum r^2. E is a ratio, so it is maximized by Dinkelbach's
method, with c = sum r^2 / sum r: for a given c, r minimizes

  sum_i (r_i - c)^2 / 2 + stiffness / 2 * sum_k distance_k^2,

where distance_k is the distance of the total of class k from its bounds; then c
is computed from r. Three or four rounds converge. (c = 0, bounded least
squares, gives two thirds of E.) The stiffness makes the bounds constraints
where they are feasible, and a least-squares fit where they are not: a low cap,
a high floor, two classes with the same images.

Images with the same labels have the same repeats, so 31,072 images are 577
unknowns. The dual problem has one unknown a class, its price y_k, with
r_i = clip(c + sum_k l_ik y_k, floor, cap). It is convex and piecewise
quadratic. Newton's method takes some 10 steps of K x K, in one orthant of y
at a time because of the tolerance's |y|.

Sources: Dinkelbach, On Nonlinear Fractional Programming, Management Science
13(7), 1967. Andrew & Gao, Scalable Training of L1-Regularized Log-Linear
Models, ICML 2007, for the orthants; here with the true Hessian.
"""

import dataclasses

import numpy as np

# Prices are at most some hundreds for a target of 500, so with this stiffness
# totals deviate by some hundredths of an image. A price is at most about the
# target, where most classes have one image: then they deviate by target / 10^4.
_STIFFNESS = 1e4
_MAX_STEPS = 500
_MAX_ROUNDS = 30
_PRECISION = 1e-9  # relative to the target, and to c
_SHORTEST_STEP = 1e-10

# The used part of the tolerance; the rest is for the stiffness and the rounding
# to float32.
_USED = 0.999


def solve(sets: np.ndarray, counts: np.ndarray, target: float, tolerance: float,
          floor: float, cap: float) -> np.ndarray:
  """Returns the repeats of an image of each label set, [S] float64.

  Args:
    sets: [S, K] multi-hot, distinct, not empty, S >= 1.
    counts: [S] images of each set, > 0.
    target: total of each class that has an image, > 0.
    tolerance: allowed relative deviation from the target, >= 0.
    floor: least repeats, >= 0.
    cap: most repeats, >= floor, > 0; may be infinite.
  """
  sets = sets[:, sets.any(axis=0)].astype(np.float64)
  is_coupled = sets[sets.sum(axis=1) > 1].any(axis=0)
  prices, center = np.zeros(sets.shape[1]), 0.0
  for _ in range(_MAX_ROUNDS):
    dual = _Dual(sets, is_coupled, counts.astype(np.float64), target,
                 _USED * tolerance * target, floor, cap, center)
    found = dual.minimize(prices)
    weights = counts * found.repeats
    previous, center = center, weights @ found.repeats / weights.sum()
    if abs(center - previous) <= _PRECISION * center:
      break
    prices = found.prices
  return found.repeats


@dataclasses.dataclass(frozen=True)
class _Point:
  """The dual function at one y.

  Attributes:
    prices: [K], y.
    value: of the function.
    repeats: [S].
    gradient: [K], without the term of |y|.
    moving: [S], counts where floor < repeats < cap, else 0.
  """
  prices: np.ndarray
  value: float
  repeats: np.ndarray
  gradient: np.ndarray
  moving: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Dual:
  """The dual function of the prices y [K], convex, to be minimized.

  Attributes:
    is_coupled: [K] bool, whether the class is in a set with another one; the
      prices of the others do not bear on each other.
    center: c; the others are as of solve.
  """
  sets: np.ndarray
  is_coupled: np.ndarray
  counts: np.ndarray
  target: float
  slack: float
  floor: float
  cap: float
  center: float

  def minimize(self, prices: np.ndarray) -> _Point:
    """Returns the minimum, searched from prices [K]."""
    point = self.at(prices)
    for _ in range(_MAX_STEPS):
      signs = self.signs(point)
      slope = np.where(signs == 0, 0.0, point.gradient + self.slack * signs)
      if np.abs(slope).max() <= _PRECISION * self.target:
        break
      lower = (self.search(point, signs, self.newton_step(point, signs, slope))
               or self.search(point, signs, self.scaled_step(point, slope)))
      if lower is None:
        break  # no step gains more than the rounding error
      point = lower
    return point

  def at(self, prices: np.ndarray) -> _Point:
    """Returns value, gradient and repeats at prices [K]."""
    wanted = self.center + self.sets @ prices
    repeats = np.clip(wanted, self.floor, self.cap)
    value = ((self.counts * repeats) @ (wanted - repeats / 2) -
             self.target * prices.sum() + self.slack * np.abs(prices).sum() +
             prices @ prices / (2 * _STIFFNESS))
    gradient = ((self.counts * repeats) @ self.sets - self.target +
                prices / _STIFFNESS)
    moving = self.counts * ((wanted > self.floor) & (wanted < self.cap))
    return _Point(prices, value, repeats, gradient, moving)

  def signs(self, point: _Point) -> np.ndarray:
    """Returns [K]: the sign of each price; at 0 that of its next step, or 0."""
    leaving = np.abs(point.gradient) > self.slack
    return np.where(point.prices != 0, np.sign(point.prices),
                    -np.sign(point.gradient) * leaving)

  def newton_step(self, point: _Point, signs: np.ndarray,
                  slope: np.ndarray) -> np.ndarray:
    """Returns the Newton step [K] of the prices with a sign other than 0."""
    step = -slope / (point.moving @ self.sets + 1 / _STIFFNESS)
    free = np.flatnonzero((signs != 0) & self.is_coupled)
    part = self.sets[:, free]
    hessian = (part.T * point.moving) @ part
    hessian[np.diag_indices_from(hessian)] += 1 / _STIFFNESS
    step[free] = -np.linalg.solve(hessian, slope[free])
    return step

  def scaled_step(self, point: _Point, slope: np.ndarray) -> np.ndarray:
    """Returns the descent step [K], scaled by the curvature of each class."""
    images = np.maximum(point.moving, self.counts * 1e-3)
    return -slope / (images @ self.sets + 1 / _STIFFNESS)

  def search(self, point: _Point, signs: np.ndarray,
             step: np.ndarray) -> _Point | None:
    """Returns the first lower point of a backtracking line search, or None.

    A price that would change its sign stops at 0.
    """
    length = 1.0
    while length > _SHORTEST_STEP:
      prices = point.prices + length * step
      found = self.at(np.where(prices * signs < 0, 0.0, prices))
      if found.value < point.value:
        return found
      length /= 2
    return None
