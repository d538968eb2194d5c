"""Weights of another network, copied layer by layer into a new one."""

from collections.abc import Mapping, Sequence
import hashlib
import types
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras

Values = Mapping[str, Sequence[np.ndarray]]


def copy(
    model: keras.Model,
    values: Values,
    source: str,
    refused: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, Any]:
  """Sets the layers of a network that a source has, too, and lists the others.

  A layer is taken as a whole: by its name, with the shapes of all of its
  weights. The others keep their fresh weights.

  Args:
    model: the network.
    values: weights by the name of their layer, in the order of layer.weights.
    source: where they are from, for the messages.
    refused: reasons, by the name of a layer that is not taken.

  Returns:
    A dict of JSON types: source; taken, the number of layers; fresh, a text for
    each layer that is not taken, with its reason; unused, the number of layers
    of the source that the network does not have or take; and sha256, of the
    values that were taken.

  Raises:
    errors.DataError: no layer is taken, or a value is not a finite number.
  """
  taken, fresh = [], []
  for layer in model.layers:
    if layer.weights:
      reason = (_find_reason(layer, values.get(layer.name)) or
                refused.get(layer.name))
      if reason:
        fresh.append(f'{layer.name} ({reason})')
      else:
        taken.append(layer)
  if not taken:
    raise errors.DataError(
        f'No layer of {source} has the name and shape of one of '
        f'{model.name}, such as {fresh[0]}; pass another source, or choose the '
        '--model that it is of.')
  digest = hashlib.sha256()
  for layer in taken:
    for variable, value in zip(layer.weights, values[layer.name]):
      if value.dtype.kind == 'f':
        with np.errstate(over='ignore'):  # of float64
          value = value.astype(np.float32)
      if value.dtype.kind != 'f' or not np.isfinite(value).all():
        raise errors.DataError(
            f'{source} has values that are not finite numbers, in '
            f'{layer.name}; pass another source.')
      variable.assign(value)
      digest.update(value.tobytes())
  return {
      'source': source,
      'taken': len(taken),
      'fresh': fresh,
      'unused': len(values.keys() - {layer.name for layer in taken}),
      'sha256': digest.hexdigest(),
  }


def _find_reason(layer: keras.layers.Layer,
                 values: Sequence[np.ndarray] | None) -> str:
  """Returns why a layer cannot have some values; '' if it can."""
  if values is None:
    return 'not in the source'
  if len(values) != len(layer.weights):
    return f'{len(values)} weights in the source, not {len(layer.weights)}'
  for variable, value in zip(layer.weights, values):
    if value.shape != tuple(variable.shape):
      return f'{variable.name} {value.shape}, not {tuple(variable.shape)}'
  return ''
