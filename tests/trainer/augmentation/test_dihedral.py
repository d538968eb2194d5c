"""Tests of trainer.augmentation.dihedral."""

import numpy as np
import pytest

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer.augmentation import dihedral

_MODES = {
    'eager': dihedral.transform,
    'function': tf.function(dihedral.transform),
    'xla': tensorflow.compiled(dihedral.transform),
}


def _coded_images(count, size, channels=4):
  """Pixels that tell where they come from: y, x, image, all and the channel."""
  image, y, x = np.indices((count, size, size))
  planes = [y, x, image]
  planes += [37 * y + 101 * x + 7 * image + 53 * c for c in range(channels)]
  return np.stack(planes[-channels:], axis=-1).astype(np.uint8)


def _reference(image, element):
  turned = np.rot90(image, element % 4)
  return np.fliplr(turned) if element >= 4 else turned


@pytest.mark.parametrize('mode', _MODES)
@pytest.mark.parametrize('size, channels',
                         [(size, 4) for size in (1, 2, 5, 12)] +
                         [(5, channels) for channels in (1, 2, 3, 5, 6, 8, 16)])
def test_all_eight_bit_for_bit(mode, size, channels):
  images = _coded_images(8, size, channels)
  elements = np.array([3, 6, 0, 5, 7, 1, 4, 2], np.int32)
  result = _MODES[mode](tf.constant(images), tf.constant(elements)).numpy()
  expected = [_reference(*pair) for pair in zip(images, elements)]
  assert result.dtype == np.uint8
  np.testing.assert_array_equal(result, expected)


def test_quarter_turn_is_counterclockwise():
  image = np.zeros((1, 3, 3, 4), np.uint8)
  image[0, 0, 2] = 1, 2, 3, 4  # top right
  result = dihedral.transform(tf.constant(image), tf.constant([1])).numpy()
  assert result[0, 0, 0].tolist() == [1, 2, 3, 4]  # top left
  assert result.sum() == 10


def test_all_eight_differ():
  images = tf.constant(np.repeat(_coded_images(1, 5), 8, axis=0))
  result = dihedral.transform(images, tf.range(8)).numpy()
  assert len({image.tobytes() for image in result}) == 8


def test_every_byte_value_survives():
  images = np.arange(256, dtype=np.uint8).reshape(1, 8, 8, 4)
  result = dihedral.transform(tf.constant(images), tf.constant([6])).numpy()
  np.testing.assert_array_equal(result[0], _reference(images[0], 6))


@pytest.mark.parametrize('channels', [3, 4])
def test_batch_size_may_be_unknown(channels):
  image_spec = tf.TensorSpec([None, 5, 5, channels], tf.uint8)
  element_spec = tf.TensorSpec([None], tf.int32)
  function = tf.function(dihedral.transform, [image_spec, element_spec])
  images = _coded_images(3, 5, channels)
  result = function(images, np.array([0, 0, 2], np.int32)).numpy()
  np.testing.assert_array_equal(result[2], np.rot90(images[2], 2))


@pytest.mark.parametrize('images', [
    np.zeros((2, 5, 4, 4), np.uint8),
    np.zeros((5, 5, 4), np.uint8),
    np.zeros((2, 5, 5, 4), np.int8),
])
def test_wrong_images_are_refused(images):
  with pytest.raises(ValueError, match='Expected square images .* received'):
    dihedral.transform(tf.constant(images), tf.constant([0, 0]))


def test_the_papers_six_are_four_turns_and_two_flips():
  image = _coded_images(1, 5)[0]
  wanted = [np.rot90(image, k) for k in range(4)]
  wanted += [image[:, ::-1], image[::-1]]
  elements = tf.constant(epoch_plan.PAPER_ELEMENTS)
  result = dihedral.transform(tf.constant(np.stack([image] * 6)), elements)
  np.testing.assert_array_equal(result, np.stack(wanted))


def test_a_step_that_is_not_compiled_may_hold_it():
  images = _coded_images(8, 7)
  outer = tf.function(lambda x, e: dihedral.transform(x, e) + 1)
  result = outer(tf.constant(images), tf.range(8)).numpy()
  want = [_reference(image, e) + 1 for e, image in enumerate(images)]
  np.testing.assert_array_equal(result, np.stack(want))
