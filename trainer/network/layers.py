"""Layers that Keras lacks, or has slower: convolution, activation, dropout,
scaling.

What a train step does beside convolutions passes over memory, and on a CPU each
operation is a pass. PReLU and its gradient are ten of them; in two functions
that XLA compiles, also inside a step that is not, they are three and the sum
over pixels. Joined to the gradient of a kernel, as oneDNN does it, that of the
bias costs up to twice as much as the kernel's; by itself, next to nothing.
BUILD_NOTES.md, "Network and step", has the times.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf

# Of config.PRECISIONS, as Keras names them.
POLICIES = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}

PRELU_SLOPE = 0.25
# Source: Klambauer et al., "Self-Normalizing Neural Networks", 2017: the limit
# of SELU at minus infinity, -scale * alpha.
SELU_LIMIT = -1.7580993408473766


@keras.saving.register_keras_serializable('gapnet')
class ChannelPReLU(keras.layers.Layer):
  """max(x, 0) + slope * min(x, 0), one trained slope a channel.

  Source: He et al., "Delving Deep into Rectifiers", 2015.
  """

  def build(self, input_shape):
    start = keras.initializers.Constant(PRELU_SLOPE)
    self.slope = self.add_weight((input_shape[-1],), start, name='slope')

  def call(self, inputs):
    return _prelu(inputs, tf.convert_to_tensor(self.slope))


@tf.custom_gradient
def _prelu(inputs, slope):

  def differentiate(upstream):
    moved, parts = _differentiate_prelu(inputs, slope, upstream)
    return moved, tf.cast(_sum_to_channels(parts), slope.dtype)

  return _activate_prelu(inputs, slope), differentiate


def _compiled_for_shapes(function):
  """A function compiled where all shapes are known, as it is elsewhere.

  Keras builds a network for any batch. A trace for that would also be taken for
  known batches later, or not, by what the process has called before.
  """
  compiled = tensorflow.compiled(function)

  def call(*tensors):
    is_known = all(each.shape.is_fully_defined() for each in tensors)
    return (compiled if is_known else function)(*tensors)

  return call


@_compiled_for_shapes
def _activate_prelu(inputs, slope):
  return tf.nn.relu(inputs) + slope * tf.minimum(inputs, 0)


@_compiled_for_shapes
def _differentiate_prelu(inputs, slope, upstream):
  """The gradient of the inputs, and that of the slopes before it is summed."""
  moved = tf.where(inputs > 0, upstream, slope * upstream)
  return moved, tf.cast(upstream * tf.minimum(inputs, 0), tf.float32)


@keras.saving.register_keras_serializable('gapnet')
class Conv2D(keras.layers.Conv2D):
  """Keras's convolution, with the gradient of its bias by itself."""

  def call(self, inputs):
    found = tf.nn.conv2d(inputs, self.kernel, self.strides,
                         self.padding.upper())
    return _add_bias(found, tf.convert_to_tensor(self.bias))


@tf.custom_gradient
def _add_bias(inputs, bias):

  def differentiate(upstream):
    return upstream, _sum_to_channels(upstream)

  return tf.nn.bias_add(inputs, bias), differentiate


def _sum_to_channels(x):
  # Of another shape, or oneDNN's pass joins it to the gradient of the kernel.
  return tf.raw_ops.BiasAddGrad(out_backprop=tf.reshape(x, (-1, x.shape[-1])))


@keras.saving.register_keras_serializable('gapnet')
class NoisyDropout(keras.layers.Layer):
  """Drops units where noise < rate in training; the identity elsewhere.

  Called with inputs [B, ...] float and noise of that shape, float32 in [0, 1).

  Args:
    rate: chance that a unit is dropped, 0 <= rate < 1.
    alpha: a dropped unit becomes SELU_LIMIT, and scale and shift keep mean 0
      and variance 1; otherwise it becomes 0, the others go up by 1/(1 - rate).

  Raises:
    ValueError: called in training without noise.

  Source: Klambauer et al., 2017, "New dropout technique".
  """

  def __init__(self, rate: float, alpha: bool, **kwargs):
    # Without autocast: in bfloat16 the noise would have 256 values.
    super().__init__(autocast=False, **kwargs)
    self.rate = rate
    self.alpha = alpha

  def call(self, inputs, noise=None, training=False):
    if not training:
      return inputs
    if noise is None:
      raise ValueError(f'Expected noise for {self.name} in training, received '
                       'None; call model([image, *noise], training=True).')
    kept = tf.cast(noise >= self.rate, inputs.dtype)
    if not self.alpha:
      return inputs * kept / (1 - self.rate)
    factor = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2))**-0.5
    shift = -factor * self.rate * SELU_LIMIT
    return factor * (inputs * kept + SELU_LIMIT * (1 - kept)) + shift

  def get_config(self):
    return super().get_config() | {'rate': self.rate, 'alpha': self.alpha}


@keras.saving.register_keras_serializable('gapnet')
class ImageScaling(keras.layers.Layer):
  """Each channel of each image to mean 0, deviation 1; a flat one to 0.

  Source: ml-jku/gapnet-pl, z-score of every image.
  """

  def call(self, inputs):
    image = tf.cast(inputs, self.compute_dtype)
    mean, variance = tf.nn.moments(image, (1, 2), keepdims=True)
    return tf.math.divide_no_nan(image - mean, tf.sqrt(variance))


def activate(activation: str, **options) -> keras.layers.Layer:
  """Returns the layer of one of config.ACTIVATIONS; options as of any layer."""
  if activation == 'prelu':
    return ChannelPReLU(**options)
  return keras.layers.Activation(activation, **options)


def scale(image, input_scaling: str, mean: Sequence[float],
          std: Sequence[float]):
  """Returns images [B, H, W, 4] uint8 as float32 around 0.

  Args:
    image: a Keras tensor.
    input_scaling: 'dataset' uses mean and std; 'image' takes both from each
      image.
    mean: the data set's mean pixel a channel, 0..255.
    std: its standard deviation a channel, >= 0.

  Raises:
    ValueError: mean or std is not one finite number a channel.
  """
  for name, values in (('mean', mean), ('std', std)):
    if len(values) != spec.NUM_CHANNELS or not np.isfinite(values).all():
      raise ValueError(f'Expected {name} to be {spec.NUM_CHANNELS} finite '
                       f'numbers, one a channel, received {values}.')
  options = {'name': 'scaling', 'dtype': 'float32'}
  if input_scaling == 'image':
    return ImageScaling(**options)(image)
  # A channel that is flat in the whole data set tells nothing: it becomes 0.
  factor = [1 / s if s > 0 else 0.0 for s in std]
  offset = [-m * f for m, f in zip(mean, factor)]
  # With all three axes: Keras turns a list round where a program that calls has
  # set channels first.
  return keras.layers.Rescaling([[factor]], [[offset]], **options)(image)
