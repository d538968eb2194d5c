"""What all exported graphs compute: means over folds, each over views.

Written in operations that TensorFlow, ONNX and its runtime for browsers have;
dihedral.transform, which training and prediction use, needs XLA.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer.model import views
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


def pool(found: tf.Tensor, tta: str) -> tf.Tensor:
  """Returns the probabilities of views [V, ...] as one, [...].

  Args:
    found: float32.
    tta: one of views.TTA.
  """
  if views.takes_maximum(tta):
    return tf.reduce_max(found, axis=0)
  return tf.reduce_mean(found, axis=0)


def compute_maps(model: keras.Model,
                 features: Sequence[tf.Tensor]) -> list[tf.Tensor]:
  """Returns class activation maps of all classes, as network.activation_map.

  Args:
    model: of plain.build.
    features: the values of plain.Parts.maps, [B, h, w, c] each, and of
      plain.Parts.averages, [B, sum of c]; nothing of a model without them.

  Returns:
    For each of maps, [B, K, h, w] float32, >= 0, of any scale.
  """
  if not features:
    return []
  *maps, averages = features
  head, inputs = plain.find_parts(model).head, [averages]
  for layer in head[:-1]:
    inputs.append(layer(inputs[-1]))
  # From the logits back to the averages: the gradients of all K logits.
  gradient = tf.transpose(tf.convert_to_tensor(head[-1].kernel))[tf.newaxis]
  for layer, x in reversed([*zip(head[:-1], inputs)]):
    gradient = _pull_back(layer, x, gradient)
  weights = tf.split(gradient, [each.shape[-1] for each in maps], axis=-1)
  return [tf.nn.relu(_project(*each)) for each in zip(maps, weights)]


def _project(feature_map: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """Returns the sums over channels of [B, h, w, c] by [B or 1, K, c]."""
  height, width, channels = feature_map.shape[1:]
  flat = tf.reshape(feature_map, [-1, height * width, channels])
  found = tf.matmul(weights, tf.transpose(flat, [0, 2, 1]))
  return tf.reshape(found, [-1, weights.shape[1], height, width])


def _pull_back(layer: keras.layers.Layer, x: tf.Tensor,
               gradient: tf.Tensor) -> tf.Tensor:
  """Returns the gradient by the input of a layer, [B, K, units].

  Written out, since ONNX has no operations of gradients.

  Args:
    layer: a Dense, LayerNormalization, PReLU, LeakyReLU or Activation.
    x: its input, [B, units].
    gradient: by its output, [B or 1, K, units].
  """
  if isinstance(layer, keras.layers.Dense):
    return tf.matmul(gradient, tf.transpose(tf.convert_to_tensor(layer.kernel)))
  if isinstance(layer, keras.layers.LayerNormalization):
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    deviation = tf.sqrt(variance + layer.epsilon)[:, tf.newaxis]
    normed = (x - mean)[:, tf.newaxis] / deviation
    moved = gradient * tf.convert_to_tensor(layer.gamma)
    moved -= tf.reduce_mean(moved, -1, keepdims=True) + normed * tf.reduce_mean(
        moved * normed, -1, keepdims=True)
    return moved / deviation
  return gradient * _find_slope(layer, x)[:, tf.newaxis]


def _find_slope(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
  """Returns the derivative of an activation at x, of its shape."""
  if isinstance(layer, keras.layers.PReLU):
    return tf.where(x > 0, 1.0, tf.convert_to_tensor(layer.alpha))
  if isinstance(layer, keras.layers.LeakyReLU):
    return tf.where(x > 0, 1.0, layer.negative_slope)
  sigmoid = tf.sigmoid(x)
  exponential = tf.exp(tf.minimum(x, 0.0))
  density = tf.exp(-x * x / 2) / np.sqrt(2 * np.pi)
  slopes = {
      'relu': tf.cast(x > 0, tf.float32),
      'elu': tf.where(x > 0, 1.0, exponential),
      'selu': _SELU_SCALE * tf.where(x > 0, 1.0, _SELU_ALPHA * exponential),
      'silu': sigmoid * (1 + x * (1 - sigmoid)),
      'gelu': (1 + tf.math.erf(x / np.sqrt(2))) / 2 + x * density,
  }
  return slopes[layer.get_config()['activation']]
