"""exact_balance: compared with its definition and with SciPy's solver."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
from scipy import optimize

from hpa_records.sampling import exact_balance


@strategies.composite
def _problems(draw):
  """(sets, counts, target, tolerance, floor, cap) of few classes."""
  num_classes = draw(strategies.integers(1, 6))
  codes = draw(
      strategies.sets(strategies.integers(1, 2**num_classes - 1), min_size=1))
  sets = np.array(sorted(codes))[:, None] >> np.arange(num_classes) & 1
  counts = draw(
      strategies.lists(strategies.integers(1, 300),
                       min_size=len(sets),
                       max_size=len(sets)))
  return (sets.astype(np.uint8), np.array(counts),
          draw(strategies.integers(1, 1000)),
          draw(strategies.sampled_from([0.0, 0.05, 0.5])), 1 / 80,
          draw(strategies.sampled_from([2.0, 50.0, np.inf])))


def _effective_size(counts, repeats):
  return (counts @ repeats)**2 / (counts @ repeats**2)


def _misses(sets, counts, target, tolerance, repeats):
  """Returns the distance of each class with images from its bounds."""
  totals = ((counts * repeats) @ sets)[sets.any(axis=0)]
  return np.maximum(np.abs(totals - target) - tolerance * target, 0)


@hypothesis.given(_problems())
@hypothesis.settings(deadline=None, max_examples=100)
def test_no_repeats_within_the_bounds_are_more_even(problem):
  sets, counts, target, tolerance, floor, cap = problem
  found = exact_balance.solve(*problem)
  assert (found >= floor).all() and (found <= cap).all()
  # A linear program tells whether the bounds can be kept at all.
  present = sets[:, sets.any(axis=0)].T * counts
  bounds = np.full(len(present), target)
  feasible = optimize.linprog(
      np.zeros(len(sets)),
      A_ub=np.vstack([present, -present]),
      b_ub=np.concatenate([bounds * (1 + tolerance),
                           -bounds * (1 - tolerance)]),
      bounds=[(floor, None if np.isinf(cap) else cap)] * len(sets))
  misses = _misses(sets, counts, target, tolerance, found)
  if feasible.status != 0:
    return
  assert misses.max() <= 2e-3 * target
  # From the optimum every way within the bounds leads down: the ways to other
  # points that keep them, which linear programs in random directions give.
  rng = np.random.default_rng(0)
  best = _effective_size(counts, found)
  for direction in rng.standard_normal((10, len(sets))):
    other = optimize.linprog(
        direction,
        A_ub=np.vstack([present, -present]),
        b_ub=np.concatenate([
            bounds * (1 + 0.999 * tolerance), -bounds * (1 - 0.999 * tolerance)
        ]),
        bounds=[(floor, None if np.isinf(cap) else cap)] * len(sets))
    if other.status != 0:
      continue
    for part in (1e-3, 0.1, 1):
      point = found + part * (other.x - found)
      assert _effective_size(counts, point) <= best * (1 + 1e-3)


def test_a_problem_solved_by_hand():
  # Three images {0}, one {0, 1}; both totals 8. {0, 1} has to be 8 for class
  # 1, which leaves nothing for {0} but the floor.
  sets, counts = np.array([[1, 0], [1, 1]], np.uint8), np.array([3, 1])
  found = exact_balance.solve(sets, counts, 8, 0, 0, np.inf)
  np.testing.assert_allclose(found, [0, 8], atol=2e-3)
  # With a tenth of tolerance: class 0 up to 8.8, class 1 down to 7.2, and the
  # difference is shared by the three.
  found = exact_balance.solve(sets, counts, 8, 0.1, 0, np.inf)
  np.testing.assert_allclose(found, [1.6 / 3, 7.2], atol=4e-3)


def test_infeasible_targets_are_fitted_by_least_squares():
  # The same images: class 0 and 1 want 10 together, class 2 at most the cap.
  sets = np.array([[1, 1, 0], [0, 0, 1]], np.uint8)
  found = exact_balance.solve(sets, np.array([4, 2]), 10, 0, 0, 3)
  np.testing.assert_allclose(found, [2.5, 3], atol=2e-3)


@pytest.mark.parametrize('scale', [1, 1000])
def test_more_tolerance_makes_repeats_more_even(scale):
  rng = np.random.default_rng(1)
  codes = rng.choice(np.arange(1, 256), 60, replace=False)
  sets = (codes[:, None] >> np.arange(8) & 1).astype(np.uint8)
  counts = rng.integers(1, 100, 60) * scale
  sizes = [
      _effective_size(
          counts,
          exact_balance.solve(sets, counts, 500 * scale, tolerance, 1 / 80,
                              np.inf)) for tolerance in (0, 0.05, 0.1, 0.3)
  ]
  assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
