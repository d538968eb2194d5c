"""Measures the policies of balance on a table: draws, rounding and time.

Reads a CSV alone, no images. Several seeds of folds are made; each held-out
fold is balanced by every policy, and by exact with several tolerances and
limits. REMEDIAL, which changes labels, is measured on images drawn once each.
Rounding is measured on exact, since the repeats of other policies are
mostly integers: by independent coins, by draw_counts in random order, and by
draw_counts in the order of similar labels, as in training.
"""

import dataclasses
import functools
import time
from typing import Any, Callable, Sequence

import numpy as np

from hpa_records.format import spec
from hpa_records.datasets import description
from hpa_records.ingest import samples
from hpa_records.sampling import balance
from hpa_records.sampling import decoupling
from hpa_records.sampling import epoch_plan
from hpa_records.sampling import folds as folds_lib
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling

TOLERANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BOUNDS = (20.0, 40.0, 60.0)


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    ids: N distinct ids.
    labels: [N, K] uint8 multi-hot.
    num_folds: F.
    num_seeds: number of fold assignments, with the seeds 0, 1, ...
    chosen: target, tolerance and so on; its policy is not used.
    num_rows: rows to which the table is repeated for the second timing; 0 skips
      it.
    repeats: repetitions of the first timing, of which the best counts.
  """
  ids: Sequence[str]
  labels: np.ndarray
  num_folds: int
  num_seeds: int
  chosen: balance.Balance
  num_rows: int
  repeats: int


def read_labels(csv: str, limit: int) -> tuple[list[str], np.ndarray]:
  """Returns ids and labels [N, K] uint8 of the first rows; 0 takes all.

  Raises:
    errors.DataError: the table cannot be read, or a row is invalid.
  """
  chosen = description.default()
  found = samples.read_valid(csv, chosen, limit=limit)
  return ([each.id for each in found],
          chosen.spec(1).multi_hot(each.labels for each in found))


def measure(job: Job) -> dict[str, Any]:
  """Returns all numbers, as JSON has them; a range is [least, largest].

  Raises:
    errors.DataError: the table cannot be cut into so many folds.
  """
  cuts = [
      folds_lib.assign(job.ids, job.labels, job.num_folds, seed)
      for seed in range(job.num_seeds)
  ]
  return {
      'num_images': len(job.ids),
      'num_folds': job.num_folds,
      'num_seeds': job.num_seeds,
      'balance': dataclasses.asdict(job.chosen),
      'policies': {
          policy: _measure_policy(job, cuts, policy)
          for policy in balance.POLICIES
      } | {
          'remedial': _measure_remedial(job, cuts)
      },
      'folds': [_largest_difference(job, folds) for folds in cuts],
      'frontier': _measure_frontier(job, cuts[0]),
      'rounding': _measure_rounding(job, cuts[0]),
      'seconds': _measure_seconds(job, cuts[0]),
  }


def _measure_policy(job: Job, cuts: Sequence[np.ndarray],
                    policy: str) -> dict[str, list[float]]:
  rows = []
  chosen = dataclasses.replace(job.chosen, policy=policy)
  for seed, folds in enumerate(cuts):
    rows += _describe_folds(job, folds, chosen, seed)
  return _ranges(rows)


def _measure_remedial(job: Job,
                      cuts: Sequence[np.ndarray]) -> dict[str, list[float]]:
  rows = []
  for folds in cuts:
    for fold in range(job.num_folds):
      labels = _decouple(job.labels[folds != fold])
      rows.append(_describe(labels, np.ones(len(labels)), job.chosen))
  return _ranges(rows)


def _decouple(labels: np.ndarray) -> np.ndarray:
  return decoupling.make_rule(labels).split(labels)


def _describe_folds(job: Job, folds: np.ndarray, chosen: balance.Balance,
                    seed: int) -> list[dict[str, float]]:
  """Returns the summary of each held-out fold, and its distance from target."""
  drawn = resampling.repeats(job.ids, job.labels, folds, job.num_folds, chosen,
                             seed)
  rows = []
  for fold, repeats in enumerate(drawn.T):
    training = folds != fold
    rows.append(_describe(job.labels[training], repeats[training], chosen))
  return rows


def _describe(labels: np.ndarray, repeats: np.ndarray,
              chosen: balance.Balance) -> dict[str, float]:
  totals = (repeats.astype(np.float64) @ labels)[labels.any(axis=0)]
  off = float(np.abs(totals / chosen.target - 1).max())
  return {**resampling.summary(labels, repeats), 'off_target': off}


def _ranges(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
  return {
      name: [min(row[name] for row in rows),
             max(row[name] for row in rows)] for name in rows[0]
  }


def _largest_difference(job: Job, folds: np.ndarray) -> float:
  """Returns the largest deviation of a class in a fold from n / F, images."""
  counts = np.stack(
      [job.labels[folds == fold].sum(axis=0) for fold in range(job.num_folds)])
  return float(np.abs(counts - counts.mean(axis=0)).max())


def _measure_frontier(job: Job, folds: np.ndarray) -> list[dict[str, Any]]:
  exact = dataclasses.replace(job.chosen, policy='exact')
  tried = [dataclasses.replace(exact, tolerance=value) for value in TOLERANCES]
  tried += [dataclasses.replace(exact, max_repeat=value) for value in BOUNDS]
  return [{
      'tolerance': chosen.tolerance,
      'max_repeat': chosen.max_repeat,
      **_ranges(_describe_folds(job, folds, chosen, 0))
  } for chosen in tried]


def _measure_rounding(job: Job, folds: np.ndarray) -> dict[str, Any]:
  """Returns the variation of draws over epochs, by rounding method."""
  exact = dataclasses.replace(job.chosen, policy='exact')
  repeats = resampling.repeats_of_fold(job.ids, job.labels, folds, 0, exact, 0)
  ranks = label_set.rank(job.labels)
  rng = np.random.default_rng(0)
  whole = np.floor(repeats)

  def toss(epoch):
    del epoch
    return whole + (rng.random(len(repeats)) < repeats - whole)

  ways: dict[str, Callable[[int], np.ndarray]] = {
      'coins':
          toss,
      'systematic':
          lambda epoch: epoch_plan.draw_counts(repeats,
                                               epoch_plan.Key(0, epoch, 0)),
      'ranked':
          lambda epoch: epoch_plan.draw_counts(
              repeats, epoch_plan.Key(0, epoch, 0), ranks),
  }
  training = folds != 0
  expected = repeats.astype(np.float64) @ job.labels
  result: dict[str, Any] = {'epochs': spec.CYCLE_EPOCHS}
  for name, draw in ways.items():
    seen, totals = np.zeros(len(repeats), bool), []
    for epoch in range(spec.CYCLE_EPOCHS):
      counts = draw(epoch)
      seen |= counts > 0
      totals.append(counts.astype(np.float64) @ job.labels)
    deviations = np.std(totals, axis=0)
    result[name] = {
        'mean_std': float(deviations[expected > 0].mean()),
        'largest_std': float(deviations.max()),
        'largest_distance': float(np.abs(totals - expected).max()),
        'never_drawn': int((~seen & training).sum()),
    }
  return result


def _measure_seconds(job: Job, folds: np.ndarray) -> list[dict[str, Any]]:
  """Returns the seconds of each policy for all folds, by number of rows."""
  times = -(-job.num_rows // len(job.ids))
  tables = [(job.ids, job.labels, folds, job.repeats)]
  if times:
    ids = [f'{i}-{each}' for i in range(times) for each in job.ids]
    tables.append((ids[:job.num_rows], np.tile(job.labels,
                                               (times, 1))[:job.num_rows],
                   np.tile(folds, times)[:job.num_rows], 1))
  result = []
  for ids, labels, its_folds, repeats in tables:
    taken = {}
    ways = {
        policy:
            functools.partial(resampling.repeats, ids, labels, its_folds,
                              job.num_folds,
                              dataclasses.replace(job.chosen, policy=policy), 0)
        for policy in balance.POLICIES
    }
    ways['remedial'] = lambda labels=labels, cut=its_folds: [
        _decouple(labels[cut != fold]) for fold in range(job.num_folds)
    ]
    for name, compute in ways.items():
      tries = []
      for _ in range(repeats):
        start = time.perf_counter()
        compute()
        tries.append(time.perf_counter() - start)
      taken[name] = min(tries)
    result.append({'num_rows': len(ids), **taken})
  return result
