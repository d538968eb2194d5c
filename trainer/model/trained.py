"""The models of a run: their settings, checked, and their weights.

A model's weights are in its checkpoint, its settings in config.json and
about.json of its fold; the records it was trained on are not needed.
"""

import dataclasses
import os
from typing import Any

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.images import resize
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import workdir

_MOST_PX = 8192  # largest image size that is read

# The form of about.json for json_text.check_form.
_FORM = {
    'records': {
        'image_size': int,
        'resize': str
    },
    'pixels': {
        'mean': [(int, float)],
        'std': [(int, float)]
    },
    'classes': [str],
}


def load(directory: str) -> finished_run.Run:
  """Returns a run with its finished folds, checked for a prediction.

  Raises:
    errors.DataError: it is not a run, has no network, or has no finished fold
      of this version; or the images of its folds differ in size.
  """
  run = finished_run.load(directory)
  if not run.has_network:
    raise errors.DataError(
        f'{directory} is a run of descriptors ({run.config.classifier}), which '
        'has no network: it cannot predict, embed or export; pass the folder '
        'of a run of hpa-train.')
  network = fold_file.load_network(
      workdir.fold_directory(directory, run.folds[0].number))
  try:
    check_settings(run)
    if network:  # before memory is allocated for images of another size
      _check_size(run.spec, network)
  except ValueError as error:
    raise errors.DataError(
        f'{workdir.ABOUT_NAME} of {run.directory} is damaged, or of an '
        f'earlier version ({error}); train the run again.') from error
  return run


def check_settings(run: finished_run.Run) -> None:
  """Checks what about.json of each fold says of the images.

  Raises:
    ValueError: a value is missing, or one that no network or image can have; or
      the folds have images of different sizes.
  """
  for fold in run.folds:  # each has the mean and std of its training folds
    json_text.check_form(fold.about, _FORM, workdir.ABOUT_NAME)
    _check_values(fold.about, run.spec.num_channels)
    if fold.spec.image_size != run.spec.image_size:
      raise ValueError(
          f'image_size: received {run.spec.image_size} in fold '
          f'{run.folds[0].number} and {fold.spec.image_size} in fold '
          f'{fold.number}')


def _check_values(about: dict[str, Any], num_channels: int) -> None:
  """Refuses values that no network or image can have."""
  records, pixels = about['records'], about['pixels']
  checks = (
      ('image_size', 1 <= records['image_size'] <= _MOST_PX),
      ('resize', records['resize'] in resize.RESIZE_FILTERS),
      *((name, len(pixels[name]) == num_channels and
         all(0 <= value <= 255
             for value in pixels[name]))
        for name in ('mean', 'std')),
  )
  for name, is_right in checks:
    if not is_right:
      raise ValueError(
          f'{name}: received {str({**records, **pixels}[name])!r:.80}')


def _check_size(spec: spec_lib.Spec, network: dict[str, Any]) -> None:
  shape = network['layers'][0]['shape']
  if shape != list(spec.image_shape):
    raise ValueError(
        f'image_size: received {spec.image_size} and {spec.num_channels} '
        f'channels, but the network of {workdir.NETWORK_NAME} takes images of '
        f'{shape!r:.40}')


def find_epoch(run: finished_run.Run, fold: finished_run.Fold,
               weights: str) -> int:
  """Returns the epoch of the weights.

  Args:
    run: of the fold.
    fold: of the model.
    weights: 'last', the epoch of metrics.json, or 'best'.

  Raises:
    errors.DataError: best_metrics.json is missing or damaged.
  """
  if weights == 'last':
    return fold.metrics['epoch']
  path = os.path.join(workdir.fold_directory(run.directory, fold.number),
                      workdir.BEST_METRICS_NAME)
  return fold_file.load_json(path)['epoch']


def load_weights(run: finished_run.Run, fold: finished_run.Fold, weights: str,
                 model: Any) -> list[np.ndarray]:
  """Returns the weights of a fold, in the order of a network's variables.

  Args:
    run: of the fold.
    fold: of the model.
    weights: as of find_epoch.
    model: keras.Model of network.build.build.

  Raises:
    errors.DataError: the checkpoint is missing, damaged, or of another network.
  """
  from trainer.run import checkpoint  # pylint: disable=import-outside-toplevel
  directory = os.path.join(workdir.fold_directory(run.directory, fold.number),
                           workdir.CHECKPOINTS_NAME)
  epoch = find_epoch(run, fold, weights)
  config = dataclasses.replace(run.config, fold=fold.number)
  of = config.identity(run.fingerprint)
  return checkpoint.load_weights(directory, (epoch, 0), of, model)
