"""Activation layers of a network, and ProbAct, which draws noise in training.

The noise has to be the same on any number of devices and after a resume. So a
layer of ProbAct takes two random numbers an image from the step, by an optional
input as dropout does (gapnet.py), and makes a number for each unit of them: as
inputs those would take as much memory as the activations.

The source draws noise at test, too. Here only training does. In evaluation,
prediction, export and features a unit has its mean, max(x, 0), so that scores
and exported networks can be repeated.
"""

from collections.abc import Sequence
import math
from typing import Any

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import noise as noise_lib
from trainer.network import layers

# Source: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic
# Models", 2013.
LEAKY_SLOPE = 0.01
_STARTS = 2  # random numbers an image that a layer of ProbAct takes


class Activations:
  """Makes the activation layers of one network."""

  def __init__(self, name: str, layer_names: Sequence[str] = ()):
    """Prepares them.

    Args:
      name: one of config.ACTIVATIONS.
      layer_names: of layers whose inputs are in noise from the start; those of
        others are added with them.
    """
    self._name = name
    self._first = None
    self._inputs: dict[str, Any] = {}
    if name == 'probact':
      for each in layer_names:
        self._add_input(each)

  @property
  def noise(self) -> list[Any]:
    """The inputs of layers that draw noise, [B, 2] float32 in [0, 1) each."""
    return list(self._inputs.values())

  def connect(self, x: Any, name: str, **options) -> Any:
    """Returns x behind an activation.

    Args:
      x: a Keras tensor, [B, ...].
      name: of the layer.
      **options: of keras.layers.Layer.
    """
    options['name'] = name
    if self._name == 'prelu':
      return layers.ChannelPReLU(**options)(x)
    if self._name == 'leaky_relu':
      return keras.layers.LeakyReLU(LEAKY_SLOPE, **options)(x)
    if self._name == 'probact':
      layer = ProbAct(self._first, **options)
      self._first = self._first or layer
      if name not in self._inputs:
        self._add_input(name)
      return layer(x, self._inputs[name])
    return keras.layers.Activation(self._name, **options)(x)

  def _add_input(self, name):
    # Named to sort after 'image', as in gapnet.py.
    self._inputs[name] = keras.Input((_STARTS,),
                                     name=f'noise_{name}',
                                     optional=True)


class ProbAct(keras.layers.Layer):
  """max(x, 0) + sigma * e in training, e normal; else max(x, 0).

  Called with [B, ...] float, and in training with starts, [B, 2] float32 in
  [0, 1). Sigma is one trained number for the whole network that starts at 0: a
  weight of the first such layer, which the others read.

  Args:
    first: the first such layer of the network; None for that itself.

  Raises:
    ValueError: called in training without starts.

  Source: Shridhar et al., "ProbAct: A Probabilistic Activation Function for
  Deep Neural Networks", 2019; sigma as in their code, models/ProbAct.py.
  """

  def __init__(self, first: 'ProbAct | None' = None, **kwargs):
    # Without autocast: in bfloat16 the starts would have 256 values.
    super().__init__(autocast=False, **kwargs)
    # In a function, since Keras takes a layer for a part of this one.
    self._find_first = lambda: first

  def build(self, input_shape):
    """Adds sigma, a float32 scalar, to the first layer."""
    del input_shape
    if self._find_first() is None:
      self.sigma = self.add_weight((), 'zeros', autocast=False, name='sigma')

  def call(self, inputs, starts=None, training=False):
    """Returns the activations of inputs [B, ...]."""
    inputs = tf.cast(inputs, self.compute_dtype)
    if not training:
      return tf.nn.relu(inputs)
    if starts is None:
      raise ValueError(f'Expected random numbers for {self.name} in training, '
                       'received None; call model([image, *noise], '
                       'training=True).')
    owner = self._find_first() or self
    return _activate(inputs, starts, tf.convert_to_tensor(owner.sigma))


@tf.custom_gradient
def _activate(inputs, starts, sigma):

  def differentiate(upstream):
    moved, parts = _differentiate(inputs, starts, upstream)
    return moved, None, tf.reduce_sum(parts)

  return _add_noise(inputs, starts, sigma), differentiate


@layers.compiled_for_shapes
def _add_noise(inputs, starts, sigma):
  noise = sigma * draw_normal(starts, (-1, *inputs.shape[1:]))
  return tf.nn.relu(inputs) + tf.cast(noise, inputs.dtype)


@layers.compiled_for_shapes
def _differentiate(inputs, starts, upstream):
  """Returns gradients of the inputs, and of sigma before their sum."""
  moved = tf.where(inputs > 0, upstream, tf.zeros_like(upstream))
  # The noise is computed a second time, not kept.
  noise = draw_normal(starts, (-1, *inputs.shape[1:]))
  return moved, tf.cast(upstream, tf.float32) * noise


def draw_normal(starts: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
  """Returns normal numbers for each unit of some images, float32.

  Args:
    starts: [B, 2] float32 in [0, 1), of the images.
    shape: of the result, [B, ...]; B may be -1.

  Source: Box and Muller, "A Note on the Generation of Random Normal Deviates",
  1958, with the two halves of a random word.
  """
  words = noise_lib.hash_words(starts, shape)
  halves = (tf.bitwise.right_shift(words, 16), words & 0xffff)
  radius, angle = ((tf.cast(tf.cast(each, tf.int32), tf.float32) + 0.5) / 2**16
                   for each in halves)
  return tf.sqrt(-2 * tf.math.log(radius)) * tf.cos(2 * math.pi * angle)
