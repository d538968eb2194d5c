"""Measures what MLSMOTE makes of the labels of a table of features.

The table is an .npz file of hpa-embed. As in feature_scores, each model's
images that it was not trained on are resampled in its own coordinates.
"""

import json
import time

import numpy as np

from hpa_records.runtime import errors
from hpa_records.sampling import resampling
from trainer.prediction import feature_table
from trainer.prediction import mlsmote
from trainer.run import npz_file

_SEED = 0


def measure(path: str) -> dict[str, dict[str, dict[str, float]]]:
  """Returns resampling.summary of each model's images, without and with it.

  Args:
    path: of the table, NAME.npz.

  Returns:
    By model, by 'none' or 'mlsmote', which also has seconds.

  Raises:
    errors.DataError: the file is no such table, or has no such images.
  """
  try:
    table = npz_file.read(path)
    lengths = json.loads(str(table[feature_table.ABOUT]))['lengths']
    names = [name for name in lengths if name != feature_table.PROBABILITIES]
    features, labels = table[names[-1]], table['labels']
    models = table['model']
    usable = table['labelled'] & ~table['trained_on']
    _check(features, labels, models, usable)
  except Exception as error:
    raise errors.DataError(
        f'{path} is no table of features ({error}); pass the NAME.npz of '
        'hpa-embed.') from error
  found = {}
  for model in np.unique(models[usable]).tolist():
    rows = usable & (models == model)
    found[f'model {model}'] = _compare(features[rows], labels[rows])
  if not found:
    raise errors.DataError(f'{path} has no labelled images that their model '
                           'was not trained on.')
  return found


def _check(features: np.ndarray, labels: np.ndarray, models: np.ndarray,
           usable: np.ndarray) -> None:
  """Raises ValueError for arrays that are not those of a table."""
  rows = len(usable)
  if not (usable.dtype == bool and models.dtype.kind in 'iu' and
          usable.shape == models.shape == (rows,)):
    raise ValueError('labelled, trained_on or model: expected a value a row')
  if not (labels.dtype.kind in 'biu' and labels.shape[:-1] == (rows,) and
          np.isin(labels, (0, 1)).all()):
    raise ValueError('labels: expected 0 and 1 in a row for each image')
  if not (features.dtype.kind == 'f' and features.shape[:-1] == (rows,) and
          features.shape[1] and np.isfinite(features).all()):
    raise ValueError('features: expected finite numbers in a row for each '
                     'image')


def _compare(features: np.ndarray,
             labels: np.ndarray) -> dict[str, dict[str, float]]:
  deviation = features.std(axis=0)
  features = (features - features.mean(axis=0)) / np.where(
      deviation > 0, deviation, 1)
  mlsmote.resample(features, labels, _SEED)  # imports scikit-learn
  start = time.perf_counter()
  _, more = mlsmote.resample(features, labels, _SEED)
  seconds = time.perf_counter() - start
  return {
      'none':
          resampling.summary(labels, np.ones(len(labels))),
      'mlsmote':
          resampling.summary(more, np.ones(len(more))) | {
              'seconds': seconds
          },
  }
