"""Networks beside GapNet-PL for images of C channels: logits [B, K].

For comparison with GapNet-PL: same input, labels, losses and training. They are
Keras's own, and the families of papers (families/). They start from fresh
weights, or Keras's from those of ImageNet (start/imagenet.py). Batch norm takes
its moments from the whole global batch.

The networks have no dropout: its masks would have to be equal on any number of
devices, by inputs of noise (gapnet.py). That of EfficientNetV2's blocks
(stochastic depth, up to 0.2) is left out, too. Squeeze-and-excite layers keep
their activations, whatever the activation is. ConvNeXt's layers are those
of Keras, whose kernels start by Glorot, not by the paper's normal of deviation
0.02.
"""

import collections
from collections.abc import Iterator, Sequence
import functools
import re
from typing import Any

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer import config
from trainer.network import activation as activation_lib
from trainer.network import layers
from trainer.network.families import catalog

BUILDERS = {
    'densenet121':
        keras.applications.DenseNet121,
    'resnet50':
        keras.applications.ResNet50,
    'xception':
        keras.applications.Xception,
    # Their own scaling would come after ours; it has no weights.
    'efficientnetv2_s':
        functools.partial(keras.applications.EfficientNetV2S,
                          include_preprocessing=False),
    'convnext_tiny':
        functools.partial(keras.applications.ConvNeXtTiny,
                          include_preprocessing=False),
}
# The last layer before the first block.
STEM_ENDS = {
    'densenet121': 'pool1',
    'resnet50': 'pool1_pool',
    'xception': 'block1_conv2_act',
    'efficientnetv2_s': 'stem_activation',
    'convnext_tiny': 'convnext_tiny_stem_layernorm',
    **{
        name: each.stem_end for name, each in catalog.FAMILIES.items()
    },
}
# In the order in which they take their seeds.
_KERNELS = ('kernel_initializer', 'depthwise_initializer',
            'pointwise_initializer')
# Names that Keras gives to layers of Xception and ConvNeXt. Its numbers go on
# from one network to the next, but the names of variables in a checkpoint must
# not depend on earlier networks of the process.
_COUNTED = re.compile('(add|batch_normalization|conv2d|layer_normalization|'
                      'global_average_pooling2d)(_[0-9]+)?')
# What takes the place of layers with a bias.
_WITH_BIAS = {
    keras.layers.Conv2D: layers.Conv2D,
    keras.layers.Dense: layers.Dense
}
# In smaller images no pixel is left before the last layers.
SMALLEST_PX = {
    'densenet121': 32,
    'resnet50': 32,
    'xception': 71,
    'efficientnetv2_s': 32,
    'convnext_tiny': 32,
    **{
        name: each.smallest_px for name, each in catalog.FAMILIES.items()
    },
}
LOGITS = 'logits'


@tensorflow.keras_defaults()
def build(name: str,
          spec: spec_lib.Spec,
          activation: str = '',
          *,
          mean: Sequence[float],
          std: Sequence[float],
          input_scaling: str = 'dataset',
          precision: str = 'float32',
          seed: int = 0) -> keras.Model:
  """Returns a network with fresh weights.

  The inputs are 'image' [B, H, W, C] uint8 and an optional noise for each
  activation that draws, the output logits [B, K] float32, as in gapnet.build.

  Args:
    name: one of config.MODELS, except gapnet_pl.
    spec: of the images and classes.
    activation: one of config.ACTIVATIONS, in place of the network's own, which
      '' keeps.
    mean: the training folds' mean pixel of each channel, 0..255.
    std: its standard deviation of each channel, >= 0.
    input_scaling: 'dataset' uses mean and std; 'image' takes both from each
      image.
    precision: 'float32', or 'bfloat16' for all layers but scaling and logits.
    seed: of the initial weights.

  Raises:
    ValueError: a choice is unknown, the image is too small or too large, or
      mean or std does not have a number for each channel.
  """
  if name not in SMALLEST_PX or activation not in ('', *config.ACTIVATIONS):
    raise ValueError(
        f'Expected a network out of {", ".join(SMALLEST_PX)} and an '
        f'activation out of {", ".join(config.ACTIVATIONS)}, '
        f'received {name!r} and {activation!r}.')
  if spec.image_size < SMALLEST_PX[name]:
    raise ValueError(f'Expected images of at least {SMALLEST_PX[name]} px for '
                     f'{name}, received {spec.image_size} px.')
  # One for each kernel; no network has 1000. Keras's global seed would also
  # change the order of tf.data's shuffles.
  seeds = iter(np.random.SeedSequence(seed).generate_state(1000).tolist())
  image = keras.Input(spec.image_shape, dtype='uint8', name='image')
  scaled = layers.scale(image, input_scaling, mean, std)
  activation = activation or config.OWN_ACTIVATIONS[name]
  counts = collections.Counter()
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(layers.POLICIES[precision])
  try:
    body = _make_body(name, image, scaled, spec.num_classes)
    activations = activation_lib.Activations(
        activation, [each.name for each in _flatten(body) if _activates(each)])
    body = keras.Model([image, *activations.noise], body.output)
    body = keras.models.clone_model(
        body,
        body.inputs,
        lambda layer: _replace(layer, activations, seeds, counts),
        call_function=_call)
  finally:
    keras.config.set_dtype_policy(before)
  initializer = keras.initializers.GlorotUniform(next(seeds))
  logits = keras.layers.Dense(spec.num_classes,
                              kernel_initializer=initializer,
                              name=LOGITS,
                              dtype='float32')(body.output)
  if name in catalog.FAMILIES and catalog.FAMILIES[name].logits_norm:
    logits = keras.layers.BatchNormalization(
        synchronized=True,
        name=f'{LOGITS}_norm',
        dtype='float32',
        **catalog.FAMILIES[name].logits_norm)(logits)
  return keras.Model(body.inputs, logits, name=name)


def _make_body(name: str, image: Any, scaled: Any,
               num_classes: int) -> keras.Model:
  """Returns a network up to its logits, of Keras's layers."""
  if name in catalog.FAMILIES:
    family = catalog.FAMILIES[name]
    of_classes = (num_classes,) if family.of_classes else ()
    try:
      output = family.connect(scaled, *of_classes)
    except ValueError as error:
      raise ValueError(f'--model={name} for images of {image.shape[1]} px: '
                       f'{error}') from error
    return keras.Model(image, output)
  return BUILDERS[name](include_top=False,
                        weights=None,
                        input_tensor=scaled,
                        pooling='avg')


def list_layers(body: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
  """Returns Keras's layers with weights, each under its name in build.

  Args:
    body: of one of BUILDERS.
  """
  counts = collections.Counter()
  found = [(_name(each, counts), each) for each in _flatten(body)]
  return [(name, each) for name, each in found if each.weights]


def _flatten(body: keras.Model) -> list[keras.layers.Layer]:
  """Returns the layers of a network, and of each Sequential in it."""
  return [
      each for layer in body.layers for each in (
          layer.layers if isinstance(layer, keras.Sequential) else [layer])
  ]


def _name(operation: keras.Operation, counts: collections.Counter) -> str:
  """Returns a name that does not depend on earlier networks of the process."""
  counted = _COUNTED.fullmatch(operation.name)
  if not counted:
    return operation.name
  counts[counted[1]] += 1
  return f'{counted[1]}_{counts[counted[1]]}'


def _replace(layer: keras.Operation, activations: activation_lib.Activations,
             seeds: Iterator[int], counts: collections.Counter) -> Any:
  """Returns what takes the place of a layer, or an operation, of Keras's.

  That is a copy with seeded kernels; a function that connects another
  activation; for a Sequential a list of its layers' copies; [] for what is left
  out.
  """
  if isinstance(layer, keras.Sequential):
    return [_replace(each, activations, seeds, counts) for each in layer.layers]
  name = _name(layer, counts)
  if _is_left_out(layer):
    return []
  if not isinstance(layer, keras.layers.Layer):  # x + y
    return keras.layers.Add(name=name)
  settings = layer.get_config() | {'name': name}
  options = {'name': name, 'dtype': settings['dtype']}
  if _activates(layer):
    return functools.partial(activations.connect, **options)
  if 'init_values' in settings:
    return layers.ChannelScale(settings['init_values'], **options)
  if isinstance(layer, keras.layers.BatchNormalization):
    settings['synchronized'] = True
  kind = layer.__class__
  # Those of Keras sum the gradients of biases in the layer's type.
  if kind in _WITH_BIAS and layer.use_bias:
    kind = _WITH_BIAS[kind]
  for name in _KERNELS:
    if name in settings:
      settings[name]['config']['seed'] = next(seeds)
  return kind.from_config(settings)


def _is_left_out(layer: keras.Operation) -> bool:
  return isinstance(
      layer,
      (keras.layers.Activation, keras.layers.Dropout)) and not _activates(layer)


def _activates(layer: keras.Operation) -> bool:
  return isinstance(
      layer,
      keras.layers.Activation) and layer.get_config()['activation'] != 'linear'


def _call(layer: Any, inputs: Any, *others: Any, **_: Any) -> Any:
  """Returns the output of what _replace made, for the inputs of a layer."""
  if others:  # of x + y
    inputs = [inputs, *others]
  for each in layer if isinstance(layer, list) else [layer]:
    inputs = each(inputs)
  return inputs
