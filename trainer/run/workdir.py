"""The folder of a run: names of its folders and files.

WORKDIR/fold<k> holds one fold; the recorder writes it, fold_file reads it.
"""

import os
import re

from hpa_records.runtime import errors
from trainer.run import checkpoint_file

CONFIG_NAME = 'config.json'
HISTORY_NAME = 'history.csv'
METRICS_NAME = 'metrics.json'
BEST_METRICS_NAME = 'best_metrics.json'
PER_CLASS_NAME = 'per_class.csv'
PREDICTIONS_NAME = 'predictions.npz'
SAMPLES_NAME = 'samples.npz'
CHECKPOINTS_NAME = 'checkpoints'
ABOUT_NAME = 'about.json'
NETWORK_NAME = 'network.json'
GALLERY_NAME = 'gallery.npz'
FILE_NAMES = frozenset({
    CONFIG_NAME, HISTORY_NAME, METRICS_NAME, BEST_METRICS_NAME, PER_CLASS_NAME,
    PREDICTIONS_NAME, SAMPLES_NAME, ABOUT_NAME, NETWORK_NAME, GALLERY_NAME
})
# Of a pre-training, whose history is HISTORY_NAME, too; the encoder is last.
PRETRAINING_NAME = 'pretraining.json'
ENCODER_NAME = 'encoder.npz'
ALL_NAMES = FILE_NAMES | {PRETRAINING_NAME, ENCODER_NAME}

# Only this spelling: fold1, not fold01, fold1.bak or fold١.
_FOLD = re.compile(r'fold(0|[1-9][0-9]*)')


def fold_directory(workdir: str, fold: int) -> str:
  """Returns the folder of one fold."""
  return os.path.join(workdir, f'fold{fold}')


def list_folds(workdir: str) -> list[int]:
  """Returns the numbers of the folds that have a folder, in order.

  Raises:
    errors.DataError: the run's folder cannot be read.
  """
  try:
    names = os.listdir(workdir) if os.path.isdir(workdir) else []
  except OSError as error:
    raise errors.describe_read(workdir, error) from error
  return sorted(int(m[1]) for m in map(_FOLD.fullmatch, names) if m)


def list_fold_directories(workdir: str) -> list[str]:
  """Returns the folders of the folds in a run's folder."""
  return [fold_directory(workdir, each) for each in list_folds(workdir)]


def list_files(directory: str) -> list[str]:
  """Returns the paths of the files that a training wrote for a fold.

  Also those of a pre-training.
  """
  checkpoints = os.path.join(directory, CHECKPOINTS_NAME)
  found = [os.path.join(directory, name) for name in sorted(ALL_NAMES)]
  if os.path.isdir(checkpoints):
    found += [
        checkpoint_file.locate(checkpoints, each)
        for each in checkpoint_file.list_positions(checkpoints)
    ]
  return [path for path in found if os.path.lexists(path)]


def exists(path: str) -> bool:
  """Returns whether a path exists.

  Raises:
    errors.DataError: it cannot be read, or is a link to a missing path (whose
      disk may not be mounted).
  """
  try:
    os.stat(path)
    return True
  except (FileNotFoundError, NotADirectoryError) as error:
    if errors.find_dangling_link(path):
      raise errors.describe_read(path, error) from error
    return False
  except OSError as error:
    raise errors.describe_read(path, error) from error
