"""The files and messages of a fold, apart from checkpoints.

Only the chief of several workers writes and prints; the others hold the same
values.
"""

import contextlib
import os
import platform
from typing import Any, Iterator

import numpy as np
import pandas as pd

from hpa_records.inspection import gallery
from hpa_records.reading import dataset
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from trainer import config as config_lib
from trainer.network import summary as summary_lib
from trainer.recipe import schedule
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import fold_lock
from trainer.run import workdir
from trainer.run.writing import fold_writer
from trainer.scoring import decision
from trainer.training import evaluate
from trainer.training.recording import examples
from trainer.training import state as state_lib
from trainer.training.recording import tensorboard

_LOGGED = ('loss', 'val_loss', 'f1_micro', 'f1_macro', 'auc_macro',
           'learning_rate')
# Of a run that predicts one class a sample, where F1 micro is the accuracy.
_LOGGED_SINGLE = ('loss', 'val_loss', 'accuracy_argmax', 'f1_macro',
                  'auc_macro', 'learning_rate')
_FORMS = {'learning_rate': '.3g'}  # others have four decimals
_BOARD_NAME = 'tensorboard'


class Recorder:
  """Writes the files of one fold, and prints its messages.

  All methods do nothing in a worker that is not the chief. Those that write
  raise errors.DataError if a file cannot be written.

  Attributes:
    directory: of the fold.
  """

  def __init__(self, config: config_lib.Config, is_chief: bool):
    """Opens the TensorBoard folder.

    Args:
      config: of the run.
      is_chief: whether this process writes and prints.
    """
    self.directory = workdir.fold_directory(config.workdir, config.fold)
    self._config, self._is_chief = config, is_chief
    self._threshold = decision.find_threshold(config)
    self._board: tensorboard.Board | None = None
    if is_chief:
      with self._translate_errors():
        self._board = tensorboard.Board(self._path(_BOARD_NAME))

  @property
  def is_silent(self) -> bool:
    """Whether nothing is printed."""
    return not self._is_chief

  def begin(self, records: dataset.Records, reader: str, repeats: np.ndarray,
            num_inner: int, device: str, is_done: bool,
            start: dict[str, Any]) -> None:
    """Writes config.json, samples.npz and about.json.

    Removes metrics.json if epochs are left to train: the fold is not finished.

    Args:
      records: the dataset.
      reader: that was chosen for it.
      repeats: [N] float32, expected draws in an epoch.
      num_inner: images of --validation=inner; 0 without it.
      device: description of the devices.
      is_done: whether no epoch is left to train.
      start: of start.first_weights.load.
    """
    if not self._is_chief:
      return
    if not os.path.exists(self._path(workdir.CONFIG_NAME)):
      self._show_samples(records)
    with self._translate_errors():
      if not is_done:  # the writes below also flush this removal to disk
        filesystem.remove(self._path(workdir.METRICS_NAME))
      filesystem.write_atomically(
          self._path(workdir.CONFIG_NAME),
          config_file.format_json(self._config, records.manifest.fingerprint,
                                  reader).encode())
      fold_writer.write_samples(
          self.directory, records, repeats, self._config.rebalance or
          records.stored_balance())
      fold_writer.write_json(
          self._path(workdir.ABOUT_NAME),
          _describe(records, self._config.fold, num_inner, device) | ({
              'starting_weights': start
          } if start else {}))
    if self._config.input_scaling == 'dataset' and not records.has_fold_sums:
      self.say('The records are of an earlier version, without the pixel sums '
               'of each fold: the input is scaled by mean and deviation of all '
               'folds, the held-out one too. Convert the images again, into '
               'another folder, to scale it by those of the training folds.')

  def _show_samples(self, records: dataset.Records) -> None:
    rows = records.rows(self._config.fold)
    labels = records.labels[rows]
    shown = list(gallery.pick_by_class(labels).values())
    if shown:
      images = gallery.load_images(records.directory, records.manifest,
                                   records.index, rows[shown].tolist())
      with self._translate_errors():
        self._board.show_samples(images, labels[shown], records.spec)

  def finish_epoch(self, state: state_lib.State, evaluator: evaluate.Evaluator,
                   predictions: np.ndarray) -> None:
    """Writes the history and TensorBoard's numbers of the last epoch.

    Args:
      state: after the epoch.
      evaluator: of the held-out fold.
      predictions: [N, K] float32, of the held-out fold.
    """
    if not self._is_chief:
      return
    self.write_history(state)
    with self._translate_errors():
      self._board.show_epoch(state.history[-1], evaluator.labels, predictions,
                             evaluator.records.spec, self._threshold)

  def print_epoch(self, state: state_lib.State) -> None:
    """Prints the numbers of the last epoch of a state."""
    row = state.history[-1]
    logged = _LOGGED_SINGLE if self._threshold is None else _LOGGED
    inner = [name for name in row if name.startswith(f'{schedule.INNER}_')]
    numbers = ', '.join(
        f'{name} {row[name]:{_FORMS.get(name, ".4f")}}' for name in (*logged,
                                                                     *inner)
        if row.get(name) is not None)
    self.say(f'epoch {row["epoch"]}/{self._config.epochs}: {numbers}, '
             f'{row["images_per_s"]:.1f} images/s, waiting for input '
             f'{row["input_wait"]:.0%}')

  def write_history(self, state: state_lib.State) -> None:
    """Writes history.csv, a row for each epoch of a state."""
    if self._is_chief:
      with self._translate_errors():
        filesystem.write_atomically(
            self._path(workdir.HISTORY_NAME),
            pd.DataFrame(state.history).to_csv(index=False).encode())

  def finish(self, state: state_lib.State, model: keras.Model,
             evaluator: evaluate.Evaluator, predictions: np.ndarray,
             summary: dict[str, Any]) -> None:
    """Writes the files of a finished fold, metrics.json last.

    Args:
      state: at the end of training.
      model: the trained network.
      evaluator: of the held-out fold.
      predictions: [N, K] float32, after the last epoch.
      summary: content of metrics.json.
    """
    if not self._is_chief:
      return
    gallery_of_fold = examples.collect(evaluator.records, self._config.fold,
                                       model, predictions, self._threshold)
    chosen_on = 'the same held-out fold'
    if self._config.validation == schedule.INNER:
      chosen_on = 'a tenth of the training folds, which was not trained on'
    note = (f'the epoch of the best {self._config.plateau_monitor}, chosen on '
            f'{chosen_on}')
    with self._translate_errors():
      fold_writer.write_json(self._path(workdir.NETWORK_NAME),
                             summary_lib.summarise(model))
      gallery_of_fold.save(self._path(workdir.GALLERY_NAME))
      fold_writer.write_json(self._path(workdir.BEST_METRICS_NAME), {
          **state.best, 'note': note
      })
      fold_writer.write_scores(
          self.directory,
          arrays.Predictions(evaluator.ids, evaluator.labels, predictions),
          evaluator.records.spec.classes, self._threshold, summary)

  @contextlib.contextmanager
  def profile(self, wanted: bool) -> Iterator[None]:
    """Profiles the block for TensorBoard if wanted."""
    if not wanted or not self._is_chief:
      yield
      return
    with self._translate_errors(), self._board.profile():
      yield

  def say(self, line: str) -> None:
    """Prints a line."""
    if self._is_chief:
      progress.say(line)

  def _translate_errors(self) -> contextlib.AbstractContextManager:
    return fold_lock.translate_write_errors(self.directory)

  def _path(self, name: str) -> str:
    return os.path.join(self.directory, name)


def _describe(records: dataset.Records, fold: int, num_inner: int,
              device: str) -> dict[str, Any]:
  """Returns the content of about.json."""
  return {
      'device': device,
      **({
          'inner_images': num_inner
      } if num_inner else {}),
      'versions': {
          'python': platform.python_version(),
          'tensorflow': tf.__version__,
          'keras': keras.__version__,
          'numpy': np.__version__,
      },
      # A model needs these, the configuration and a checkpoint.
      'pixels': records.pixels(fold),
      **fold_writer.describe_records(records),
  }
