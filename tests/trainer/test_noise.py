"""noise: each replica draws its own rows."""

import numpy as np
import pytest

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer import noise


@pytest.mark.parametrize('shape', [(256,), (7, 5), (3,)])
@pytest.mark.parametrize(
    'seed', [[3, 4], [-5, 0], [2**31 - 1, -2**31], [-2**63, 2**40]])
def test_noise_of_a_part_is_that_of_the_whole(shape, seed):
  seed = tf.constant(seed)
  whole = tensorflow.compiled(lambda: tf.random.stateless_uniform(
      (16, *shape), seed, alg='philox'))()
  for first, count in ((0, 16), (4, 4), (5, 3)):
    part = tensorflow.compiled(noise.draw)(seed, tf.constant(first),
                                           (count, *shape))
    np.testing.assert_array_equal(part, whole[first:first + count])
