"""Where a network looked: class activation maps of what it averages.

GapNet-PL averages three feature maps over space and answers from the averages
alone. How much a class's logit gains from each channel's average, times that
channel's map, is where the gain came from; what speaks against the class is cut
off. Keras's own networks average one map.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization",
2016; with hidden layers behind the averages their gradient stands for the
weights, as in Selvaraju et al., "Grad-CAM", 2017.
"""

import functools

import numpy as np

from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.network import build

_BATCH = 16  # images at a time


def compute(model: keras.Model, images: np.ndarray,
            classes: np.ndarray) -> list[np.ndarray]:
  """Returns where the network looked, one array for each map it averages.

  Args:
    model: of gapnet.build or applications.build.
    images: [n, H, W, C] uint8.
    classes: [n] integer, the class to ask for of each image.

  Returns:
    In the order of the network, each [n, h, w] float32, >= 0, of any scale.
  """
  averages = [
      layer for layer in model.layers
      if isinstance(layer, keras.layers.GlobalAveragePooling2D)
  ]
  joined = (averages[0]
            if len(averages) == 1 else model.get_layer('averages')).output
  body = keras.Model(model.inputs, [each.input for each in averages] + [joined])
  noise = model.inputs[1:]
  head = keras.Model([joined, *noise], model.output)
  compute_batch = tf.function(functools.partial(_compute, body, head))
  parts = [
      compute_batch(tf.constant(images[i:i + _BATCH]),
                    tf.constant(classes[i:i + _BATCH]))
      for i in range(0, len(images), _BATCH)
  ]
  return [np.concatenate(each) for each in zip(*parts)]


def _compute(body: keras.Model, head: keras.Model, images: tf.Tensor,
             classes: tf.Tensor) -> list[tf.Tensor]:
  *maps, means = build.infer(body, images)
  with tf.GradientTape() as tape:
    tape.watch(means)
    logits = build.infer(head, means)
    chosen = tf.gather(logits, classes, axis=1, batch_dims=1)
  weights = tape.gradient(chosen, means)
  weights = tf.split(weights, [each.shape[-1] for each in maps], axis=-1)
  return [
      tf.nn.relu(tf.einsum('nhwc,nc->nhw', tf.cast(each, tf.float32), weight))
      for each, weight in zip(maps, weights)
  ]
