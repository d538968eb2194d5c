"""Predictions for new images: means over models, each over views of an image.

Each image is read once and passed through all models while the next ones are
read.
"""

from collections.abc import Sequence
import dataclasses
import os

import numpy as np
import pandas as pd

from hpa_records.format import spec as spec_lib
from hpa_records.ingest import csv_cell
from hpa_records.ingest import issue
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.augmentation import dihedral
from trainer.model import views
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import fold_network
from trainer.scoring import decision
from trainer import global_batch


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Predictions for new samples.

  Attributes:
    ids: [N] str, in the order of the CSV if the source has one.
    predictions: [N, K] float32, 0..1.
    skipped: issues of the samples that are left out.
    classes: the names of the K classes.
  """
  ids: np.ndarray
  predictions: np.ndarray
  skipped: tuple[issue.Issue, ...]
  classes: tuple[str, ...]

  @property
  def num_skipped(self) -> int:
    """Samples that are left out, which may have several issues each."""
    return len({(each.row, each.id) for each in self.skipped})

  def save(self, path: str, threshold: decision.Threshold) -> list[str]:
    """Writes Kaggle's submission, and the predictions beside it.

    The submission has the columns Id and Predicted, the classes above the
    threshold, '' where none is. <name>_predictions.csv has Id and the
    probability of each class; <name>_skipped.csv, if samples were left
    out, row, id, file and issue. No cell can start a formula: see csv_cell. The
    submission is written last.

    Args:
      path: of the submission, <name>.csv.
      threshold: as of decision.decide.

    Returns:
      The paths of the files, the submission's first.

    Raises:
      errors.DataError: they cannot be written.
    """
    table_path, skipped = name_tables(path)
    ids = pd.DataFrame({'Id': self.ids})
    predictions = pd.DataFrame(self.predictions, columns=list(self.classes))
    labels = [
        ' '.join(map(str, np.flatnonzero(row)))
        for row in decision.decide(self.predictions, threshold)
    ]
    tables = {
        table_path: pd.concat([ids, predictions], axis=1),
        path: ids.assign(Predicted=labels)
    }
    with path_check.translate_write_errors(path):
      filesystem.remove(skipped)
      if self.skipped:
        issue.write(self.skipped, skipped)
      for name, table in tables.items():
        filesystem.write_atomically(name, csv_cell.encode(table))
    return [*reversed(tables), *([skipped] if self.skipped else [])]


def prepare(path: str, classes: Sequence[str]) -> None:
  """Creates the folder of a submission, before the prediction is computed.

  Args:
    path: of the submission.
    classes: the names of the K classes.

  Raises:
    errors.DataError: its name does not end with .csv; it or a table beside it
      cannot be written, or is a file that no prediction wrote. Files of an
      earlier prediction are recognised by their first line, a submission also
      by the predictions beside it.
  """
  if os.path.splitext(path)[1] != '.csv':  # '.csv' alone has no name
    raise errors.DataError(f'Expected --output=NAME.csv, received {path}.')
  tables = (path, *name_tables(path))
  for name in tables:
    path_check.prepare_output(name)
  columns = csv_cell.encode(pd.DataFrame(columns=['Id', *classes]))
  heads = (b'Id,Predicted\n', columns, issue.HEAD.encode())
  # Kaggle's sample_submission.csv starts like a submission, but has no table of
  # predictions beside it; that table is written before the submission.
  has_predictions = filesystem.size(tables[1]) is not None
  for name, head in zip(tables, heads):
    if filesystem.size(name) is not None and not (
        (has_predictions or name != path) and _begins(name, head)):
      raise errors.DataError(
          f'{name} exists, and no prediction wrote it; move or remove it, or '
          'choose another --output.')


def _begins(path: str, head: bytes) -> bool:
  with path_check.translate_write_errors(path), filesystem.open_read(
      path) as file:
    return file.read(len(head)) == head


class Models:
  """The models of an ensemble on their devices.

  Attributes:
    strategy: of the devices.
  """

  def __init__(self, ensemble: ensemble_lib.Ensemble,
               strategy: tf.distribute.Strategy, weights: str):
    """Reads the weights.

    Args:
      ensemble: the runs.
      strategy: of the devices.
      weights: 'last' or 'best', of each model.

    Raises:
      errors.DataError: a checkpoint is missing, damaged, or of another network.
    """
    self.strategy = strategy
    dihedral.warm_up()
    self._classes = ensemble.classes
    self._is_single_label = ensemble.runs[0].config.is_single_label
    self._networks = [
        fold_network.Network(ensemble, run, strategy, weights)
        for run in ensemble.runs
    ]

  def predict(self, source: inference_source.Records | inference_source.Files,
              tta: str, batch_size: int) -> Prediction:
    """Returns the mean predictions for a source's samples.

    Args:
      source: of the images.
      tta: one of views.TTA.
      batch_size: of a global batch; smaller if there are fewer images.

    Raises:
      errors.DataError: the images are invalid or cannot be read, the replicas
        cannot share a batch, or as of views.check.
    """
    views.check(tta, self._is_single_label)
    strategy, count = self.strategy, len(source.ids)
    global_batch.check(strategy, batch_size, 'batch_size')
    batch_size = global_batch.cap(strategy, batch_size, count)
    batches = global_batch.distribute(strategy, batch_size, source.batches)
    parts = []
    with progress.Bar('predict', count, 'images') as shown:
      with source.translate_errors():
        for number, batch in enumerate(batches):
          # What is still read then is read to list its issues, too.
          if not source.is_refused:
            images = global_batch.place(strategy, batch[spec_lib.IMAGE])
            parts.append(self._predict(images, tta))
          shown.advance(min(batch_size, count - number * batch_size))
    sound = source.finish()
    predictions = np.concatenate(parts)[:count]  # the rest is padding
    if not np.isfinite(predictions).all():
      raise errors.DataError(
          'Predictions are NaN or infinite: the weights are damaged, '
          'or the training diverged; train again.')
    listed = source.order[sound[source.order]]
    return Prediction(source.ids[listed], predictions[listed], source.issues,
                      self._classes)

  def _predict(self, images, tta: str) -> np.ndarray:
    """Returns the mean predictions of a batch, [B, K] float32."""
    elements = views.list_elements(tta)
    # All are queued before the first result is waited for. The sum is in
    # float64, in a fixed order.
    found = [
        network.predict(images, tf.constant(view), values, scaling)[0]
        for network in self._networks
        for values, scaling in network.folds
        for view in elements
    ]
    if views.takes_maximum(tta):
      found = np.split(np.array(found), len(found) // len(elements))
      found = np.max(found, axis=1)
    return np.mean(found, axis=0, dtype=np.float64).astype(np.float32)


def name_tables(path: str) -> tuple[str, str]:
  """Returns the paths of the predictions and of the list of skipped samples.

  Args:
    path: of the submission.
  """
  root, suffix = os.path.splitext(path)
  return f'{root}_predictions{suffix}', f'{root}_skipped{suffix}'
