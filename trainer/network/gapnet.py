"""GapNet-PL: images [B, H, W, C] uint8 to logits [B, K].

The network of Rumetshofer et al., "Human-level Protein Localization with
Convolutional Neural Networks", ICLR 2018, with the same number of parameters:
630,076 with SELU for 4 channels and 28 classes, 1,184 more with PReLU shared
over space (Keras's default would add 1.2 million and fix the image size). A
channel has 288 of them, a class 257.

Dropout must give the same result on one device and on eight, so its noise is an
input: beside 'image' the model has an optional input for each dropout layer
(Keras 3.15). keras.models.clone_model loses the option, and None beside a
symbolic tensor fails: export build.infer. keras.random.SeedGenerator would draw
once a replica, so masks would depend on their number.

Initial weights depend on the activation. The original draws
tf.truncated_normal(stddev=sqrt(1/fan_in)), cut at two deviations, which leaves
a deviation of 0.8796 sqrt(1/fan_in). Keras's LecunNormal corrects for the cut;
SELU here does not, as the original.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer import config
from trainer.network import activation as activation_lib
from trainer.network import layers
from trainer.network import xla_layers

# Without padding, smaller images have no pixel left before the last average.
SMALLEST_PX = {'original': 1, 'kaggle': 149}

# Names of features: the averages of maps, which are layers, and the last hidden
# layer.
AVERAGES = ('average1', 'average2', 'average3')
HIDDEN = 'hidden2'

_STEM = 'conv1'  # the layer that takes the image
_FULL = {'dtype': 'float32'}

# Variance of a weight times its fan_in. VarianceScaling corrects for the cut.
# Source: He et al., 2015, equation 15, for prelu and leaky_relu (and relu, with
# slope 0; swish, gelu and probact, which are close to it, have the same).
_KERNEL_SCALES = {
    'selu': layers.CUT_NORMAL_STD**2,
    'prelu': 2 / (1 + layers.PRELU_SLOPE**2),
    'leaky_relu': 2 / (1 + activation_lib.LEAKY_SLOPE**2),
    'relu': 2.0,
    'probact': 2.0,
    'elu': 2.0,
    'swish': 2.0,
    'gelu': 2.0,
}


class _Builder:
  """Adds layers that share activation, precision, padding and seed."""

  def __init__(self, activation: str, padded: bool, policy: str, seed: int,
               fast: bool):
    self._dropped = []
    self._activation = activation
    self._activations = activation_lib.Activations(activation)
    self._fast = fast
    self._padding = 'same' if padded else 'valid'
    self._policy = policy
    # One seed for each kernel; no variant has 16.
    self._seeds = iter(np.random.SeedSequence(seed).generate_state(16))

  @property
  def noise(self):
    """The inputs of noise, of dropout and of activations."""
    return self._dropped + self._activations.noise

  def _options(self, name):
    return {'name': name, 'dtype': self._policy}

  def _kernel_options(self, name, linear=False):
    scale = _KERNEL_SCALES[self._activation]
    if linear and self._activation != 'selu':
      scale = 1.0
    seed = int(next(self._seeds))
    initializer = keras.initializers.VarianceScaling(scale, seed=seed)
    options = self._options(name) | {'kernel_initializer': initializer}
    return options | _FULL if linear else options

  def _activate(self, x, name, **options):
    options = self._options(f'{name}_{self._activation}') | options
    return self._activations.connect(x, **options)

  def conv(self, x, filters, name, strides=1):
    """Returns a 3x3 convolution of x [B, H, W, C], activated."""
    padding = self._padding
    if padding == 'same' and strides == 2:
      # 'same' with stride 2 pads an even image on one side only.
      x = keras.layers.ZeroPadding2D(1, **self._options(f'{name}_pad'))(x)
      padding = 'valid'
    options = self._kernel_options(name)
    is_stem = self._fast and name == _STEM
    layer = xla_layers.SpaceToDepthConv2D if is_stem else layers.Conv2D
    return self._activate(
        layer(filters, 3, strides, padding, **options)(x), name)

  def pool(self, x, name):
    """Returns x [B, H, W, C] max-pooled by 2."""
    options = self._options(name) | {'padding': self._padding}
    if self._fast:
      return xla_layers.ReshapedMaxPooling2D(**options)(x)
    return keras.layers.MaxPooling2D(2, **options)(x)

  def norm(self, x, name):
    """Returns x normalized over the global batch."""
    options = self._options(name) | {'synchronized': True}
    return keras.layers.BatchNormalization(**options)(x)

  def dropout(self, x, rate, name):
    """Returns x with dropout, and adds the input of its noise."""
    # Named to sort after 'image': Keras 3.15 checks a dict by its sorted keys.
    noise = keras.Input(x.shape[1:], name=f'noise_{name}', optional=True)
    self._dropped.append(noise)
    alpha = self._activation == 'selu'
    return layers.NoisyDropout(rate, alpha, **self._options(name))(x, noise)

  def averages(self, maps):
    """Returns the means over space of maps [B, H, W, C], concatenated."""
    average = keras.layers.GlobalAveragePooling2D
    means = [
        average(name=name, dtype='float32')(x)
        for name, x in zip(AVERAGES, maps, strict=True)
    ]
    return keras.layers.Concatenate(name='averages', dtype='float32')(means)

  def dense(self, x, units, name):
    """Returns a dense layer of x [B, C], activated, float32."""
    # Float32 is as fast here, and Keras's Dense sums the gradient of its bias
    # in the type of the layer.
    x = keras.layers.Dense(units, **(self._kernel_options(name) | _FULL))(x)
    return self._activate(x, name, **_FULL)

  def logits(self, x, num_classes):
    """Returns the logits [B, K] float32 of x [B, C]."""
    options = self._kernel_options('logits', linear=True)
    return keras.layers.Dense(num_classes, **options)(x)


def _connect_original(make: _Builder, x):
  """Adds the layers of ml-jku/gapnet-pl; its checkpoint has the same size."""
  map1 = x = make.pool(make.conv(x, 32, _STEM, strides=2), 'pool1')
  x = make.conv(x, 64, 'conv2', strides=2)
  for i in (3, 4, 5):
    x = make.conv(x, 64, f'conv{i}')
  map2 = x = make.pool(x, 'pool2')
  for i in (6, 7, 8):
    x = make.conv(x, 128, f'conv{i}')
  x = make.averages([map1, map2, x])
  x = make.dropout(make.dense(x, 256, 'hidden1'), 0.3, 'dropout1')
  return make.dropout(make.dense(x, 256, HIDDEN), 0.3, 'dropout2')


def _connect_kaggle(make: _Builder, x):
  """Adds the layers of the public Kaggle kernel "GapNet-PL [LB 0.385]"."""
  x = make.conv(make.norm(x, 'norm1'), 32, _STEM, strides=2)
  x = make.pool(make.norm(x, 'norm_pool1'), 'pool1')
  map1 = x = make.dropout(x, 0.3, 'dropout1')
  for i, strides in ((2, 2), (3, 1), (4, 1)):
    x = make.conv(make.norm(x, f'norm{i}'), 64, f'conv{i}', strides)
  x = make.pool(make.norm(x, 'norm_pool2'), 'pool2')
  map2 = x = make.dropout(x, 0.3, 'dropout2')
  for i in (5, 6, 7):
    x = make.conv(make.norm(x, f'norm{i}'), 128, f'conv{i}')
  x = make.averages([map1, map2, make.dropout(x, 0.3, 'dropout3')])
  x = make.dropout(make.dense(x, 256, 'hidden1'), 0.5, 'dropout4')
  return make.dropout(make.dense(x, 256, HIDDEN), 0.1, 'dropout5')


def _check_choice(name, value, choices):
  if value not in choices:
    raise ValueError(f'Expected {name} to be one of {", ".join(choices)}, '
                     f'received {value!r}.')


@tensorflow.keras_defaults()
def build(spec: spec_lib.Spec,
          variant: str = 'original',
          activation: str = 'selu',
          *,
          mean: Sequence[float],
          std: Sequence[float],
          input_scaling: str = 'dataset',
          precision: str = 'float32',
          seed: int = 0,
          fast: bool = False) -> keras.Model:
  """Returns GapNet-PL with fresh weights.

  The inputs are 'image' [B, H, W, C] uint8 and an optional noise for each
  dropout layer, and each activation that draws; the output is logits [B, K]
  float32. build.infer calls it without noise; training calls
  model([image, *noise], training=True). The averaged feature maps are the
  inputs of the layers average1, average2 and average3.

  Args:
    spec: of the images and classes.
    variant: 'original', or 'kaggle' (no padding, batch norm, more dropout).
    activation: one of config.ACTIVATIONS; it also decides the initial weights
      and the kind of dropout.
    mean: the training folds' mean pixel of each channel, 0..255.
    std: its standard deviation of each channel, >= 0.
    input_scaling: 'dataset' uses mean and std; 'image' takes both from each
      image, as the original did.
    precision: 'float32', or 'bfloat16' for the layers between scaling and
      averages.
    seed: of the initial weights.
    fast: whether to use the layers of xla_layers; weights and results are the
      same.

  Raises:
    ValueError: a choice is unknown, the image is too small, or mean or std does
      not have a number for each channel.
  """
  _check_choice('variant', variant, config.VARIANTS)
  _check_choice('activation', activation, config.ACTIVATIONS)
  _check_choice('input_scaling', input_scaling, config.INPUT_SCALINGS)
  _check_choice('precision', precision, config.PRECISIONS)
  if spec.image_size < SMALLEST_PX[variant]:
    raise ValueError(f'Expected images of at least {SMALLEST_PX[variant]} px '
                     f'for variant {variant}, received {spec.image_size} px.')
  connect = _connect_original if variant == 'original' else _connect_kaggle
  padded = variant == 'original'
  make = _Builder(activation, padded, layers.POLICIES[precision], seed, fast)
  image = keras.Input(spec.image_shape, dtype='uint8', name='image')
  x = connect(make, layers.scale(image, input_scaling, mean, std))
  return keras.Model([image, *make.noise],
                     make.logits(x, spec.num_classes),
                     name='gapnet_pl')
