"""Which runs differ in their seed alone: one recipe, trained several times."""

from collections.abc import Sequence
from typing import Any

from trainer.run import finished_run


def find(runs: Sequence[finished_run.Run]) -> list[list[finished_run.Run]]:
  """Returns the runs in groups, each of one recipe with different seeds.

  Runs of a group have the same data, settings, epochs and finished folds. A
  second run of a seed begins another group.

  Args:
    runs: in any order, which groups and their runs keep.
  """
  groups: list[list[finished_run.Run]] = []
  for run in runs:
    for group in groups:
      seeds = {each.config.seed for each in group}
      if run.config.seed not in seeds and _recipe(run) == _recipe(group[0]):
        group.append(run)
        break
    else:
      groups.append([run])
  return groups


def _recipe(run: finished_run.Run) -> dict[str, Any]:
  """Returns what runs of a group have in common."""
  return {
      **run.config.identity(run.fingerprint), 'seed': None,
      'epochs': run.config.epochs if run.has_network else None,
      'folds': [fold.number for fold in run.folds]
  }
