"""The parser of checkpoints, which needs TensorFlow."""

import functools
import json
import pathlib

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from tests.fuzz import mutation
from tests.fuzz import run_target
from tests.fuzz import target
from trainer import config as config_lib
from trainer.run import checkpoint
from trainer.run import checkpoint_file
from trainer.training import state as state_lib

_POSITION = (1, 0)
_OF = config_lib.Config('records', 'run').identity('abc')


@functools.cache
def _network() -> tuple[keras.Model, keras.optimizers.Optimizer]:
  """A network of one layer, and its optimizer."""
  model = keras.Sequential(
      [keras.Input(
          (2,)), keras.layers.Dense(1, name='logits')], name='network')
  optimizer = keras.optimizers.SGD(momentum=0.9)
  optimizer.build(model.trainable_variables)
  return model, optimizer


def _checkpoints(_) -> list[bytes]:
  state = state_lib.State.start(config_lib.Config('records', 'run'))
  metrics = {'epoch': 1, 'loss': 0.3, 'f1_macro': 0.5}
  state.finish_epoch(0.5).record({'epoch': 1, 'loss': 0.4}, metrics)
  values = {**state.to_dict(), checkpoint_file.OF: _OF}
  arrays = {
      name: np.asarray(each)
      for name, each in checkpoint.name_variables(*_network()).items()
  }
  arrays['state'] = np.array(json.dumps(values))
  described = json.loads(run_target.describe_arrays(arrays))
  # As text, for changes of its JSON; write_archive makes the array of it.
  described['state'] = values
  return [json.dumps(described).encode()]


def _parse_checkpoint(data: bytes, folder: pathlib.Path) -> None:
  found = checkpoint.Checkpoints(str(folder), _OF, *_network())
  try:
    content = json.loads(data)
    if 'descr' not in content['state']:
      text = np.array(json.dumps(content['state']))
      content |= json.loads(run_target.describe_arrays({'state': text}))
      data = json.dumps(content).encode()
  except (ValueError, RecursionError, KeyError, TypeError):
    pass
  path = folder / f'epoch-{_POSITION[0]:05d}.npz'
  path.write_bytes(run_target.write_archive(data))
  values = found.restore(_POSITION)
  try:
    state = state_lib.State.from_dict(values)
  except (KeyError, TypeError, ValueError) as error:  # as the loop does
    raise errors.DataError(repr(error)) from error
  _ = state.begun_epochs, state.is_stalled(2)
  state.plateau.update(0.5)


TARGETS = {
    'checkpoint':
        target.Target(_checkpoints, _parse_checkpoint, mutation.change_json),
}
