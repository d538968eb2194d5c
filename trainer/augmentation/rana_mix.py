"""Rana's mixes: two images of a rare class become two others of it.

Of a pair A, B, M = a A + (1 - a) B, with a uniform in 0.35..0.65 for each
number of a pixel. The first three channels of M are a vector of each pixel,
which is rotated about the axis of the second; the absolute values are the first
mix. That, rotated about the axis of the first channel, is the second mix. Both
have the labels that A and B share.

Source: Rana et al., Bioinformatics 39, 2023, btac841;
priyarana/Protein-subcellular-localisation-method@cbb1c3f, main.py and utils.py.
Choices of our own: pairs are neighbours in the batch, slots 2i and 2i + 1,
which epoch_plan.pair makes of one class; a pair is mixed with a given
probability (theirs: two of three extra images of a rare class are mixes); the
mixes replace the pair, after the other changes; values above 255 become 255;
their channels are red, green, yellow and blue, ours are in the dataset's order.
"""

import math

import numpy as np

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer import noise as noise_lib

NUM_CHANNELS = 3  # that are rotated
NUM_DRAWN = 6  # numbers of each image that mix takes; those of A are used
_LEAST_SHARE, _SHARES = 0.35, 0.3
# Degrees: of the first rotation, either range; of the second.
_FIRST = ((60.0, 110.0), (120.0, 300.0))
_SECOND = (90.0, 120.0)


@tensorflow.compiled
def mix(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor,
        noise: tf.Tensor, is_rare: np.ndarray,
        probability: float) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns images [b, H, H, C] and labels [b, K], float32.

  Args:
    images: [b, H, H, C] float32, 0..255, b even, C >= NUM_CHANNELS.
    labels: [b, K] float32.
    weights: [b] float32, 0 for padding, which is not mixed.
    noise: [b, NUM_DRAWN] float32 in [0, 1).
    is_rare: [K] bool, the classes of which a pair must share one.
    probability: of such a pair.
  """
  drawn = noise[::2]
  shared = labels[::2] * labels[1::2]
  share_rare = tf.reduce_any(tf.where(is_rare, shared > 0, False), axis=1)
  mixed = ((drawn[:, 0] < probability) & share_rare &
           (weights[::2] * weights[1::2] > 0))
  angles = tf.where(drawn[:, 1] < 0.5,
                    *(_scale(drawn[:, 2], bounds) for bounds in _FIRST))
  first = _rotate(_blend(images, drawn[:, 4:]), 0, 2, angles)
  second = _rotate(first, 2, 1, _scale(drawn[:, 3], _SECOND))
  return (_choose(mixed, tf.stack([first, second], axis=1), images),
          _choose(mixed, tf.stack([shared, shared], axis=1), labels))


def _scale(values: tf.Tensor, bounds: tuple[float, float]) -> tf.Tensor:
  """Returns angles in radians between bounds in degrees, of [n] in [0, 1)."""
  low, high = map(math.radians, bounds)
  return low + (high - low) * values


def _blend(images: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
  """Returns the blends of pairs, [b / 2, H, H, C] float32."""
  first, second = images[::2], images[1::2]
  words = tf.bitwise.right_shift(noise_lib.hash_words(starts, first.shape), 8)
  uniform = tf.cast(tf.cast(words, tf.int32), tf.float32) * 2.0**-24
  share = _LEAST_SHARE + _SHARES * uniform
  return share * first + (1 - share) * second


def _rotate(images: tf.Tensor, one: int, other: int,
            angles: tf.Tensor) -> tf.Tensor:
  """Returns images whose channels (one, other) are rotated, absolute values.

  Args:
    images: [n, H, H, C] float32.
    one, other: channels; (x, y) becomes (c x + s y, c y - s x).
    angles: [n] float32, radians.
  """
  channels = tf.unstack(images, axis=3)
  cosine, sine = (f(angles)[:, None, None] for f in (tf.cos, tf.sin))
  x, y = channels[one], channels[other]
  channels[one] = tf.minimum(tf.abs(cosine * x + sine * y), 255.0)
  channels[other] = tf.minimum(tf.abs(cosine * y - sine * x), 255.0)
  return tf.stack(channels, axis=3)


def _choose(mixed: tf.Tensor, pairs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
  """Returns rows [b, ...], those of mixed pairs replaced.

  Args:
    mixed: [b / 2] bool.
    pairs: [b / 2, 2, ...] in place of rows.
    rows: [b, ...].
  """
  chosen = tf.reshape(tf.repeat(mixed, 2), [-1, *[1] * (rows.shape.rank - 1)])
  return tf.where(chosen, tf.reshape(pairs, rows.shape), rows)
