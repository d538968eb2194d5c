"""Keras's own networks for images of C channels: logits [B, K].

For comparison with GapNet-PL: same input, labels, losses and training. They
start from fresh weights: those of ImageNet fit three channels alone. The
networks have no dropout, so no noise inputs; batch norm takes its moments from
the whole global batch.
"""

import collections
from collections.abc import Iterator, Sequence
import re

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer import config
from trainer.network import layers

_BUILDERS = {
    'densenet121': keras.applications.DenseNet121,
    'resnet50': keras.applications.ResNet50,
    'xception': keras.applications.Xception,
}
# In the order in which they take their seeds.
_KERNELS = ('kernel_initializer', 'depthwise_initializer',
            'pointwise_initializer')
# Names that Keras gives to layers of Xception. Its numbers go on from one
# network to the next, but the names of variables in a checkpoint must not
# depend on earlier networks of the process.
_COUNTED = re.compile('(add|batch_normalization|conv2d)(_[0-9]+)?')
# In smaller images no pixel is left before the last average.
SMALLEST_PX = {'densenet121': 32, 'resnet50': 32, 'xception': 71}


@tensorflow.keras_defaults()
def build(name: str,
          spec: spec_lib.Spec,
          activation: str = 'relu',
          *,
          mean: Sequence[float],
          std: Sequence[float],
          input_scaling: str = 'dataset',
          precision: str = 'float32',
          seed: int = 0) -> keras.Model:
  """Returns a network with fresh weights.

  The input is 'image' [B, H, W, C] uint8, the output logits [B, K] float32, as
  in gapnet.build.

  Args:
    name: one of config.MODELS, except gapnet_pl.
    spec: of the images and classes.
    activation: one of config.ACTIVATIONS, in place of ReLU.
    mean: the training folds' mean pixel of each channel, 0..255.
    std: its standard deviation of each channel, >= 0.
    input_scaling: 'dataset' uses mean and std; 'image' takes both from each
      image.
    precision: 'float32', or 'bfloat16' for all layers but scaling and logits.
    seed: of the initial weights.

  Raises:
    ValueError: a choice is unknown, the image is too small, or mean or std does
      not have a number for each channel.
  """
  if name not in _BUILDERS or activation not in config.ACTIVATIONS:
    raise ValueError(f'Expected a network out of {", ".join(_BUILDERS)} and an '
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
  counts = collections.Counter()
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(layers.POLICIES[precision])
  try:
    body = _BUILDERS[name](include_top=False,
                           weights=None,
                           input_tensor=scaled,
                           pooling='avg')
    body = keras.models.clone_model(
        body,
        clone_function=lambda layer: _replace(layer, activation, seeds, counts))
  finally:
    keras.config.set_dtype_policy(before)
  initializer = keras.initializers.GlorotUniform(next(seeds))
  logits = keras.layers.Dense(spec.num_classes,
                              kernel_initializer=initializer,
                              name='logits',
                              dtype='float32')(body.output)
  return keras.Model(body.inputs, logits, name=name)


def _replace(layer: keras.layers.Layer, activation: str, seeds: Iterator[int],
             counts: collections.Counter) -> keras.layers.Layer:
  """Returns a copy of a layer with seeded kernels; replaces ReLU."""
  settings = layer.get_config()
  counted = _COUNTED.fullmatch(settings['name'])
  if counted:
    counts[counted[1]] += 1
    settings['name'] = f'{counted[1]}_{counts[counted[1]]}'
  if isinstance(layer, keras.layers.Activation):
    return layers.activate(activation,
                           name=settings['name'],
                           dtype=settings['dtype'])
  if isinstance(layer, keras.layers.BatchNormalization):
    settings['synchronized'] = True
  kind = layer.__class__
  if isinstance(layer, keras.layers.Conv2D) and layer.use_bias:
    kind = layers.Conv2D  # Keras's sums its gradient in the layer's type
  for name in _KERNELS:
    if name in settings:
      settings[name]['config']['seed'] = next(seeds)
  return kind.from_config(settings)
