"""MixUp and CutMix: each image is mixed with its neighbour, and so its labels.

Slots 2i and 2i + 1 of the batch are partners: the order of an epoch is random,
and so are they. Both lie on one replica if its part of the batch is even.

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, section
1; Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features", 2019, equations 1 and 2. Both draw one share for a batch;
here each image has its own.
"""

import math

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import box

NUM_DRAWN = 5  # numbers of each image that draw takes
_LEAST = 2.0**-24  # half of the smallest number above 0 of the noise


def draw(noise: tf.Tensor, size: int, mixup: float,
         cutmix: float) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns what of each image is taken from its partner.

  Args:
    noise: [b, NUM_DRAWN] float32 in [0, 1).
    size: of the images.
    mixup: alpha of MixUp; 0 for none.
    cutmix: alpha of CutMix; 0 for none. With both, a fair coin chooses for each
      image.

  Returns:
    [b] float32, the partner's part of each pixel, and [b, 4] float32, the boxes
    whose pixels are wholly the partner's. One of them is 0, or empty.
  """
  is_blend = noise[:, 2] < 0.5
  if not (mixup and cutmix):
    is_blend = tf.fill(tf.shape(is_blend), bool(mixup))
  parts = tf.zeros_like(noise[:, 0])
  if mixup:
    parts = tf.where(is_blend, draw_shares(noise[:, :2], mixup), 0.0)
  boxes = tf.zeros_like(noise[:, :4])
  if cutmix:
    boxes = _draw_boxes(noise, size, cutmix)
    boxes = tf.where(is_blend[:, None], 0.0, boxes)
  return parts, boxes


def draw_shares(noise: tf.Tensor, alpha: float) -> tf.Tensor:
  """Returns numbers of the distribution Beta(alpha, alpha), [b] float32.

  Args:
    noise: [b, 2] float32 in [0, 1).
    alpha: > 0.

  Source: Devroye, "Random variate generation in one line of code", 1996, the
    symmetric beta distribution, of Bailey's polar method for Student's t.
  """
  # Beyond 80 a share is 0 or 1 within rounding.
  power = tf.minimum(-tf.math.log(noise[:, 0] + _LEAST) / alpha, 80.0)
  cosine = tf.cos(2 * math.pi * noise[:, 1])
  shares = 0.5 + 0.5 * cosine / tf.sqrt(cosine**2 + 1 / tf.math.expm1(power))
  return tf.clip_by_value(shares, 0, 1)


def _draw_boxes(noise, size, alpha):
  """Returns boxes with centres anywhere in the image, cut off at its border."""
  half = tf.sqrt(draw_shares(noise[:, :2], alpha))[:, None] * (size / 2)
  centre = noise[:, 3:] * size
  corners = tf.concat([centre - half, centre + half], axis=1)
  return tf.clip_by_value(tf.round(corners), 0, size)


@tensorflow.compiled
def mix(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor,
        parts: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns mixed images and labels; padding is not mixed in.

  A label is mixed as the pixels are, by the area of the box.

  Args:
    images: [b, H, H, C] float32, b even.
    labels: [b, K] float32.
    weights: [b] float32, 0 for padding.
    parts, boxes: of draw.

  Returns:
    images [b, H, H, C] and labels [b, K], float32.
  """
  size = images.shape[1]
  has_partner = tf.cast(_swap(weights) > 0, tf.float32)
  parts *= has_partner
  boxes *= has_partner[:, None]
  of_pixels = tf.where(box.cover(boxes, size), 1.0, parts[:, None, None, None])
  of_labels = (parts + box.measure(boxes) / size**2)[:, None]
  return ((1 - of_pixels) * images + of_pixels * _swap(images),
          (1 - of_labels) * labels + of_labels * _swap(labels))


def _swap(values: tf.Tensor) -> tf.Tensor:
  """Returns rows [b, ...], each with that of its partner in its place."""
  shape = values.shape
  pairs = tf.reshape(values, [shape[0] // 2, 2, *shape[1:]])
  return tf.reshape(tf.reverse(pairs, [1]), shape)
