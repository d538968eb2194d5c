"""Whether a fold is finished: trained to its end, and all files are sound.

What a report or a prediction reads later is read here, once, so that the
command that says "finished" is not followed by one that finds a file missing.
"""

import os
from typing import Any

from hpa_records.runtime import errors
from trainer import config as config_lib
from trainer.run import arrays
from trainer.run import checkpoint_file
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.run import workdir


def find_metrics(
    config: config_lib.Config) -> tuple[dict[str, Any] | None, str]:
  """Returns what metrics.json of a finished fold says, else why it is not.

  Args:
    config: of the run that is in the folder, perhaps with more epochs.

  Returns:
    (scores, ''); (None, '') if training is not over; or (None, which file is
    missing or damaged).

  Raises:
    errors.UnreadError: a file cannot be read.
  """
  directory = workdir.fold_directory(config.workdir, config.fold)
  if not os.path.lexists(os.path.join(directory, workdir.METRICS_NAME)):
    return None, ''
  try:
    scores, best = (fold_file.load_json(os.path.join(directory, name))
                    for name in (workdir.METRICS_NAME,
                                 workdir.BEST_METRICS_NAME))
    stalled = scores['epoch'] - best['epoch'] >= config.stop_patience > 0
    if scores['epoch'] != config.epochs and not stalled:
      return None, ''
    _check(config, directory, {scores['epoch'], best['epoch']})
  except errors.UnreadError:
    raise  # it may be sound
  except errors.DataError as error:
    return None, str(error)
  return scores, ''


def _check(config: config_lib.Config, directory: str, epochs: set[int]) -> None:
  """Reads all else; raises errors.DataError for a missing or damaged file."""
  found, fingerprint = fold_file.load_config(
      os.path.join(directory, workdir.CONFIG_NAME))
  fold_file.load_json(os.path.join(directory, workdir.ABOUT_NAME))
  fold_file.load_json(os.path.join(directory, workdir.NETWORK_NAME))
  fold_file.load_history(directory)
  fold_file.load_per_class(directory)
  arrays.Gallery.load(os.path.join(directory, workdir.GALLERY_NAME))
  out_of_fold.load(
      config.workdir,
      finished_run.load_fold(config.workdir, config.fold, config.threshold))
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  of = found.identity(fingerprint)
  for epoch in sorted(epochs):
    checkpoint_file.read(checkpoints, (epoch, 0), of)
