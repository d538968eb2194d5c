"""Networks of Keras's own layers, which programs without this package open.

A plain network computes the probabilities of a network of build.build. It has
no custom layer and no input of noise: dropout is left out, ProbAct is ReLU and
has no sigma, PReLU is Keras's
with one slope a channel, a convolution of single channels is DepthwiseConv2D,
and so are ChannelScale and the thresholds of noisy-AND; one in groups is that
and a sum. Its layers have the names of the network's, and weights of the same
numbers in the same order, some of another shape.

All is float32, also of a network that was trained in bfloat16, whose weights
are float32.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from hpa_records.runtime import printable
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer.network import activation
from trainer.network import averages as averages_lib
from trainer.network import layers
from trainer.network.families import layer as layer_lib

LOGITS = 'logits'
PROBABILITIES = 'probabilities'


@tensorflow.keras_defaults()
def build(model: keras.Model, is_single_label: bool) -> keras.Model:
  """Returns a plain network with the weights of a network.

  Its input is 'image' [B, H, W, C] float32, 0..255 (Keras converts uint8), its
  output 'probabilities' [B, K] float32.

  Args:
    model: of build.build, with fast=False.
    is_single_label: whether the probabilities of an image sum to 1.
  """
  source, *noise = model.inputs
  image = keras.Input(source.shape[1:], dtype='float32', name='image')
  tensors = {id(source): image}
  found = image
  for operation in model.operations:
    if not isinstance(operation, keras.layers.InputLayer):
      inputs = [
          tensors[id(each)]
          for each in keras.tree.flatten(operation.input)
          if id(each) not in map(id, noise)
      ]
      found = tensors[id(operation.output)] = _connect(operation, inputs)
  found = keras.layers.Activation('softmax' if is_single_label else 'sigmoid',
                                  name=PROBABILITIES,
                                  dtype='float32')(found)
  made = keras.Model(image, found, name=model.name)
  for layer in model.layers:
    if layer.weights:
      copy = made.get_layer(layer.name)
      copy.set_weights([
          np.reshape(value, weight.shape)
          for value, weight in zip(layer.get_weights(), copy.weights)
      ])
  return made


def _connect(layer: keras.layers.Layer, inputs: Sequence[Any]) -> Any:
  """Returns the output of what takes the place of a layer."""
  first = inputs[0]
  if isinstance(layer, layers.NoisyDropout):
    return first
  if isinstance(layer, layers.ImageScaling):
    mean = keras.ops.mean(first, (1, 2), keepdims=True)
    moved = first - mean
    variance = keras.ops.mean(keras.ops.square(moved), (1, 2), keepdims=True)
    return keras.ops.divide_no_nan(moved, keras.ops.sqrt(variance))
  if isinstance(layer, layer_lib.NoisyAnd):
    mean = keras.ops.mean(first, (1, 2), keepdims=True)
    ones = keras.ops.ones_like(mean)
    return keras.ops.squeeze(
        layer_lib.pool(mean,
                       _multiply_channels(layer)(ones)), (1, 2))
  if isinstance(layer, layer_lib.GroupedConv2D):
    return _sum_groups(layer, first)
  found = _replace(layer)
  return found(inputs if len(inputs) > 1 else first)


def _replace(layer: keras.layers.Layer) -> keras.layers.Layer:
  """Returns the layer of Keras that takes the place of one with an output."""
  options = {'name': layer.name, 'dtype': 'float32'}
  if isinstance(layer, layers.ChannelPReLU):
    axes = list(range(1, len(layer.output.shape) - 1))
    return keras.layers.PReLU(shared_axes=axes or None, **options)
  if isinstance(layer, activation.ProbAct):
    return keras.layers.Activation('relu', **options)
  if isinstance(layer, layers.ChannelScale):
    return _multiply_channels(layer)
  settings = layer.get_config() | options
  if isinstance(layer, layers.Conv2D) and layer.groups > 1:
    return keras.layers.DepthwiseConv2D(activation=settings['activation'],
                                        **{
                                            name: settings[name]
                                            for name in ('kernel_size',
                                                         'strides', 'padding')
                                        },
                                        **options)
  if isinstance(layer, keras.layers.BatchNormalization):
    settings['synchronized'] = False
  kinds = {layers.Conv2D: keras.layers.Conv2D, layers.Dense: keras.layers.Dense}
  return kinds.get(type(layer), type(layer)).from_config(settings)


def _sum_groups(layer: layer_lib.GroupedConv2D, x: Any) -> Any:
  """Returns a convolution in groups: a depthwise one, summed over each."""
  *_, channels, units = layer.kernel.shape
  found = keras.layers.DepthwiseConv2D(layer.SIZE,
                                       layer.strides,
                                       depth_multiplier=units,
                                       use_bias=False,
                                       name=layer.name,
                                       dtype='float32')(x)
  height, width = found.shape[1:3]
  found = keras.ops.reshape(found,
                            (-1, height, width, layer.groups, units, units))
  found = keras.ops.sum(found, axis=-2)
  return keras.ops.reshape(found, (-1, height, width, channels))


def _multiply_channels(layer: keras.layers.Layer) -> keras.layers.Layer:
  """Returns a layer with a factor for each channel of [B, H, W, C]."""
  return keras.layers.DepthwiseConv2D(1,
                                      use_bias=False,
                                      name=layer.name,
                                      dtype='float32')


def list_values(model: keras.Model,
                stored: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
  """Returns the values of a network's variables, in the order of them.

  Args:
    model: of build.build.
    stored: weights of its plain network by layer, as of start.keras_file.

  Raises:
    ValueError: a layer is missing, or of other weights; or a value is not
      finite.
  """
  found = {}
  for layer in model.layers:
    if isinstance(layer, activation.ProbAct):  # of no use in inference
      found |= {id(each): each.numpy() for each in layer.weights}
      continue
    values = stored.get(layer.name, ())
    sizes = [int(np.prod(each.shape)) for each in layer.weights]
    if [each.size for each in values] != sizes:
      raise ValueError(f'layer {printable.quote(layer.name)}: expected '
                       f'{len(sizes)} weights of {sizes} numbers, received '
                       f'{[each.size for each in values]}')
    for weight, value in zip(layer.weights, values):
      if not np.isfinite(value).all():
        raise ValueError(f'layer {printable.quote(layer.name)}: expected '
                         'finite numbers, received nan or inf')
      found[id(weight)] = np.float32(value).reshape(weight.shape)
  return [found[id(each)] for each in model.variables]


@dataclasses.dataclass(frozen=True)
class Parts:
  """Where the features of a plain network are.

  Attributes:
    maps: the averaged feature maps, Keras tensors [B, h, w, c]; () if the
      logits are not of averages alone.
    averages: their means over space, [B, sum of c]; None without maps.
    head: the layers from the averages to the logits, in order: Dense, and
      activations between them; () without maps.
    hidden: the input of the logits, [B, n]; None if that is the averages.
  """
  maps: tuple[Any, ...]
  averages: Any
  head: tuple[keras.layers.Layer, ...]
  hidden: Any


def find_parts(model: keras.Model) -> Parts:
  """Returns the parts of a plain network.

  Args:
    model: of build.
  """
  logits = model.get_layer(LOGITS)
  found = averages_lib.find(model, logits.output)
  if found is None:
    return Parts((), None, (), logits.input)
  return Parts(found.maps, found.joined, found.head,
               None if logits.input is found.joined else logits.input)
