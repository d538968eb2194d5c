"""Layers that Keras lacks or has slower: convolution, PReLU, dropout, scaling.

On a CPU each operation of a train step beside convolutions is a pass over
memory. PReLU and its gradient are ten of them; in two functions that are always
compiled by XLA they are three and the sum over pixels. oneDNN joins the bias
gradient to the kernel gradient, which costs up to twice as much as the kernel's
alone; computed separately it costs almost nothing. BUILD_NOTES.md, "Network and
step", has the times.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf

# Keras's names of config.PRECISIONS.
POLICIES = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}

SCALING = 'scaling'  # the layer that scales the image
PRELU_SLOPE = 0.25
# Source: Klambauer et al., "Self-Normalizing Neural Networks", 2017: the limit
# of SELU at minus infinity, -scale * alpha.
SELU_LIMIT = -1.7580993408473766
# Deviation of a standard normal cut at two deviations.
CUT_NORMAL_STD = 0.87962566103423978


@keras.saving.register_keras_serializable('gapnet')
class ChannelPReLU(keras.layers.Layer):
  """max(x, 0) + slope * min(x, 0), with a trained slope for each channel.

  Called with [..., C] float; the result has the same shape.

  Source: He et al., "Delving Deep into Rectifiers", 2015.
  """

  def build(self, input_shape):
    """Adds the slopes, [C] float32."""
    start = keras.initializers.Constant(PRELU_SLOPE)
    self.slope = self.add_weight((input_shape[-1],), start, name='slope')

  def call(self, inputs):
    """Returns the activations of inputs [..., C]."""
    return _prelu(inputs, tf.convert_to_tensor(self.slope))


@tf.custom_gradient
def _prelu(inputs, slope):

  def differentiate(upstream):
    moved, parts = _differentiate_prelu(inputs, slope, upstream)
    return moved, tf.cast(_sum_to_channels(parts), slope.dtype)

  return _activate_prelu(inputs, slope), differentiate


def compiled_for_shapes(function):
  """Returns a function of tensors, compiled only for fully known shapes.

  Keras builds a network for an unknown batch size. Whether a trace for that is
  used later for known batches depends on earlier calls in the process.
  """
  compiled = tensorflow.compiled(function)

  def call(*tensors):
    is_known = all(each.shape.is_fully_defined() for each in tensors)
    return (compiled if is_known else function)(*tensors)

  return call


@compiled_for_shapes
def _activate_prelu(inputs, slope):
  return tf.nn.relu(inputs) + slope * tf.minimum(inputs, 0)


@compiled_for_shapes
def _differentiate_prelu(inputs, slope, upstream):
  """Returns gradients of the inputs, and of the slopes before their sum."""
  moved = tf.where(inputs > 0, upstream, slope * upstream)
  return moved, tf.cast(upstream * tf.minimum(inputs, 0), tf.float32)


@keras.saving.register_keras_serializable('gapnet')
class Conv2D(keras.layers.Conv2D):
  """Keras's convolution, with the gradient of its bias computed separately."""

  def call(self, inputs):
    """Returns the convolution of inputs [B, H, W, C], [B, H', W', filters].

    With groups each channel is convolved alone: groups = filters = C.
    """
    if self.groups == 1:
      found = tf.nn.conv2d(inputs, self.kernel, self.strides,
                           self.padding.upper())
    else:  # Keras compiles it by XLA, which is slow on a CPU
      kernel = tf.transpose(self.kernel, (0, 1, 3, 2))
      found = tf.nn.depthwise_conv2d(inputs, kernel, (1, *self.strides, 1),
                                     self.padding.upper())
    return self.activation(add_bias(found, tf.convert_to_tensor(self.bias)))


@keras.saving.register_keras_serializable('gapnet')
class Dense(keras.layers.Dense):
  """Keras's dense layer, with the gradient of its bias summed in float32."""

  def call(self, inputs, training=None):
    """Returns the activations [..., units] of inputs [..., C]."""
    del training  # of Keras's quantized layers
    found = tf.tensordot(inputs, self.kernel, 1)
    return self.activation(add_bias(found, tf.convert_to_tensor(self.bias)))


@keras.saving.register_keras_serializable('gapnet')
class ChannelScale(keras.layers.Layer):
  """x times a trained factor for each channel, whose gradient is float32.

  Called with [..., C] float; the result has the same shape. In place of Keras's
  LayerScale, whose variable has a name that is numbered in each process.

  Args:
    start: initial value of the factors.

  Source: Touvron et al., "Going deeper with Image Transformers", 2021, eq. 4.
  """

  def __init__(self, start: float, **kwargs):
    super().__init__(**kwargs)
    self.start = start

  def build(self, input_shape):
    """Adds the factors, [C] float32."""
    start = keras.initializers.Constant(self.start)
    self.gamma = self.add_weight((input_shape[-1],), start, name='gamma')

  def call(self, inputs):
    """Returns the products of inputs [..., C]."""
    return _scale_channels(inputs, tf.convert_to_tensor(self.gamma))

  def get_config(self):
    """Returns the arguments, for a saved model."""
    return super().get_config() | {'start': self.start}


@tf.custom_gradient
def _scale_channels(inputs, gamma):

  def differentiate(upstream):
    parts = tf.cast(upstream, tf.float32) * tf.cast(inputs, tf.float32)
    return upstream * gamma, tf.cast(_sum_to_channels(parts), gamma.dtype)

  return inputs * gamma, differentiate


@tf.custom_gradient
def add_bias(inputs: tf.Tensor, bias: tf.Tensor):
  """Returns inputs + bias; the gradient of the bias is summed in float32.

  Args:
    inputs: [..., C] float.
    bias: [C], of the same type.

  Returns:
    [..., C], of the same type.
  """

  def differentiate(upstream):
    return upstream, tf.cast(_sum_to_channels(upstream), bias.dtype)

  return tf.nn.bias_add(inputs, bias), differentiate


def _sum_to_channels(x):
  """Returns the sum of x [..., C] over all axes but the last, [C] float32."""
  # In bfloat16 a sum of ones ends at 256. Reshaped, because oneDNN else joins
  # it to the gradient of the kernel.
  x = tf.reshape(tf.cast(x, tf.float32), (-1, x.shape[-1]))
  return tf.raw_ops.BiasAddGrad(out_backprop=x)


@keras.saving.register_keras_serializable('gapnet')
class NoisyDropout(keras.layers.Layer):
  """Dropout that drops units where noise < rate; the identity in inference.

  Called with inputs [B, ...] float and noise of that shape, float32 in [0, 1).

  Args:
    rate: probability that a unit is dropped, 0 <= rate < 1.
    alpha: whether dropped units become SELU_LIMIT, with scale and shift to keep
      mean 0 and variance 1; else they become 0, and the others are multiplied
      by 1/(1 - rate).

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
    """Returns inputs [B, ...] with dropout in training, else unchanged."""
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
    """Returns the arguments, for a saved model."""
    return super().get_config() | {'rate': self.rate, 'alpha': self.alpha}


@keras.saving.register_keras_serializable('gapnet')
class ImageScaling(keras.layers.Layer):
  """Scales each channel of each image to mean 0, deviation 1; a flat one to 0.

  Called with [B, H, W, C]; the result has the same shape, float.

  Source: ml-jku/gapnet-pl, z-score of every image.
  """

  def call(self, inputs):
    """Returns inputs [B, H, W, C] scaled, in the layer's precision."""
    image = tf.cast(inputs, self.compute_dtype)
    mean, variance = tf.nn.moments(image, (1, 2), keepdims=True)
    return tf.math.divide_no_nan(image - mean, tf.sqrt(variance))


def find_scaling(mean: Sequence[float],
                 std: Sequence[float]) -> tuple[list[float], list[float]]:
  """Returns the factor and offset, C numbers each, that scale the pixels.

  Args:
    mean: the mean pixel of each channel, 0..255.
    std: its standard deviation of each channel, >= 0.
  """
  # A channel that is constant in the training folds becomes 0.
  factor = [1 / s if s > 0 else 0.0 for s in std]
  return factor, [-m * f for m, f in zip(mean, factor)]


def scale(image, input_scaling: str, mean: Sequence[float],
          std: Sequence[float]):
  """Returns scaled images, [B, H, W, C] float32 with mean 0.

  Args:
    image: a Keras tensor, [B, H, W, C] uint8.
    input_scaling: 'dataset' uses mean and std; 'image' takes both from each
      image.
    mean: the training folds' mean pixel of each channel, 0..255.
    std: its standard deviation of each channel, >= 0.

  Raises:
    ValueError: mean or std does not have a finite number for each channel.
  """
  for name, values in (('mean', mean), ('std', std)):
    if len(values) != image.shape[-1] or not np.isfinite(values).all():
      raise ValueError(f'Expected {name} to be {image.shape[-1]} finite '
                       f'numbers, one for each channel, received {values}.')
  options = {'name': SCALING, 'dtype': 'float32'}
  if input_scaling == 'image':
    return ImageScaling(**options)(image)
  factor, offset = find_scaling(mean, std)
  # With all three axes: Keras transposes a list if the calling program has set
  # channels_first.
  return keras.layers.Rescaling([[factor]], [[offset]], **options)(image)
