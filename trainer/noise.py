"""Random numbers of a step: rows of those for the whole global batch.

They are a function of (seed, epoch, step), a stream and the slot in the batch.
So one device and eight draw the same, and a resumed run goes on with the same.
Call these functions compiled: XLA's Philox gives other numbers than
TensorFlow's own.
"""

import math

from hpa_records.runtime.tensorflow import tf

# Streams are told apart by numbers; dropout layers have those below.
FIRST_OF_AUGMENTATION = 2**16
OF_LABELS = 2**17

_PHILOX = 1  # tf.random.Algorithm.PHILOX, of the raw operations
_SCRAMBLE_KEY = 0x02461e293ec8f720


def make_key(seed: int, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
  """Returns the key of a step, [2] int32 or int64.

  Args:
    seed: of the run.
    epoch: int64 scalar.
    step: int64 scalar, of the epoch.
  """
  # An int64 seed gives other numbers; a seed that fits int32 stays int32.
  first = tf.constant(seed, tf.int32 if seed < 2**31 else tf.int64)
  return fold(tf.stack([first, tf.cast(epoch, first.dtype)]),
              tf.cast(step, tf.int32))


def fold(key: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
  """Returns the key of a stream, which differs for each number.

  Args:
    key: [2] int32 or int64.
    number: int32.
  """
  return tf.random.experimental.stateless_fold_in(key, number)


def draw(key: tf.Tensor, first: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
  """Returns rows of the uniform noise of a global batch, float32 in [0, 1).

  They are the rows from `first` on of tf.random.stateless_uniform(alg='philox')
  for the batch, as XLA compiles it; only they are drawn.

  Args:
    key: [2] int32 or int64.
    first: int32 scalar, the first row.
    shape: of the rows, [b, ...].
  """
  width = math.prod(shape[1:])
  key, counter = _scramble(key)
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


def hash_words(starts: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
  """Returns random bits for each pixel of an image, [b, ...] uint32.

  Philox takes as long as half of a train step for so many.

  Args:
    starts: [b, 2] float32 in [0, 1), of draw.
    shape: of the result.

  Source: SplitMix of Steele et al., "Fast Splittable Pseudorandom Number
    Generators", 2014, in 32 bits: its increment, and the finalizer of
    MurmurHash3.
  """
  high, low = tf.unstack(tf.cast(starts * 2**16, tf.uint32), axis=1)
  count = math.prod(shape[1:])
  words = tf.cast(tf.range(count), tf.uint32)[None, :] * 0x9e3779b9
  words += (high * 2**16 + low)[:, None]
  for bits, factor in ((16, 0x85ebca6b), (13, 0xc2b2ae35)):
    words = (words ^ tf.bitwise.right_shift(words, bits)) * factor
  return tf.reshape(words ^ tf.bitwise.right_shift(words, 16), shape)


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
