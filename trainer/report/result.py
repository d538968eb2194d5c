"""What a report computes for a run: metrics, intervals, tables, histories."""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np
import pandas as pd

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import printable
from trainer.report import tables
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.run import workdir
from trainer.scoring import bootstrap
from trainer.scoring import shown_class


@dataclasses.dataclass(frozen=True)
class Result:
  """A run and its computed results.

  Attributes:
    name: of the run on the page and in file names.
    run: as read from its folder; of several seeds the first.
    seeds: it and the runs that differ in their seed alone.
    predictions: [N, K] float32 of each of seeds, out of fold.
    found: of run, out-of-fold predictions.
    metrics: Table 2 of run, of tables.tabulate_metrics.
    of_seeds: of tables.tabulate_seeds; None of a single seed.
    intervals: of the headline metrics, of bootstrap.bootstrap; None without
      repetitions.
    classes: Table 3, of tables.tabulate_classes; with the intervals of
      bootstrap.bootstrap_classes if there are repetitions.
    histories: of each fold, a row an epoch; [] without a network.
    network: content of the first fold's network.json; None without one, and
      for a run of an earlier version.
  """
  name: str
  run: finished_run.Run
  seeds: tuple[finished_run.Run, ...]
  predictions: tuple[np.ndarray, ...]
  found: out_of_fold.OutOfFold
  metrics: pd.DataFrame
  of_seeds: pd.DataFrame | None
  intervals: pd.DataFrame | None
  classes: pd.DataFrame
  histories: list[pd.DataFrame]
  network: dict[str, Any] | None

  @property
  def title(self) -> str:
    """The name, with the number of seeds if there are several."""
    if len(self.seeds) == 1:
      return self.name
    return f'{self.name} ({len(self.seeds)} seeds)'

  @property
  def threshold(self) -> float | None:
    """As of decision.find_threshold."""
    return self.run.threshold

  @property
  def spec(self) -> spec_lib.Spec:
    """Of the run's dataset."""
    return self.run.spec

  @property
  def shown(self) -> dict[int, str]:
    """The names of the classes with panels of their own, by number."""
    numbers = shown_class.choose(self.classes['positives'].to_numpy(),
                                 self.classes['f1'].to_numpy())
    return {number: self.spec.classes[number] for number in numbers.tolist()}


def compute(
    run: finished_run.Run,
    name: str,
    repetitions: int,
    others: Sequence[finished_run.Run] = ()) -> Result:
  """Returns the results of a run.

  Args:
    run: as read from its folder.
    name: of the run.
    repetitions: of the bootstrap; 0 for no intervals.
    others: the same with other seeds, as of seed_group.find.

  Raises:
    errors.DataError: a file of the run is damaged.
  """
  directories = list_directories(run)
  histories, network = [], None
  if run.has_network:
    histories = [fold_file.load_history(each) for each in directories]
    network = fold_file.load_network(directories[0])
  found = out_of_fold.collect(run)
  intervals = None
  classes = tables.tabulate_classes(found, run.spec.classes, run.threshold)
  if repetitions:
    options = {
        'threshold': run.threshold,
        'groups': found.groups if found.groups.size else None,
        'repetitions': repetitions
    }
    sample = (found.labels, found.predictions, found.folds)
    intervals = bootstrap.bootstrap(*sample, **options)
    bounds = bootstrap.bootstrap_classes(*sample, **options)
    classes = classes.join(bounds)
  return Result(name, run, (run, *others),
                (found.predictions,
                 *(out_of_fold.collect(each).predictions for each in others)),
                found, tables.tabulate_metrics(run),
                tables.tabulate_seeds((run, *others)) if others else None,
                intervals, classes, histories, network)


def list_directories(run: finished_run.Run) -> list[str]:
  """Returns the folders of the finished folds."""
  return [
      workdir.fold_directory(run.directory, fold.number) for fold in run.folds
  ]


def name_runs(runs: Sequence[Sequence[finished_run.Run]]) -> list[str]:
  """Returns the names of the runs' folders, with control characters escaped.

  All are numbered if two are equal, also on a disk that ignores case.

  Args:
    runs: as of seed_group.find; of several seeds a name is the first one's,
      without -seed<seed> at its end.
  """
  names = []
  for run, *others in runs:
    name = os.path.basename(os.path.abspath(run.directory))
    if others:
      name = name.removesuffix(f'-seed{run.config.seed}')
    names.append(printable.escape(name).replace('\n', r'\n'))
  if len({name.casefold() for name in names}) == len(names):
    return names
  return [f'{i}-{name}' for i, name in enumerate(names, start=1)]
