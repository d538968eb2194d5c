"""Uniform noise for dropout: rows of that for a whole batch."""

import math

from hpa_records.runtime.tensorflow import tf

_PHILOX = 1  # tf.random.Algorithm.PHILOX, of the raw operations
_SCRAMBLE_KEY = 0x02461e293ec8f720


def draw(seed: tf.Tensor, first: tf.Tensor, shape: tuple[int,
                                                         ...]) -> tf.Tensor:
  """Returns rows of the uniform noise of a global batch, float32 in [0, 1).

  They are the rows from `first` on of tf.random.stateless_uniform(alg='philox')
  for the batch, as XLA compiles it; only they are drawn.

  Args:
    seed: [2] int32 or int64.
    first: int32 scalar, the first row.
    shape: of the rows, [b, ...].
  """
  width = math.prod(shape[1:])
  key, counter = _scramble(seed)
  # Each count gives four numbers.
  start = tf.cast(first, tf.uint64) * tf.constant(width, tf.uint64)
  counter = tf.stack([counter[0] + start // 4, counter[1]])
  spare = 3 if width % 4 else 0
  drawn = tf.raw_ops.StatelessRandomUniformV2(shape=[shape[0] * width + spare],
                                              key=key,
                                              counter=counter,
                                              alg=_PHILOX)
  if spare:
    drawn = tf.slice(drawn, [tf.cast(start % 4, tf.int32)], [shape[0] * width])
  return tf.reshape(drawn, shape)


def _scramble(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns key [1] and counter [2], uint64, of a seed [2].

  Source: TensorFlow's tf.random, which has no public call for it
  (core/kernels/stateless_random_ops.cc).
  """
  mix = tf.raw_ops.StatelessRandomUniformFullIntV2(
      shape=[4],
      key=tf.constant([_SCRAMBLE_KEY], tf.uint64),
      counter=tf.cast(seed, tf.uint64),
      dtype=tf.uint32,
      alg=_PHILOX)
  low, high = tf.unstack(tf.cast(tf.reshape(mix, (2, 2)), tf.uint64), axis=1)
  words = tf.bitwise.bitwise_or(
      low, tf.bitwise.left_shift(high, tf.constant(32, tf.uint64)))
  return words[:1], tf.stack([tf.constant(0, tf.uint64), words[1]])
