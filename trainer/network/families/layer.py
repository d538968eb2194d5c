"""Layers of families that Keras lacks: noisy-AND and grouped convolution."""

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf


@keras.saving.register_keras_serializable('gapnet')
class NoisyAnd(keras.layers.Layer):
  """Whether the share of pixels that have a class exceeds a trained threshold.

  With p the mean over pixels and b the threshold of a class it is
  (s(a(p - b)) - s(-ab)) / (s(a(1 - b)) - s(-ab)), s the sigmoid: 0 for p = 0,
  and 1 for p = 1.

  Called with probabilities [B, H, W, K] float; the result is [B, K], 0..1.

  Source: Kraus et al., "Classifying and segmenting microscopy images with deep
  multiple instance learning", 2016; a and the first b: ml-jku/hti-cnn,
  models.py.
  """

  SLOPE = 10.0  # a
  START = 0.1  # b

  def build(self, input_shape):
    """Adds the thresholds, [K] float32."""
    start = keras.initializers.Constant(self.START)
    self.threshold = self.add_weight((input_shape[-1],),
                                     start,
                                     name='threshold')

  def call(self, inputs):
    """Returns the pooled probabilities [B, K] of inputs [B, H, W, K]."""
    mean = tf.reduce_mean(tf.cast(inputs, self.compute_dtype), (1, 2))
    return pool(mean, tf.convert_to_tensor(self.threshold))


def pool(mean, threshold):
  """Returns the noisy-AND of means.

  Args:
    mean: a tensor, or one of Keras, [..., K], 0..1.
    threshold: b, of a shape that broadcasts to it.
  """
  low = keras.ops.sigmoid(-NoisyAnd.SLOPE * threshold)
  high = keras.ops.sigmoid(NoisyAnd.SLOPE * (1 - threshold))
  middle = keras.ops.sigmoid(NoisyAnd.SLOPE * (mean - threshold))
  return (middle - low) / (high - low)


@keras.saving.register_keras_serializable('gapnet')
class GroupedConv2D(keras.layers.Layer):
  """A 3x3 convolution in groups, one after another, unpadded, without bias.

  Keras's has no gradient on a CPU but by XLA: forward and backward of 32 groups
  took 20 to 90 times as long. Each group has as many filters as channels. The
  kernel is laid out as that of a depthwise convolution, which plain.py makes of
  it, [3, 3, C, C / groups]: Keras's own has no form in ONNX.

  Called with [B, H, W, C] float; the result is [B, H', W', C].

  Args:
    groups: number of them, a divisor of C.
    strides: of the convolution.
    kernel_initializer: of Keras. By default Glorot's uniform of each group.
  """

  SIZE = 3

  def __init__(self,
               groups: int,
               strides: int,
               kernel_initializer=None,
               **kwargs):
    super().__init__(**kwargs)
    self.groups, self.strides = groups, strides
    # The layout has a fan_in of all groups.
    self.kernel_initializer = keras.initializers.get(
        kernel_initializer or
        keras.initializers.VarianceScaling(groups, 'fan_in', 'uniform'))

  def build(self, input_shape):
    """Adds the kernel, [3, 3, C, C / groups] float32."""
    channels = input_shape[-1]
    self.kernel = self.add_weight(
        (self.SIZE, self.SIZE, channels, channels // self.groups),
        self.kernel_initializer,
        name='kernel')

  def call(self, inputs):
    """Returns the convolution of inputs [B, H, W, C]."""
    kernel = tf.convert_to_tensor(self.kernel)
    parts = zip(tf.split(inputs, self.groups, -1),
                tf.split(kernel, self.groups, -2))
    return tf.concat([
        tf.nn.conv2d(part, each, self.strides, 'VALID') for part, each in parts
    ], -1)

  def get_config(self):
    """Returns the arguments, for a saved model."""
    initializer = keras.initializers.serialize(self.kernel_initializer)
    return super().get_config() | {
        'groups': self.groups,
        'strides': self.strides,
        'kernel_initializer': initializer
    }
