"""A fold's network as its training starts.

The weights are read once, when a fold has no checkpoint yet. What was taken is
in each checkpoint, so a run that is continued needs no source.
"""

import os
from typing import Any

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer.network import build
from trainer.network import depth
from trainer.run import checkpoint_file
from trainer.run import workdir
from trainer.start import imagenet
from trainer.start import source as source_lib
from trainer.start import transfer


def build_network(config: config_lib.Config, strategy: tf.distribute.Strategy,
                  records: dataset.Records) -> keras.Model:
  """Returns the network of a run with fresh weights; some layers are frozen.

  Args:
    config: of the run.
    strategy: of the run, whose scope is open.
    records: the dataset.

  Raises:
    errors.DataError: the images are too small for the network.
  """
  model = build.build(config, records.spec, records.pixels(config.fold),
                      build.is_compiled(config, strategy))
  depth.freeze_layers(model, config.freeze)
  return model


def load(config: config_lib.Config, records: dataset.Records,
         model: keras.Model, inner: np.ndarray) -> dict[str, Any]:
  """Sets the weights that a fold starts from, if it has no checkpoint.

  Args:
    config: of the run.
    records: the dataset.
    model: of build_network.
    inner: of preparation.find_inner.

  Returns:
    What was taken, as of transfer.copy, with seen and seen_inner: the numbers
    of held-out and of inner images that the source was trained on, None if
    unknown. {} for fresh weights, and for a fold with a checkpoint.

  Raises:
    errors.DataError: the source is missing, damaged or of another network, or a
      layer would be frozen with fresh weights.
  """
  if not (config.init_from or config.pretrained):
    return {}
  directory = workdir.fold_directory(config.workdir, config.fold)
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  if os.path.isdir(checkpoints) and checkpoint_file.list_positions(checkpoints):
    return {}
  found = _find(config, records, model, inner)
  lacking = {each.name for each in depth.list_frozen(model, config.freeze)}
  for fresh in found['fresh']:
    if fresh.partition(' ')[0] in lacking:
      raise errors.DataError(
          f'--freeze={config.freeze} would keep random weights, which '
          f'{found["source"]} does not replace: {fresh}; leave --freeze out.')
  return found


def _find(config: config_lib.Config, records: dataset.Records,
          model: keras.Model, inner: np.ndarray) -> dict[str, Any]:
  if config.pretrained:
    values = imagenet.load(config.model, records.spec.num_channels,
                           config.weights_file)
    file = os.path.basename(config.weights_file)
    name = ', '.join(filter(None, (config.pretrained, file)))
    return {**transfer.copy(model, values, name), 'seen': 0, 'seen_inner': 0}
  source = source_lib.read(config.init_from, config.fold)
  if source.network.get('model') == config.model:
    for name, other in source.network.items():
      mine = getattr(config, name)
      if mine != other:
        raise errors.DataError(
            f'{source.name} was trained with --{name}={other}, received '
            f'{mine}; pass --{name}={other}, or leave --init_from out.')
  found = transfer.copy(model, source.values, source.name,
                        _list_refused(model, source, records.spec))

  def count(rows: np.ndarray) -> int | None:
    if source.trained is None:
      return None
    ids = records.index['id'].to_numpy(str)[rows]
    return int(np.isin(ids, source.trained).sum())

  return {
      **found, 'seen': count(records.rows(config.fold)),
      'seen_inner': count(inner)
  }


def _list_refused(model: keras.Model, source: source_lib.Source,
                  spec: spec_lib.Spec) -> dict[str, str]:
  """Returns reasons by the name of a layer of other classes or channels."""
  refused = {}
  if source.channels not in (None, spec.channel_names):
    for layer in depth.list_first(model):
      refused[layer.name] = 'other channels in the source'
  if source.classes not in (None, spec.classes):
    for layer in depth.list_head(model):
      refused[layer.name] = 'other classes in the source'
  return refused
