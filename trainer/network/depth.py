"""How much each layer of a network is trained: not at all, or at its own rate.

The stem is what comes before the first blocks: the first convolution, of
Xception the first two, with their norms and activations. The head is the dense
layer 'logits', with the norm that one network has behind it; also in GapNet-PL,
whose two hidden layers are not a part of it.
"""

from hpa_records.runtime.tensorflow import keras
from trainer.network import applications
from trainer.network.families import catalog
from trainer.recipe import starting_weights

_STEM_ENDS = {'gapnet_pl': 'pool1', **applications.STEM_ENDS}


def list_frozen(model: keras.Model, freeze: str) -> list[keras.layers.Layer]:
  """Returns the layers with weights that a setting freezes.

  Args:
    model: of build.build.
    freeze: '', or one of recipe.starting_weights.
  """
  frozen = []
  if freeze == starting_weights.STEM:
    end = model.get_layer(_STEM_ENDS[model.name])
    frozen = model.layers[:model.layers.index(end) + 1]
  elif freeze == starting_weights.ALL_BUT_HEAD:
    frozen = model.layers[:_find_logits(model)]
  return [layer for layer in frozen if layer.weights]


def freeze_layers(model: keras.Model, freeze: str) -> None:
  """Freezes layers: their weights are constant, norms use stored moments.

  Args:
    model: as in list_frozen.
    freeze: as in list_frozen.
  """
  for layer in list_frozen(model, freeze):
    layer.trainable = False


def list_first(model: keras.Model) -> list[keras.layers.Layer]:
  """Returns the layers whose weights belong to channels of the image.

  Args:
    model: as in list_frozen.

  Returns:
    Those with weights up to the first convolutions; M-CNN has seven of them.
  """
  image, *_ = model.inputs
  of_channels, found = {id(image)}, []
  for layer in model.layers:
    if {id(each) for each in keras.tree.flatten(layer.input)} <= of_channels:
      if layer.weights:
        found.append(layer)
      if not layer.weights or len(layer.weights[0].shape) < 4:
        of_channels.add(id(layer.output))
  return found


def list_head(model: keras.Model) -> list[keras.layers.Layer]:
  """Returns the layers whose weights belong to classes.

  Args:
    model: as in list_frozen.
  """
  before = [model.get_layer(each) for each in list_of_classes(model.name)]
  return before + model.layers[_find_logits(model):]


def list_of_classes(name: str) -> tuple[str, ...]:
  """Returns the names of layers before the logits that belong to classes.

  Args:
    name: of the network, one of config.MODELS.
  """
  family = catalog.FAMILIES.get(name)
  return family.of_classes if family else ()


def _find_logits(model: keras.Model) -> int:
  return model.layers.index(model.get_layer(applications.LOGITS))


def list_factors(model: keras.Model,
                 stem_rate: float) -> list[tuple[keras.Variable, float]]:
  """Returns trained variables and their factors of the rate, where not 1.

  The factor of layer i of the n layers with weights is
  stem_rate^(1 - i / (n - 1)): stem_rate in the first, 1 in the last.

  Args:
    model: of build.build.
    stem_rate: > 0.

  Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text
  Classification", 2018, section 3.2: a constant ratio between layers.
  """
  with_weights = [layer for layer in model.layers if layer.weights]
  last = len(with_weights) - 1
  factors = [stem_rate**(1 - i / last) for i in range(last + 1)]
  return [(variable, factor)
          for layer, factor in zip(with_weights, factors)
          for variable in layer.trainable_variables
          if factor != 1]
