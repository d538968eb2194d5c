"""Class activation maps of the feature maps that a network averages.

GapNet-PL averages three feature maps over space and computes its logits from
the averages alone; others average one (averages.py). A class activation map is
the sum over channels of a feature map times the gradient of the class's logit
by the channel's average, without negative values.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization",
2016; with hidden layers after the averages their gradient replaces the weights,
as in Selvaraju et al., "Grad-CAM", 2017.
"""

import functools

import numpy as np

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.network import averages as averages_lib
from trainer.network import build

_BATCH = 16  # images at a time


def compute(model: keras.Model, images: np.ndarray,
            classes: np.ndarray) -> list[np.ndarray]:
  """Returns class activation maps, one array for each averaged feature map.

  Args:
    model: of gapnet.build or applications.build.
    images: [n, H, W, C] uint8.
    classes: [n] integer, the class of the map for each image.

  Returns:
    Arrays [n, h, w] float32, >= 0, of any scale, in the order of the network;
    none if its logits are not of averages alone.
  """
  averages = averages_lib.find(model, model.output)
  if averages is None:
    return []
  body = keras.Model(model.inputs, [*averages.maps, averages.joined])
  head = keras.Model([averages.joined, *model.inputs[1:]], model.output)
  compute_batch = tensorflow.traced(functools.partial(_compute, body, head))
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
      tf.nn.relu(
          tf.einsum('nhwc,nc->nhw', *(tf.cast(each, tf.float32)
                                      for each in pair)))
      for pair in zip(maps, weights)
  ]
