"""Features of images: what the models of a run have before their last layers.

Images are read and passed through their model batch by batch. The numbers are
kept in a file without a name until they are written in their order, so memory
does not grow with the number of images.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import os
import tempfile

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.storage import path_check
from trainer.augmentation import dihedral
from trainer.prediction import assignment as assignment_lib
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import feature_table
from trainer.prediction import fold_network
from trainer import global_batch


class Embedder:
  """The models of one run on their devices, and their features.

  Attributes:
    lengths: of the features by name.
  """

  def __init__(self, ensemble: ensemble_lib.Ensemble,
               strategy: tf.distribute.Strategy, weights: str):
    """Reads the weights.

    Args:
      ensemble: of one run.
      strategy: of the devices.
      weights: 'last' or 'best', of each model.

    Raises:
      errors.DataError: a checkpoint is missing, damaged, or of another network.
    """
    run, = ensemble.runs
    dihedral.warm_up()
    self._strategy, self._classes = strategy, run.spec.classes
    self._network = fold_network.Network(ensemble, run, strategy, weights, True)
    self._places = {fold.number: i for i, fold in enumerate(run.folds)}
    self.lengths = dict(self._network.features)

  def embed(self, source: inference_source.Records | inference_source.Files,
            assignment: assignment_lib.Assignment, batch_size: int,
            folder: str | None) -> feature_table.Table:
    """Returns the features and probabilities of a source's samples.

    Each image is embedded as it is, not in its symmetries.

    Args:
      source: of the images.
      assignment: of all of its samples.
      batch_size: of a global batch; smaller if there are fewer images.
      folder: of the file that holds the numbers; None is the system's for
        temporary files.

    Raises:
      errors.DataError: the images are invalid or cannot be read, the replicas
        cannot share a batch, or the features are not finite.
    """
    strategy, count = self._strategy, len(source.ids)
    global_batch.check(strategy, batch_size, 'batch_size')
    batch_size = global_batch.cap(strategy, batch_size, count)
    batches = global_batch.distribute(strategy, batch_size, source.batches)
    lengths = {**self.lengths, feature_table.PROBABILITIES: len(self._classes)}
    values = _make_values((count, sum(lengths.values())), folder)
    with progress.Bar('embed', count, 'images') as shown:
      with source.translate_errors():
        for number, batch in enumerate(batches):
          rows = np.arange(number * batch_size,
                           min((number + 1) * batch_size, count))
          # What is still read then is read to list its issues, too.
          if not source.is_refused:
            values[rows] = self._embed(batch[spec_lib.IMAGE],
                                       assignment.models[rows])
          shown.advance(len(rows))
    sound = source.finish()
    return _make_table(source, assignment, values, lengths, self._classes,
                       source.order[sound[source.order]])

  def _embed(self, images, models: np.ndarray) -> np.ndarray:
    """Returns the features and probabilities of a batch, [n, D] float32.

    Args:
      images: [B, H, W, C] uint8, distributed; B >= n.
      models: [n], of each image.
    """
    # All are queued before the first result is waited for. Records are in the
    # order of their folds, so hardly any batch needs two models.
    found = {
        model:
            self._network.predict(images, tf.constant(0),
                                  *self._network.folds[self._places[model]])
        for model in np.unique(models).tolist()
    }
    parts = {
        model: np.concatenate([np.asarray(each) for each in each_of], axis=1)
        for model, each_of in found.items()
    }
    made = np.stack(
        [parts[model][i] for i, model in enumerate(models.tolist())])
    if not np.isfinite(made).all():
      raise errors.DataError(
          'Features are NaN or infinite: the weights are damaged, or the '
          'training diverged; train again.')
    return made


def _make_values(shape: tuple[int, int], folder: str | None) -> np.memmap:
  """Returns zeros [N, D] float32 in a file without a name, whose disk has them.

  Raises:
    errors.DataError: the disk is full, or cannot be written.
  """
  where = folder or tempfile.gettempdir()
  with (path_check.translate_write_errors(where),
        tempfile.TemporaryFile(prefix='hpa-features-', dir=folder) as file):
    with contextlib.suppress(AttributeError):  # not on macOS
      # A page that does not fit on the disk would end the process by a signal.
      os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * 4)
    return np.memmap(file, np.float32, 'w+', shape=shape)  # keeps it open


def _make_table(source: inference_source.Records | inference_source.Files,
                assignment: assignment_lib.Assignment, values: np.ndarray,
                lengths: dict[str, int], classes: Sequence[str],
                rows: np.ndarray) -> feature_table.Table:
  """Returns the table of a source's samples, in its order.

  Args:
    source: read to its end.
    assignment: of all of its samples.
    values: [N, D] float32.
    lengths: of the parts of values, by name.
    classes: names of the K classes.
    rows: [M] int64, the samples to list.
  """
  metadata = {}
  records = source.records
  if records is not None:
    metadata = {
        name: records.index[name].to_numpy(str)[rows]
        for name in records.manifest.metadata
    }
    assignment = dataclasses.replace(assignment, **_find_known(records))
  return feature_table.Table(
      ids=source.ids[rows],
      rows=rows,
      values=values,
      lengths=lengths,
      classes=tuple(classes),
      metadata=metadata,
      num_skipped=len({(each.row, each.id) for each in source.issues}),
      **{
          field.name: getattr(assignment, field.name)[rows]
          for field in dataclasses.fields(assignment)
      })


def _find_known(records: dataset.Records) -> dict[str, np.ndarray]:
  """Returns what records know of their samples in place of the run.

  New samples may have it, too, and an exported folder knows none of it.

  Returns:
    Those of labels, labelled and groups, as of assignment.Assignment, that the
    records have.
  """
  found = {}
  if records.manifest.is_labelled:
    found['labels'] = records.labels
    found['labelled'] = np.ones(len(records.index), bool)
  if 'group' in records.index:
    found['groups'] = records.index['group'].to_numpy(str)
  return found


def read_images(source: inference_source.Records | inference_source.Files,
                rows: np.ndarray) -> np.ndarray:
  """Returns images of a source, [n, H, W, C] uint8.

  Args:
    source: whose samples are valid in these rows.
    rows: [n] int64, indices of its ids; n >= 1.

  Raises:
    errors.DataError: a file cannot be read any more.
  """
  share = epoch_plan.Share(min(len(rows), 32))
  with source.translate_errors():
    parts = [
        batch[spec_lib.IMAGE].numpy() for batch in source.batches(share, rows)
    ]
  return np.concatenate(parts)[:len(rows)]
