"""Scores of every sample by the model that was not trained on it.

Each fold's model scores the samples that were held out of its training, so the
folds of a run together score every sample once, honestly: what thresholds,
intervals, ensembles of runs and other people's analyses start from.
"""

import dataclasses
import io
import os

import numpy as np
import pandas as pd

from hpa_records.format import spec
from hpa_records.runtime import errors
from trainer.run import arrays as arrays_lib
from trainer.run import finished_run
from trainer.run import workdir


@dataclasses.dataclass(frozen=True)
class OutOfFold:
  """The held-out samples of all finished folds, fold after fold.

  Attributes:
    ids: [N] str.
    labels: [N, K] uint8 multi-hot.
    scores: [N, K] float32, 0..1, after the last epoch.
    folds: [N] int64, the fold that the sample is in.
    groups: [N] str, of samples that belong together; empty without any.
  """
  ids: np.ndarray
  labels: np.ndarray
  scores: np.ndarray
  folds: np.ndarray
  groups: np.ndarray

  def is_of_same_samples(self, other: 'OutOfFold') -> bool:
    """Whether both hold the same samples in the same folds and order."""
    return all(
        np.array_equal(getattr(self, name), getattr(other, name))
        for name in ('ids', 'labels', 'folds'))

  def to_frame(self) -> pd.DataFrame:
    """Returns a row a sample: Id, fold, Target as in Kaggle's train.csv, then
    the score of each class under its name, and group where there are groups."""
    table = pd.DataFrame({
        'Id': self.ids,
        'fold': self.folds,
        'Target': [' '.join(map(str, np.flatnonzero(r))) for r in self.labels],
    })
    if self.groups.size:
      table['group'] = self.groups
    scores = pd.DataFrame(self.scores, columns=list(spec.CLASS_NAMES))
    return pd.concat([table, scores], axis=1)

  def to_csv(self) -> bytes:
    """Returns to_frame() as a CSV file."""
    return self.to_frame().to_csv(index=False).encode()

  def to_npz(self) -> bytes:
    """Returns the attributes as a .npz file."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **vars(self))
    return arrays.getvalue()


def collect(run: finished_run.Run) -> OutOfFold:
  """Returns the out-of-fold scores of a run.

  Raises:
    errors.DataError: a fold's scores are damaged, or not of its samples.
  """
  parts = [load(run.directory, fold) for fold in run.folds]
  return OutOfFold(
      *(np.concatenate([getattr(part, field.name)
                        for part in parts])
        for field in dataclasses.fields(OutOfFold)))


def load(directory: str, fold: finished_run.Fold) -> OutOfFold:
  """Returns the scores of one fold.

  Args:
    directory: of the run.
    fold: of it.

  Raises:
    errors.DataError: they are damaged, or not of the fold's samples.
  """
  path = os.path.join(workdir.fold_directory(directory, fold.number),
                      workdir.PREDICTIONS_NAME)
  found = arrays_lib.Scores.load(path)
  known = fold.samples
  held_out = known.folds == fold.number
  for name in ('ids', 'labels'):
    wanted, received = getattr(known, name)[held_out], getattr(found, name)
    if not np.array_equal(received, wanted):
      raise errors.DataError(
          f'Expected the {name} of the {len(wanted)} samples of fold '
          f'{fold.number}, received those of {len(received)}, or others, at '
          f'{path}; train the fold again.')
  groups = known.groups[held_out] if known.groups.size else known.groups
  return OutOfFold(found.ids, found.labels, found.scores,
                   np.full(len(found.ids), fold.number), groups)
