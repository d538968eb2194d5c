"""The feature maps whose averages alone decide a network's logits.

GapNet-PL averages three, others one. A network that flattens its maps, or takes
their maxima too, has none, and no class activation maps.
"""

import dataclasses
from typing import Any

from hpa_records.runtime.tensorflow import keras

_JOINED = 'averages'  # of several maps


@dataclasses.dataclass(frozen=True)
class Averages:
  """Averages over space that all later layers of a network depend on.

  Attributes:
    maps: the averaged feature maps, Keras tensors [B, h, w, c].
    joined: their means over space, [B, sum of c].
    head: the layers behind them, in order.
  """
  maps: tuple[Any, ...]
  joined: Any
  head: tuple[keras.layers.Layer, ...]


def find(model: keras.Model, end: Any) -> Averages | None:
  """Returns the averages before a tensor; None if it does not depend on them.

  Args:
    model: of build.build or plain.build.
    end: a Keras tensor of it, [B, n].
  """
  makers = {id(each.output): each for each in model.operations}
  noise = {id(each) for each in model.inputs[1:]}
  head: list[keras.layers.Layer] = []
  layer = makers[id(end)]
  while not _is_average(layer):
    before = [
        makers[id(each)]
        for each in keras.tree.flatten(layer.input)
        if id(each) not in noise
    ]
    if len(before) != 1 or before[0] is layer:  # branches, or is the input
      return None
    head.insert(0, layer)
    layer = before[0]
  maps = [layer.input]
  if layer.name == _JOINED:
    maps = [makers[id(each)].input for each in layer.input]
  return Averages(tuple(maps), layer.output, tuple(head))


def _is_average(layer: keras.Operation) -> bool:
  return layer.name == _JOINED or isinstance(
      layer, keras.layers.GlobalAveragePooling2D)
