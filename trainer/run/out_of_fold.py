"""Out-of-fold predictions: every sample by the model not trained on it.

The folds of a run together predict every sample once. Thresholds, intervals,
ensembles of runs and other analyses are computed from these predictions.
"""

from collections.abc import Sequence
import dataclasses
import io
import os

import numpy as np
import pandas as pd

from hpa_records.ingest import csv_cell
from hpa_records.runtime import errors
from trainer.run import arrays as arrays_lib
from trainer.run import finished_run
from trainer.run import workdir


@dataclasses.dataclass(frozen=True)
class OutOfFold:
  """Predictions for the held-out samples of all finished folds, in fold order.

  Attributes:
    ids: [N] str.
    labels: [N, K] uint8 multi-hot.
    predictions: [N, K] float32, 0..1, after the last epoch.
    folds: [N] int64, the fold of each sample.
    groups: [N] str, equal where samples belong together; [0] without groups.
  """
  ids: np.ndarray
  labels: np.ndarray
  predictions: np.ndarray
  folds: np.ndarray
  groups: np.ndarray

  def is_of_same_samples(self, other: 'OutOfFold') -> bool:
    """Returns whether both hold the same samples, folds, labels and order."""
    return all(
        np.array_equal(getattr(self, name), getattr(other, name))
        for name in ('ids', 'labels', 'folds'))

  def to_frame(self, names: Sequence[str]) -> pd.DataFrame:
    """Returns a table with a row a sample.

    Columns: Id, fold, Target as in Kaggle's train.csv, group if there are
    groups, then the probability of each class under its name.

    Args:
      names: of the K classes.
    """
    table = pd.DataFrame({
        'Id': self.ids,
        'fold': self.folds,
        'Target': [' '.join(map(str, np.flatnonzero(r))) for r in self.labels],
    })
    if self.groups.size:
      table['group'] = self.groups
    predictions = pd.DataFrame(self.predictions, columns=list(names))
    return pd.concat([table, predictions], axis=1)

  def to_csv(self, names: Sequence[str]) -> bytes:
    """Returns to_frame(names) as a CSV file."""
    return csv_cell.encode(self.to_frame(names))

  def to_npz(self) -> bytes:
    """Returns the attributes as an .npz file."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **vars(self))
    return arrays.getvalue()


def collect(run: finished_run.Run) -> OutOfFold:
  """Returns the out-of-fold predictions of a run's finished folds.

  Raises:
    errors.DataError: the predictions of a fold are damaged, or of other
      samples; or the run predicts one class a sample, and a sample has none or
      several.
  """
  parts = [load(run.directory, fold) for fold in run.folds]
  found = OutOfFold(
      *(np.concatenate([getattr(part, field.name)
                        for part in parts])
        for field in dataclasses.fields(OutOfFold)))
  several = np.flatnonzero(found.labels.sum(axis=1, dtype=int) != 1)
  if run.threshold is None and several.size:
    raise errors.DataError(
        f'Expected one label a sample in {run.directory}, which predicts one '
        'class a sample, received '
        f'{found.labels[several[0]].sum()} of {found.ids[several[0]]}; train '
        'the run again.')
  return found


def load(directory: str, fold: finished_run.Fold) -> OutOfFold:
  """Returns the predictions of one fold.

  Args:
    directory: of the run.
    fold: of the run.

  Raises:
    errors.DataError: the file is damaged, or of other samples.
  """
  path = os.path.join(workdir.fold_directory(directory, fold.number),
                      workdir.PREDICTIONS_NAME)
  found = arrays_lib.Predictions.load(path, fold.spec.num_classes)
  known = fold.samples
  held_out = known.folds == fold.number
  for name in ('ids', 'labels'):
    wanted, received = getattr(known, name)[held_out], getattr(found, name)
    if not np.array_equal(received, wanted):
      raise errors.DataError(
          f'{path} has other {name} than {workdir.SAMPLES_NAME}: expected the '
          f'{len(wanted)} samples of fold {fold.number}, received '
          f'{len(received)}; train the fold again.')
  groups = known.groups[held_out] if known.groups.size else known.groups
  return OutOfFold(found.ids, found.labels, found.predictions,
                   np.full(len(found.ids), fold.number), groups)
