"""Scores of new images: the mean over models and over the square's symmetries.

An image is read once and goes through all models while the next are read.
Models of one run share one network, which takes each one's weights, so it is
traced, and by XLA compiled, once a run.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import os

import numpy as np
import pandas as pd

from hpa_records.format import spec
from hpa_records.ingest import issue
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.augmentation import dihedral
from trainer.network import build
from trainer.prediction import ensemble as ensemble_lib
from trainer.run import checkpoint
from trainer.run import finished_run
from trainer.run import workdir
from trainer import strategy as strategy_lib

# Of each --tta, the symmetries of the square to score an image in.
_VIEWS = {'dihedral': range(dihedral.NUM_ELEMENTS), 'none': range(1)}


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Scores of new samples.

  Attributes:
    ids: [N] str, in the order of a CSV where the source knows one.
    scores: [N, K] float32, 0..1.
    skipped: issues of the samples that are left out.
  """
  ids: np.ndarray
  scores: np.ndarray
  skipped: tuple[issue.Issue, ...]

  @property
  def num_skipped(self) -> int:
    """Samples that are left out, which may have several issues each."""
    return len({each.row for each in self.skipped})

  def save(self, path: str, threshold: np.ndarray | float) -> list[str]:
    """Writes Kaggle's submission, and beside it what it is made from.

    The submission has the columns Id and Predicted, the classes whose score is
    above the threshold, '' where none is. <name>_scores.csv has Id and the
    score of each class under its name; <name>_skipped.csv, if samples were left
    out, row, id, file and issue. The submission is written last.

    Args:
      path: of the submission, <name>.csv.
      threshold: one for all classes, or [K].

    Returns:
      The paths of the files, the submission's first.

    Raises:
      errors.DataError: they cannot be written.
    """
    scored, skipped = name_tables(path)
    ids = pd.DataFrame({'Id': self.ids})
    scores = pd.DataFrame(self.scores, columns=list(spec.CLASS_NAMES))
    labels = [
        ' '.join(map(str, np.flatnonzero(row)))
        for row in self.scores > threshold
    ]
    tables = {
        scored: pd.concat([ids, scores], axis=1),
        path: ids.assign(Predicted=labels)
    }
    with path_check.translate_write_errors(path):
      filesystem.remove(skipped)
      if self.skipped:
        issue.write(self.skipped, skipped)
      for name, table in tables.items():
        filesystem.write_atomically(name, table.to_csv(index=False).encode())
    return [*reversed(tables), *([skipped] if self.skipped else [])]


def prepare(path: str) -> None:
  """Makes the folder of a submission, before work is spent on it.

  Raises:
    errors.DataError: its name does not end with .csv; it or a table beside it
      cannot be written; or a file that is no prediction's has such a name. An
      earlier prediction's are known by their first line, a submission by the
      table of scores beside it, too.
  """
  if os.path.splitext(path)[1] != '.csv':  # nor is .csv alone a NAME
    raise errors.DataError(
        f'Expected a file --output=NAME.csv to write, received {path}.')
  tables = (path, *name_tables(path))
  for name in tables:
    path_check.prepare_output(name)
  heads = ('Id,Predicted\n', f'Id,{spec.CLASS_NAMES[0]},', issue.HEAD)
  # Kaggle's sample_submission.csv begins as a submission does, but has no table
  # of scores beside it, which is written before the submission.
  has_scores = filesystem.size(tables[1]) is not None
  for name, head in zip(tables, heads):
    if filesystem.size(name) is not None and not (
        (has_scores or name != path) and _begins(name, head)):
      raise errors.DataError(
          f'{name} is there, and no prediction wrote it; move or remove it, or '
          'choose another --output.')


def _begins(path: str, head: str) -> bool:
  with path_check.translate_write_errors(path), filesystem.open_read(
      path) as file:
    return file.read(len(head)) == head.encode()


class Models:
  """The models of an ensemble on their devices."""

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
    self._networks = [_Network(run, strategy, weights) for run in ensemble.runs]

  def score(self, source: inference_source.Records | inference_source.Files,
            tta: str, batch_size: int) -> Prediction:
    """Returns the mean scores of a source's samples.

    Args:
      source: of the images.
      tta: one of the keys of _VIEWS: 'dihedral' scores each image in all eight
        symmetries of the square, 'none' as it is.
      batch_size: global batch; of fewer images a batch is smaller.

    Raises:
      errors.DataError: the images are invalid or cannot be read, or the
        replicas cannot share a batch.
    """
    strategy, count = self.strategy, len(source.ids)
    strategy_lib.check_batch(strategy, batch_size, 'batch_size')
    batch_size = strategy_lib.cap_batch(strategy, batch_size, count)
    batches = strategy.distribute_datasets_from_function(
        lambda context: source.batches(strategy_lib.share(context, batch_size)))
    parts = []
    with progress.Bar('predict', count, 'images') as shown:
      with source.translate_errors():
        for number, batch in enumerate(batches):
          # What is still read then is read to list its issues, too.
          if not source.is_refused:
            parts.append(self._score(batch[spec.IMAGE], _VIEWS[tta]))
          shown.advance(min(batch_size, count - number * batch_size))
    sound = source.finish()
    scores = np.concatenate(parts)[:count]  # what comes after are blanks
    if not np.isfinite(scores).all():
      raise errors.DataError(
          'The predicted scores are NaN or infinite: the weights are damaged, '
          'or the training diverged; train again.')
    listed = source.order[sound[source.order]]
    return Prediction(source.ids[listed], scores[listed], source.issues)

  def _score(self, images, views: Iterable[int]) -> np.ndarray:
    """One batch's mean scores [B, K] float32, summed in float64, in order."""
    # All are asked for before the first is waited for.
    found = [
        build.score(images, tf.constant(view), values)
        for build in self._networks
        for values in build.weights
        for view in views
    ]
    return np.mean(found, axis=0, dtype=np.float64).astype(np.float32)


class _Network:
  """The network of one run, and the weights of each of its folds.

  Attributes:
    weights: of each model, tensors in the order of the network's variables.
  """

  def __init__(self, run: finished_run.Run, strategy: tf.distribute.Strategy,
               weights: str):
    about, self._strategy = run.folds[0].about, strategy
    is_compiled = strategy_lib.compiles(strategy, run.config.xla)
    with strategy.scope():
      self._model = build.build(run.config, about['records']['image_size'],
                                about['pixels'], is_compiled)
    self.weights = [
        list(map(tf.constant, self._read(run, fold, weights)))
        for fold in run.folds
    ]
    self._run = self._score
    if is_compiled and not isinstance(strategy, tf.distribute.TPUStrategy):
      self._run = tf.function(self._score, jit_compile=True)

  @tf.function
  def score(self, images, view: tf.Tensor,
            values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns one batch's scores [B, K] in 0..1, float32.

    Args:
      images: of a batch, distributed.
      view: int32 scalar, the symmetry of the square to score them in.
      values: one of weights.
    """
    scores = self._strategy.run(self._run, args=(images, view, values))
    return self._strategy.gather(scores, axis=0)

  def _score(self, images, view, values):
    elements = tf.fill([images.shape[0]], view)
    images = dihedral.transform(images, elements)
    return tf.sigmoid(build.infer_with(self._model, values, images))

  def _read(self, run: finished_run.Run, fold: finished_run.Fold,
            weights: str) -> list[np.ndarray]:
    directory = os.path.join(workdir.fold_directory(run.directory, fold.number),
                             workdir.CHECKPOINTS_NAME)
    epoch = ensemble_lib.find_epoch(run, fold, weights)
    config = dataclasses.replace(run.config, fold=fold.number)
    of = config.identity(run.fingerprint)
    return checkpoint.load_weights(directory, (epoch, 0), of, self._model)


def name_tables(path: str) -> tuple[str, str]:
  """Returns the paths of the scores and of what is left out, beside a
  submission."""
  root, suffix = os.path.splitext(path)
  return f'{root}_scores{suffix}', f'{root}_skipped{suffix}'
