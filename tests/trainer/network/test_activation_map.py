"""activation_map: where a network looked."""

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from tests.support import specs
from trainer.network import activation_map
from trainer.network import applications
from trainer.network import build
from trainer.network import gapnet

_CONSTANTS = {'mean': [20.0] * 4, 'std': [30.0] * 4}


def _images(count, size_px, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, size_px, size_px, 4), np.uint8)


def _linear():
  """Pixels averaged, then one weight a channel and class."""
  image = keras.Input((8, 8, 4), dtype='uint8')
  scaled = keras.layers.Rescaling(1 / 255, dtype='float32')(image)
  means = keras.layers.GlobalAveragePooling2D()(scaled)
  return keras.Model([image], keras.layers.Dense(28)(means))


def test_of_a_linear_network_it_is_weights_times_features():
  model, images = _linear(), _images(3, 8)
  classes = np.array([5, 0, 27])
  [found] = activation_map.compute(model, images, classes)
  weights = model.layers[-1].kernel.numpy()[:, classes]
  expected = np.einsum('nhwc,cn->nhw', images / 255, weights)
  np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-6)


def test_a_spot_is_found_where_it_is():
  model = _linear()
  kernel = np.zeros((4, 28), np.float32)
  kernel[1, 7] = 1  # class 7 is a green spot
  model.layers[-1].kernel.assign(kernel)
  images = _images(20, 8) // 4
  places = np.arange(20) % 8, np.arange(20) // 8
  images[np.arange(20), places[0], places[1], 1] = 255
  [found] = activation_map.compute(model, images, np.full(20, 7))
  peaks = found.reshape(20, -1).argmax(axis=1)
  assert peaks.tolist() == (8 * places[0] + places[1]).tolist()


@pytest.mark.parametrize('variant, sizes', [('original', (50, 13, 13)),
                                            ('kaggle', (49, 10, 4))])
def test_gapnet_has_three(variant, sizes):
  model = gapnet.build(specs.make(200), variant, 'prelu', **_CONSTANTS)
  images = _images(2, 200)
  found = activation_map.compute(model, images, np.array([3, 4]))
  assert [each.shape for each in found] == [(2, size, size) for size in sizes]
  other = activation_map.compute(model, images, np.array([4, 4]))
  for each, same in zip(found, other):
    assert each.min() >= 0 and each.std() > 0
    np.testing.assert_allclose(each[1], same[1], rtol=1e-4, atol=1e-7)
    assert not np.allclose(each[0], same[0])


def test_gapnet_maps_add_up_to_what_the_averages_change():
  model = gapnet.build(specs.make(32), 'original', 'selu', **_CONSTANTS)
  image = _images(1, 32)
  body = keras.Model(model.inputs, model.get_layer('averages').output)
  head = keras.Model([body.output, *model.inputs[1:]], model.output)
  means = build.infer(body, image).numpy()
  step = 1e-3 * means  # the derivative along the averages themselves
  change = (build.infer(head, means + step) -
            build.infer(head, means - step)).numpy()[0, 9] / 2e-3
  maps = activation_map.compute(model, image, np.array([9]))
  gains = sum(float(each.mean()) for each in maps)
  negative = activation_map.compute(_negated(model), image, np.array([9]))
  losses = sum(float(each.mean()) for each in negative)
  assert gains - losses == pytest.approx(change, rel=2e-2, abs=1e-4)


def _negated(model):
  """The same network with all logits' signs changed."""
  other = gapnet.build(specs.make(32), 'original', 'selu', **_CONSTANTS)
  other.set_weights(model.get_weights())
  logits = other.get_layer('logits')
  logits.kernel.assign(-logits.kernel)
  return other


def test_maps_are_those_of_any_channels_and_classes():
  model = gapnet.build(specs.make(32, 6, 40), mean=[20] * 6, std=[30] * 6)
  images = np.zeros((2, 32, 32, 6), np.uint8)
  found = activation_map.compute(model, images, np.array([39, 0]))
  assert [len(each) for each in found] == [2] * 3


def test_other_networks_have_one():
  model = applications.build('resnet50', specs.make(32), **_CONSTANTS)
  found = activation_map.compute(model, _images(2, 32), np.array([0, 1]))
  assert [each.shape for each in found] == [(2, 1, 1)]


def test_of_a_network_in_bfloat16_it_is_close_to_that_in_float32():
  found = []
  for precision in ('float32', 'bfloat16'):
    model = applications.build('resnet50',
                               specs.make(32),
                               **_CONSTANTS,
                               precision=precision)
    found.append(
        activation_map.compute(model, _images(2, 32), np.array([3, 4]))[0])
  scale = found[0].max()
  assert scale > 0
  np.testing.assert_allclose(found[1], found[0], atol=0.1 * scale)
