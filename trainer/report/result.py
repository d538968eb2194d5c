"""What a report says of a run, computed: scores, intervals, tests.

Runs that scored the same samples in the same folds are compared sample by
sample; of others nothing is said together.
"""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import pandas as pd

from hpa_records.runtime import printable
from trainer.report import tables
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.run import workdir
from trainer.scoring import bootstrap


@dataclasses.dataclass(frozen=True)
class Result:
  """A run and what is computed of it.

  Attributes:
    name: on the page and of files.
    run: as it lies on disk.
    found: its out-of-fold scores.
    scores: Table 2.
    intervals: of the headline scores; None where none were asked for.
    classes: Table 3, with intervals where they were asked for.
    histories: of each fold, a row an epoch.
    network: of the first fold, layer by layer; None in a run of an earlier
      version.
  """
  name: str
  run: finished_run.Run
  found: out_of_fold.OutOfFold
  scores: pd.DataFrame
  intervals: pd.DataFrame | None
  classes: pd.DataFrame
  histories: list[pd.DataFrame]
  network: dict[str, Any] | None

  @property
  def threshold(self) -> float:
    return self.run.config.threshold


def compute(run: finished_run.Run, name: str, repetitions: int) -> Result:
  """Returns what a report says of a run.

  Args:
    run: as it lies on disk.
    name: of it.
    repetitions: of the bootstrap; 0 leaves intervals out.

  Raises:
    errors.DataError: a file of the run is damaged.
  """
  directories = list_directories(run)
  histories = [fold_file.load_history(each) for each in directories]
  network = fold_file.load_network(directories[0])
  found = out_of_fold.collect(run)
  intervals = None
  classes = tables.tabulate_classes(found, run.config.threshold)
  if repetitions:
    options = {
        'threshold': run.config.threshold,
        'groups': found.groups if found.groups.size else None,
        'repetitions': repetitions
    }
    sample = (found.labels, found.scores, found.folds)
    intervals = bootstrap.bootstrap(*sample, **options)
    bounds = bootstrap.bootstrap_classes(*sample, **options)
    classes = classes.join(bounds)
  return Result(name, run, found, tables.tabulate_scores(run), intervals,
                classes, histories, network)


def list_directories(run: finished_run.Run) -> list[str]:
  """Returns the folders of the finished folds."""
  return [
      workdir.fold_directory(run.directory, fold.number) for fold in run.folds
  ]


def name_runs(runs: Sequence[finished_run.Run]) -> list[str]:
  """Names of the folders, which any text can hold; all numbered where some are
  alike on some disk."""
  names = [
      printable.escape(os.path.basename(os.path.abspath(
          run.directory))).replace('\n', r'\n') for run in runs
  ]
  if len({name.casefold() for name in names}) == len(names):
    return names
  return [f'{i}-{name}' for i, name in enumerate(names, start=1)]
