"""A built Keras model as plain data, for the drawing of the network."""

from typing import Any

from hpa_records.runtime.tensorflow import keras


def summarise(model: keras.Model) -> dict[str, Any]:
  """Returns a model's layers and their inputs, as JSON types.

  Optional inputs, which are the noise of dropout, are left out. A layer with
  several outputs has the shape of the first.

  Args:
    model: a functional model, built.

  Returns:
    A dict with parameters (of the model, the sum over layers) and layers, a
    list in topological order. Each layer is a dict with name, kind (its class,
    or the function of an Activation), shape (of its output without the batch
    axis, None for a variable size), parameters, and inputs (names of the layers
    that feed it).
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
