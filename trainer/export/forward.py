"""What all exported graphs compute: means over folds and symmetries.

Written in operations that TensorFlow, ONNX and its runtime for browsers have;
dihedral.transform, which training and prediction use, needs XLA.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer.network import plain

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def turn(images: tf.Tensor, element: int) -> tf.Tensor:
  """Returns images [B, H, H, C] in a symmetry, as of dihedral.transform."""
  transposes, reverses_rows, reverses_columns = dihedral.MOVES[element]
  if transposes:
    images = tf.transpose(images, [0, 2, 1, 3])
  if reverses_rows:
    images = images[:, ::-1]
  if reverses_columns:
    images = images[:, :, ::-1]
  return images


def turn_all(images: tf.Tensor, elements: Sequence[int]) -> tf.Tensor:
  """Returns images [B, H, H, C] in each symmetry, [V * B, H, H, C]."""
  return tf.concat([turn(images, each) for each in elements], axis=0)


def compute_maps(model: keras.Model, maps: Sequence[tf.Tensor],
                 averages: tf.Tensor) -> list[tf.Tensor]:
  """Returns class activation maps of all classes, as network.activation_map.

  Args:
    model: of plain.build.
    maps: the values of plain.Parts.maps, [B, h, w, c] each.
    averages: those of plain.Parts.averages, [B, sum of c].

  Returns:
    For each of maps, [B, K, h, w] float32, >= 0, of any scale.
  """
  slopes = []  # of each layer of the head, from the averages to the logits
  x = averages
  for layer in plain.find_parts(model).head:
    slopes.append(_find_slope(layer, x))
    x = layer(x)
  # From the logits back, [B, K, units]: the gradient of each logit.
  (kernel, _), *others = reversed(slopes)
  gradient = tf.transpose(kernel)[tf.newaxis]
  for kernel, slope in others:
    if slope is not None:
      gradient = gradient * slope[:, tf.newaxis]
    else:
      gradient = tf.matmul(gradient, tf.transpose(kernel))
  weights = tf.split(gradient, [each.shape[-1] for each in maps], axis=-1)
  return [tf.nn.relu(_project(*each)) for each in zip(maps, weights)]


def _project(feature_map: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """Returns the sums over channels of [B, h, w, c] by [B or 1, K, c]."""
  height, width, channels = feature_map.shape[1:]
  flat = tf.reshape(feature_map, [-1, height * width, channels])
  found = tf.matmul(weights, tf.transpose(flat, [0, 2, 1]))
  return tf.reshape(found, [-1, weights.shape[1], height, width])


def _find_slope(layer: keras.layers.Layer, x: tf.Tensor):
  """Returns (kernel, None) of a dense layer, (None, derivative) of others.

  The derivatives are written out, since ONNX has no operations of gradients.

  Args:
    layer: a Dense, PReLU or Activation.
    x: its input, [B, units].
  """
  if isinstance(layer, keras.layers.Dense):
    return tf.convert_to_tensor(layer.kernel), None
  if isinstance(layer, keras.layers.PReLU):
    return None, tf.where(x > 0, 1.0, tf.convert_to_tensor(layer.alpha))
  name = layer.get_config()['activation']
  sigmoid = tf.sigmoid(x)
  exponential = tf.exp(tf.minimum(x, 0.0))
  density = tf.exp(-x * x / 2) / np.sqrt(2 * np.pi)
  return None, {
      'relu': tf.cast(x > 0, tf.float32),
      'elu': exponential,
      'selu': _SELU_SCALE * tf.where(x > 0, 1.0, _SELU_ALPHA * exponential),
      'swish': sigmoid * (1 + x * (1 - sigmoid)),
      'silu': sigmoid * (1 + x * (1 - sigmoid)),
      'gelu': (1 + tf.math.erf(x / np.sqrt(2))) / 2 + x * density,
  }[name]
