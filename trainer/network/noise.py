"""Uniform noise for dropout: rows of that for a whole batch."""

import math

from hpa_records.runtime.tensorflow import tf

_PHILOX = 1  # tf.random.Algorithm.PHILOX, of the raw operations


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
  key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
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
