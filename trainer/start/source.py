"""Weights of a run or pre-training, of one of its folds, or of a .keras file.
"""

from collections.abc import Mapping
import dataclasses
import os

import numpy as np

from hpa_records.runtime import errors
from trainer.recipe import baseline
from trainer.run import arrays
from trainer.run import checkpoint_file
from trainer.run import fold_file
from trainer.run import stored_spec
from trainer.run import workdir
from trainer.start import encoder_file
from trainer.start import keras_file


@dataclasses.dataclass(frozen=True)
class Source:
  """Weights to start from.

  Attributes:
    name: for messages.
    values: weights by the name of their layer, in the order of layer.weights.
    trained: [N] str, ids of the samples that they were trained on; None if
      unknown.
    network: settings of their network, as of encoder_file; {} if unknown.
    channels: names of the channels that they were trained on; None if unknown.
    classes: names of the classes, in the same way.
  """
  name: str
  values: dict[str, list[np.ndarray]]
  trained: np.ndarray | None = None
  network: Mapping[str, str] = dataclasses.field(default_factory=dict)
  channels: tuple[str, ...] | None = None
  classes: tuple[str, ...] | None = None


def read(path: str, fold: int) -> Source:
  """Returns the weights at a path.

  Args:
    path: folder of a run or pre-training, of which it is the fold of the same
      number, whose model has not seen the held-out images; folder of one fold;
      or a .keras file.
    fold: that is held out.

  Raises:
    errors.DataError: there is none of these, the run has no such fold, the fold
      is not finished, or a file is damaged.
  """
  if not os.path.isdir(path):
    return Source(os.path.basename(path), keras_file.read(path))
  folds = workdir.list_folds(path)
  if not folds:
    return _read_fold(path)
  if fold not in folds:
    raise errors.DataError(
        f'--init_from={path} has no fold {fold}, only '
        f'{", ".join(map(str, folds))}; train it there, or pass the folder of '
        f'one of these folds, such as '
        f'{workdir.fold_directory(path, folds[0])}.')
  return _read_fold(workdir.fold_directory(path, fold))


def _read_fold(directory: str) -> Source:
  """Returns the weights of a finished fold after its last epoch."""
  if workdir.exists(os.path.join(directory, workdir.PRETRAINING_NAME)):
    return _read_encoder(directory)
  metrics_path = os.path.join(directory, workdir.METRICS_NAME)
  if not workdir.exists(metrics_path):
    raise errors.DataError(
        f'--init_from: {directory} is no finished fold, {workdir.METRICS_NAME} '
        'is missing; train it to its end, or pass another folder.')
  metrics = fold_file.load_json(metrics_path)
  config, fingerprint = fold_file.load_config(
      os.path.join(directory, workdir.CONFIG_NAME))
  if baseline.CLASSIFIER in metrics or isinstance(config, baseline.Baseline):
    raise errors.DataError(
        f'--init_from: {directory} is of a classifier of descriptors, which '
        'has no network; pass the folder of a network.')
  epoch = metrics['epoch']
  spec = stored_spec.find(
      fold_file.load_json(os.path.join(directory, workdir.ABOUT_NAME)))
  samples = arrays.Samples.load(os.path.join(directory, workdir.SAMPLES_NAME),
                                spec.num_classes)
  variables, _ = checkpoint_file.read(
      os.path.join(directory, workdir.CHECKPOINTS_NAME), (epoch, 0),
      config.identity(fingerprint))
  values: dict[str, list[np.ndarray]] = {}
  # The averages are the model of a run that has them.
  kind = checkpoint_file.AVERAGE if config.ema else checkpoint_file.MODEL
  for name, value in variables.items():  # in the order of model.variables
    if name.startswith(kind):
      layer, _, _ = name.removeprefix(kind).partition('/')
      values.setdefault(layer, []).append(value)
  network = {name: getattr(config, name) for name in encoder_file.NETWORK}
  return Source(f'{_name(directory)}, epoch {epoch}', values,
                samples.ids[samples.repeats > 0], network, spec.channel_names,
                spec.classes)


def _read_encoder(directory: str) -> Source:
  """Returns the weights of a finished pre-training, without a head."""
  path = os.path.join(directory, workdir.ENCODER_NAME)
  if not workdir.exists(path):
    raise errors.DataError(
        f'--init_from: {directory} is no finished pre-training, '
        f'{workdir.ENCODER_NAME} is missing; run hpa-pretrain to its end, or '
        'pass another folder.')
  found = encoder_file.read(path)
  return Source(f'{_name(directory)}, pre-training, epoch {found.epoch}',
                found.values, found.trained, found.network, found.channels)


def _name(directory: str) -> str:
  """Returns run and fold; reports are shared, so without its other folders."""
  return '/'.join(os.path.abspath(directory).split(os.sep)[-2:])
