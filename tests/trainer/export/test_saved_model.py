"""saved_model: its signatures, and resizing as the converter does."""

import cv2
import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.images import resize
from hpa_records.images import load
from hpa_records.runtime.tensorflow import tf
from tests.support import fakes
from tests.trainer.export import test_onnx_file
from tests.trainer.network import test_plain
from trainer.export import onnx_file
from trainer.export import saved_model
from trainer.network import build
from trainer.network import plain

_CUTS = np.linspace(0.4, 0.6, 5)  # a threshold for each class


def _texture(height, width, channels, seed):
  """Noise at all scales, edges, and the extremes."""
  rng = np.random.default_rng(seed)
  found = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
  smooth = cv2.GaussianBlur(found, (0, 0), 3)
  found[height // 2:] = np.atleast_3d(smooth)[height // 2:]
  found[:4], found[:, :4] = 255, 0
  return found


@pytest.mark.parametrize('name', resize.RESIZE_FILTERS)
@pytest.mark.parametrize('height,width,size', [(512, 512, 299), (70, 64, 32),
                                               (64, 64, 32), (30, 50, 40),
                                               (20, 20, 33), (41, 41, 41)])
def test_resizing_is_the_converter_s_within_one_gray_level(
    name, height, width, size):
  how = description.default().how(size, name)
  image = _texture(height, width, 3, seed=size)
  wanted = resize.resize(image, size, name).astype(int)
  found = saved_model._resize(tf.constant(image), how).numpy()  # pylint: disable=protected-access
  assert found.dtype == np.uint8
  difference = np.abs(found - wanted)
  print(name, height, width, size, difference.max(), (difference > 0).mean())
  assert difference.max() <= 1
  assert (difference > 0).mean() < 0.2


def _encode(plane, ending):
  return cv2.imencode(ending, plane)[1].tobytes()


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """The network of three channels, its settings, and its SavedModel."""
  config, network = test_plain.make()
  how = fakes.describe(3).how(32)
  path = str(tmp_path_factory.mktemp('saved') / 'model')
  saved_model.write(path, [plain.build(network, False)], 'dihedral', _CUTS, how)
  return config, network, how, tf.saved_model.load(path)


@pytest.mark.parametrize('ending', ['.png', '.jpg'])
def test_files_give_what_the_converter_s_pixels_do(folder, tmp_path, ending):
  config, network, how, loaded = folder
  rows, pixels = [], []
  for seed in range(2):
    image = _texture(50, 40 + seed, 3, seed)
    rows.append([_encode(image[..., i], ending) for i in range(3)])
    paths = [str(tmp_path / f'{seed}_{i}{ending}') for i in range(3)]
    for path, data in zip(paths, rows[-1]):
      with open(path, 'wb') as file:
        file.write(data)
    pixels.append(load.load(paths, how))
  found = loaded.signatures['serving_default'](files=tf.constant(rows))
  same = loaded.signatures['pixels'](pixels=tf.constant(np.stack(pixels)))
  assert found['labels'].dtype == tf.int32
  np.testing.assert_allclose(found['probabilities'],
                             same['probabilities'],
                             atol=5e-3)
  views = [np.rot90(pixels, i, (1, 2)) for i in range(4)]
  views += [each[:, :, ::-1] for each in views]
  wanted = np.mean([
      build.find_probabilities(config, build.infer(network, each))
      for each in views
  ], 0)
  np.testing.assert_allclose(same['probabilities'], wanted, atol=1e-5)
  np.testing.assert_array_equal(same['labels'], same['probabilities'] > _CUTS)


@pytest.mark.parametrize('file,message', [
    (b'GIF89a' + b' ' * 50, 'Expected a PNG or JPEG'),
    (b'', 'Expected a PNG or JPEG'),
    (_encode(np.zeros((9, 9), np.uint16), '.png'), 'of other bits a sample'),
    (cv2.imencode(
        '.png', np.zeros((9, 9), np.uint8),
        (cv2.IMWRITE_PNG_BILEVEL, 1))[1].tobytes(), 'of other bits a sample'),
    (_encode(np.zeros((9, 9, 3), np.uint8), '.png'), 'received color'),
    (_encode(np.zeros((8, 9), np.uint8), '.png'), 'to have one size'),
])
def test_files_of_another_kind_are_refused(folder, file, message):
  good = _encode(np.zeros((9, 9), np.uint8), '.png')
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    folder[-1].signatures['serving_default'](
        files=tf.constant([[good, file, good]]))


def test_embed_gives_the_features_of_each_fold(folder):
  _, network, _, loaded = folder
  pixels = test_plain.images(network)
  found = loaded.signatures['embed'](pixels=tf.constant(pixels))
  assert found['averages'].shape == (2, 1, 224)
  assert found['hidden'].shape == (2, 1, 256)
  logits = network.get_layer('logits')
  np.testing.assert_allclose(found['hidden'][:, 0] @ logits.kernel +
                             logits.bias,
                             build.infer(network, pixels),
                             atol=1e-4)


def test_without_a_threshold_the_label_is_the_most_probable(tmp_path):
  _, network = test_plain.make()
  made = plain.build(network, True)
  path = str(tmp_path / 'model')
  how = fakes.describe(3).how(32)
  saved_model.write(path, [made], 'none', None, how)
  pixels = test_plain.images(network)
  found = tf.saved_model.load(path).signatures['pixels'](
      pixels=tf.constant(pixels))
  probabilities = found['probabilities'].numpy()
  np.testing.assert_allclose(probabilities, made(pixels), atol=1e-6)
  np.testing.assert_array_equal(
      found['labels'], probabilities == probabilities.max(1, keepdims=True))


def test_where_the_converter_does_more_the_default_takes_pixels(tmp_path):
  for change in ('images={pattern="{id}.tif", stacked="pages", axes="C"}',
                 'intensity.rule="percentiles"'):
    how = description.load('hpa2018', [change]).how(32)
    assert not saved_model.reads_files(how)
  config = test_plain.make()[0]
  pixels = {'mean': [9.0] * 4, 'std': [9.0] * 4}
  network = build.build(config, description.default().spec(32), pixels, False)
  path = str(tmp_path / 'model')
  saved_model.write(path, [plain.build(network, False)], False, 0.5, how)
  found = tf.saved_model.load(path).signatures['serving_default']
  assert list(found.structured_input_signature[1]) == ['pixels']


def test_maxima_over_symmetries_are_of_each_network_in_all_graphs(tmp_path):
  config, network = test_plain.make()
  _, other = test_plain.make(seed=1)
  pixels = test_plain.images(network)
  wanted = [
      np.max([
          build.find_probabilities(config, build.infer(each, view))
          for view in test_onnx_file.turn(pixels)
      ], 0)
      for each in (network, other)
  ]
  assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
  networks = [plain.build(each, False) for each in (network, other)]
  path = str(tmp_path / 'model')
  saved_model.write(path, networks, 'dihedral_max', 0.5,
                    fakes.describe(3).how(32))
  found = tf.saved_model.load(path).signatures['pixels'](
      pixels=tf.constant(pixels))
  np.testing.assert_allclose(found['probabilities'],
                             np.mean(wanted, 0),
                             atol=1e-5)
  for is_apart, want in ((False, np.mean(wanted,
                                         0)), (True, np.concatenate(wanted,
                                                                    1))):
    data = onnx_file.convert(networks, 'dihedral_max', {}, is_apart=is_apart)
    found = test_onnx_file.run(data, pixels)
    np.testing.assert_allclose(found['probabilities'], want, atol=1e-5)
