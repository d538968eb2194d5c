"""Whether a fold is finished: trained to its end, with all files valid.

All files that a report or a prediction reads are checked here, so that no later
command finds a file of a finished fold missing.
"""

import os
from typing import Any

from hpa_records.runtime import errors
from trainer import config as config_lib
from trainer.recipe import baseline
from trainer.run import arrays
from trainer.run import checkpoint_file
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.run import workdir
from trainer.scoring import decision


def find_metrics(
    config: config_lib.Config) -> tuple[dict[str, Any] | None, str]:
  """Returns the metrics of a finished fold, or why it is not finished.

  Args:
    config: of the run in the folder; epochs may differ.

  Returns:
    (content of metrics.json, ''); (None, '') if training is not over; or (None,
    message) if a file is missing or damaged.

  Raises:
    errors.UnreadError: a file cannot be read.
  """
  directory = workdir.fold_directory(config.workdir, config.fold)
  if not os.path.lexists(os.path.join(directory, workdir.METRICS_NAME)):
    return None, ''
  try:
    metrics, best = (fold_file.load_json(os.path.join(directory, name))
                     for name in (workdir.METRICS_NAME,
                                  workdir.BEST_METRICS_NAME))
    if baseline.CLASSIFIER in metrics:
      return None, f'{workdir.METRICS_NAME} is not of a network.'
    stalled = metrics['epoch'] - best['epoch'] >= config.stop_patience > 0
    if metrics['epoch'] != config.epochs and not stalled:
      return None, ''
    _check(config, directory, {metrics['epoch'], best['epoch']})
  except errors.UnreadError:
    raise  # it may be valid
  except errors.DataError as error:
    return None, str(error)
  return metrics, ''


def _check(config: config_lib.Config, directory: str, epochs: set[int]) -> None:
  """Reads the other files; raises errors.DataError for an invalid one."""
  found, fingerprint = fold_file.load_config(
      os.path.join(directory, workdir.CONFIG_NAME))
  fold_file.load_json(os.path.join(directory, workdir.NETWORK_NAME))
  fold_file.load_history(directory)
  fold_file.load_json(os.path.join(directory, workdir.ABOUT_NAME))
  fold = finished_run.load_fold(config.workdir, config.fold,
                                decision.find_threshold(config))
  fold_file.load_per_class(directory, fold.spec.num_classes)
  arrays.Gallery.load(os.path.join(directory, workdir.GALLERY_NAME), fold.spec)
  out_of_fold.load(config.workdir, fold)
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  of = found.identity(fingerprint)
  for epoch in sorted(epochs):
    checkpoint_file.read(checkpoints, (epoch, 0), of)
