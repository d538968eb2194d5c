"""A fold's network as its training starts.

The weights are read once, when a fold has no checkpoint yet. What was taken is
in about.json, so a run that is continued needs no source.
"""

import os
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer.network import build
from trainer.network import depth
from trainer.run import checkpoint_file
from trainer.run import fold_file
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
         model: keras.Model) -> dict[str, Any]:
  """Sets the weights that a fold starts from, if it has no checkpoint.

  Args:
    config: of the run.
    records: the dataset.
    model: of build_network.

  Returns:
    What was taken, as of transfer.copy, with seen: the number of held-out
    images that the source was trained on, None if unknown. {} for fresh
    weights. That of about.json for a fold with a checkpoint.

  Raises:
    errors.DataError: the source is missing, damaged or of another network, or a
      layer would be frozen with fresh weights.
  """
  if not (config.init_from or config.pretrained):
    return {}
  directory = workdir.fold_directory(config.workdir, config.fold)
  checkpoints = os.path.join(directory, workdir.CHECKPOINTS_NAME)
  if os.path.isdir(checkpoints) and checkpoint_file.list_positions(checkpoints):
    about = os.path.join(directory, workdir.ABOUT_NAME)
    if not workdir.exists(about):
      return {}
    return fold_file.load_json(about).get('starting_weights', {})
  found = _find(config, records, model)
  lacking = {each.name for each in depth.list_frozen(model, config.freeze)}
  for fresh in found['fresh']:
    if fresh.partition(' ')[0] in lacking:
      raise errors.DataError(
          f'--freeze={config.freeze} would keep random weights, which '
          f'{found["source"]} does not replace: {fresh}; leave --freeze out.')
  return found


def _find(config: config_lib.Config, records: dataset.Records,
          model: keras.Model) -> dict[str, Any]:
  if config.pretrained:
    values = imagenet.load(config.model, records.spec.num_channels,
                           config.weights_file)
    name = ', '.join(filter(None, (config.pretrained, config.weights_file)))
    return {**transfer.copy(model, values, name), 'seen': 0}
  source = source_lib.read(config.init_from, config.fold)
  found = transfer.copy(model, source.values, source.name)
  seen = None
  if source.trained is not None:
    held_out = records.index['id'].to_numpy(str)[records.rows(config.fold)]
    seen = int(np.isin(held_out, source.trained).sum())
  return {**found, 'seen': seen}
