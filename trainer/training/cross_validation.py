"""All folds of a run, one after another, in one process.

Each fold has its own folder: a finished fold is skipped, an interrupted one is
resumed, and single folds may come from other machines.
"""

import contextlib
import dataclasses
import gc
from typing import Iterator

from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer.run import workdir
from trainer import strategy as strategy_lib
from trainer.training import loop
from trainer.training import preparation


def train(config: config_lib.Config) -> bool:
  """Trains every fold to its end, and returns whether this is the chief.

  Args:
    config: of the run; its fold is ignored.

  Raises:
    errors.DataError: the dataset or a folder does not fit the configuration.
    errors.StoppedEarly: a signal came, a worker is lost, a loss is not finite;
      the same call continues from there.
  """
  strategy = strategy_lib.make(config.distribute, config.tpu)
  folds = preparation.load_records(config).manifest.num_folds
  _refuse_other_folds(config, folds)
  with _retraced():
    for fold in range(folds):
      loop.train(dataclasses.replace(config, fold=fold), strategy)
      # Free a fold's model and its device memory before the next fold.
      if process.is_ours(
      ):  # else it would reset the caller's settings and names
        keras.utils.clear_session(free_memory=False)
      gc.collect()
  return strategy_lib.is_chief(strategy)


def _refuse_other_folds(config: config_lib.Config, folds: int) -> None:
  """Refuses a folder with folds that the records do not have.

  The table of all folds at the end would mix two runs.
  """
  for fold in workdir.list_folds(config.workdir):
    directory = workdir.fold_directory(config.workdir, fold)
    if fold >= folds and workdir.list_files(directory):
      raise errors.DataError(
          f'{directory} is of another run: {config.records} has folds 0 to '
          f'{folds - 1}. Move that folder elsewhere, or choose another '
          '--workdir.')


@contextlib.contextmanager
def _retraced() -> Iterator[None]:
  """Hides TensorFlow's warning about retracing, given for the fifth fold."""

  def is_shown(record):
    return 'tf.function retracing' not in record.getMessage()

  logger = tf.get_logger()
  logger.addFilter(is_shown)
  try:
    yield
  finally:
    logger.removeFilter(is_shown)
