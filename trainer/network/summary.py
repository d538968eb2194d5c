"""A built Keras model as plain data: what a drawing of the network needs."""

from typing import Any

from hpa_records.runtime.tensorflow import keras


def summarise(model: keras.Model) -> dict[str, Any]:
  """Returns a model's layers and what each is fed by, ready for JSON.

  Optional inputs, which bring the noise of dropout and are no part of the
  network, are left out. Of a layer with several outputs the first one's shape
  is told.

  Args:
    model: a functional model, built.

  Returns:
    {'parameters': of the model, 'layers': [...]}, the layers in topological
    order, each {'name', 'kind': its class, of an Activation its function,
    'shape': of its output without the batch axis, None where it is not fixed,
    'parameters', 'inputs': names of the layers that feed it}. The layers'
    parameters add up to the model's.
  """
  shown = [each for each in model.operations if not _is_noise(each)]
  sources = {
      id(tensor): each.name for each in shown
      for tensor in keras.tree.flatten(each.output)
  }
  return {
      'parameters': int(model.count_params()),
      'layers': [_describe(each, sources) for each in shown],
  }


def _is_noise(operation) -> bool:
  return isinstance(operation, keras.layers.InputLayer) and operation.optional


def _describe(operation, sources: dict[int, str]) -> dict[str, Any]:
  fed = []
  if not isinstance(operation, keras.layers.InputLayer):
    fed = [
        sources.get(id(each)) for each in keras.tree.flatten(operation.input)
    ]
  parameters = 0
  if isinstance(operation, keras.layers.Layer):
    parameters = int(operation.count_params())
  shape = keras.tree.flatten(operation.output)[0].shape[1:]
  return {
      'name': operation.name,
      'kind': _name_kind(operation),
      'shape': [None if size is None else int(size) for size in shape],
      'parameters': parameters,
      'inputs': [name for name in fed if name is not None],
  }


def _name_kind(operation) -> str:
  if isinstance(operation, keras.layers.Activation):
    name = operation.get_config()['activation']
    return {'relu': 'ReLU'}.get(name, name.upper())
  return type(operation).__name__
