"""What a run writes beside its checkpoints, and says: by the chief alone.

Several workers each know all of it; one writes.
"""

import contextlib
import json
import os
import platform
from typing import Any, Iterator

import numpy as np
import pandas as pd

from hpa_records.inspection import gallery
from hpa_records.reading import dataset
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from trainer import config as config_lib
from trainer.network import summary as summary_lib
from trainer.run import arrays
from trainer.run import fold_lock
from trainer.run import workdir
from trainer.scoring import metrics
from trainer.training import evaluate
from trainer.training import examples
from trainer.training import state as state_lib
from trainer.training import tensorboard

_LOGGED = ('loss', 'val_loss', 'f1_micro', 'f1_macro', 'auc_macro',
           'learning_rate')
_BOARD_NAME = 'tensorboard'


class Recorder:
  """Writes one fold's files."""

  def __init__(self, config: config_lib.Config, is_chief: bool):
    """Args: configuration; whether this process writes and speaks at all."""
    self.directory = workdir.fold_directory(config.workdir, config.fold)
    self._config, self._is_chief = config, is_chief
    self._board: tensorboard.Board | None = None
    if is_chief:
      with self._told():
        self._board = tensorboard.Board(self._path(_BOARD_NAME))

  def begin(self, records: dataset.Records, reader: str, repeats: np.ndarray,
            device: str, is_done: bool) -> None:
    """Writes what the run is, and what it is trained on and with.

    The fold does not count as finished any more where it is trained on.

    Args:
      records: the dataset.
      reader: that was chosen for it.
      repeats: [N] float32, expected draws in an epoch.
      device: what it is trained on, for a reader.
      is_done: whether no epoch is left to train.
    """
    if not self._is_chief:
      return
    if not os.path.exists(self._path(workdir.CONFIG_NAME)):
      self._show_samples(records)
    index = records.index
    samples = arrays.Samples(
        index['id'].to_numpy(str), records.labels,
        index['fold'].to_numpy(np.int64), repeats,
        records.manifest.settings['seed'], self._config.rebalance or
        records.stored_balance(),
        index['group'].to_numpy(str) if 'group' in index else np.zeros(0, str))
    with self._told():
      if not is_done:  # the writes below flush the folder, and so this
        filesystem.remove(self._path(workdir.METRICS_NAME))
      filesystem.write_atomically(
          self._path(workdir.CONFIG_NAME),
          self._config.to_json(records.manifest.fingerprint, reader).encode())
      samples.save(self._path(workdir.SAMPLES_NAME))
      _write_json(self._path(workdir.ABOUT_NAME), _describe(records, device))

  def _show_samples(self, records: dataset.Records) -> None:
    rows = records.rows(self._config.fold)
    shown = list(gallery.pick_by_class(records.labels[rows]).values())
    if shown:
      images = gallery.load_images(records.directory, records.manifest,
                                   records.index, rows[shown].tolist())
      with self._told():
        self._board.show_samples(images, records.labels[rows[shown]])

  def finish_epoch(self, state: state_lib.State, evaluator: evaluate.Evaluator,
                   scores: np.ndarray) -> None:
    """Writes the history and TensorBoard's numbers of the last epoch.

    Args:
      state: after it.
      evaluator: that scored the held-out fold.
      scores: [N, K] float32, of it.
    """
    if not self._is_chief:
      return
    self.write_history(state)
    with self._told():
      self._board.show_epoch(state.history[-1], evaluator.labels, scores,
                             self._config.threshold)

  def tell_epoch(self, state: state_lib.State) -> None:
    """Says how the last epoch of a state went."""
    row = state.history[-1]
    numbers = ', '.join(
        f'{name} {row[name]:.4f}' for name in _LOGGED if row[name] is not None)
    self.say(f'epoch {row["epoch"]}/{self._config.epochs}: {numbers}, '
             f'{row["images_per_s"]:.1f} images/s, waiting for input '
             f'{row["input_wait"]:.0%}')

  def write_history(self, state: state_lib.State) -> None:
    """Writes a row for each epoch of a state."""
    if self._is_chief:
      with self._told():
        filesystem.write_atomically(
            self._path(workdir.HISTORY_NAME),
            pd.DataFrame(state.history).to_csv(index=False).encode())

  def finish(self, state: state_lib.State, model: keras.Model,
             evaluator: evaluate.Evaluator, scores: np.ndarray,
             summary: dict[str, Any]) -> None:
    """Writes the network, notable samples and scores, metrics.json last.

    Args:
      state: at the end.
      model: that was trained.
      evaluator: that scored.
      scores: [N, K] float32, of the last epoch.
      summary: what metrics.json says.
    """
    if not self._is_chief:
      return
    gallery_of_fold = examples.collect(evaluator.records, self._config.fold,
                                       model, scores, self._config.threshold)
    note = (f'the epoch of the best {self._config.plateau_monitor}, chosen on '
            'the fold that it scores')
    with self._told():
      _write_json(self._path(workdir.NETWORK_NAME),
                  summary_lib.summarise(model))
      gallery_of_fold.save(self._path(workdir.GALLERY_NAME))
      _write_json(self._path(workdir.BEST_METRICS_NAME), {
          **state.best, 'note': note
      })
      arrays.Scores(evaluator.ids, evaluator.labels,
                    scores).save(self._path(workdir.PREDICTIONS_NAME))
      table = metrics.per_class(evaluator.labels, scores,
                                self._config.threshold)
      filesystem.write_atomically(self._path(workdir.PER_CLASS_NAME),
                                  table.to_csv(index=False).encode())
      _write_json(self._path(workdir.METRICS_NAME), summary)

  @contextlib.contextmanager
  def profile(self, wanted: bool) -> Iterator[None]:
    """Traces a block on its devices, for TensorBoard, if wanted."""
    if not wanted or not self._is_chief:
      yield
      return
    with self._told(), self._board.profile():
      yield

  def say(self, line: str) -> None:
    """Prints a line."""
    if self._is_chief:
      print(line, flush=True)

  def _told(self) -> contextlib.AbstractContextManager:
    return fold_lock.told_writes(self.directory)

  def _path(self, name: str) -> str:
    return os.path.join(self.directory, name)


def _write_json(path: str, content: dict[str, Any]) -> None:
  """Writes JSON, whole or not at all; a NaN raises ValueError."""
  text = json.dumps(content, indent=1, allow_nan=False) + '\n'
  filesystem.write_atomically(path, text.encode())


def _describe(records: dataset.Records, device: str) -> dict[str, Any]:
  """What about.json says."""
  manifest = records.manifest
  return {
      'device': device,
      'versions': {
          'python': platform.python_version(),
          'tensorflow': tf.__version__,
          'keras': keras.__version__,
          'numpy': np.__version__,
      },
      'records': manifest.settings,
      'records_versions': manifest.versions,
      # With the configuration and a checkpoint, all that a model needs.
      'pixels': {
          name: manifest.pixels[name] for name in ('mean', 'std')
      },
      'classes': manifest.classes,
  }
