"""imagenet: Keras's own weights in a network of C channels."""

import zipfile

import h5py
import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from tests.support import specs
from trainer.network import applications
from trainer.network import build
from trainer.start import imagenet
from trainer.start import transfer

_STD = 255 * np.array([0.229, 0.224, 0.225])
# What each network subtracts from red, green and blue, 0..255.
_MEAN = 255 * np.array([0.485, 0.456, 0.406])
_MEANS = {
    'densenet121': _MEAN,
    'resnet50': [123.68, 116.779, 103.939],
    'xception': [127.5] * 3,
    'efficientnetv2_s': [128.0] * 3,
    'convnext_tiny': _MEAN,
}
_PREPROCESS = {
    'densenet121': keras.applications.densenet.preprocess_input,
    'resnet50': keras.applications.resnet.preprocess_input,
    'xception': keras.applications.xception.preprocess_input,
    'efficientnetv2_s': lambda pixels: pixels / 128 - 1,
    'convnext_tiny': lambda pixels: (pixels - _MEAN) / _STD,
}


def _make(name, **options):
  """Keras's network, with other weights than fresh ones."""
  keras.utils.set_random_seed(1)
  body = applications.BUILDERS[name](weights=None, **options)
  rng = np.random.default_rng(1)
  for variable in body.variables:
    if variable.name in ('gamma', 'moving_variance', 'variable'):
      variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    elif variable.name in ('beta', 'bias', 'moving_mean'):
      variable.assign(rng.normal(0, 0.1, variable.shape))
  return body


@pytest.mark.parametrize('name', [
    'convnext_tiny',
    'resnet50',
    pytest.param('efficientnetv2_s', marks=pytest.mark.soak),
    pytest.param('densenet121', marks=pytest.mark.soak),
    pytest.param('xception', marks=pytest.mark.soak),
])
def test_an_image_of_three_channels_has_the_features_of_keras_s_network(
    name, tmp_path):
  body = _make(name, include_top=False, pooling='avg')
  path = str(tmp_path / 'keras.weights.h5')
  body.save_weights(path)
  size = applications.SMALLEST_PX[name]
  model = applications.build(name,
                             specs.make(size, 3),
                             mean=_MEANS[name],
                             std=_STD)
  found = transfer.copy(model, imagenet.load(name, 3, path), path)
  assert found['fresh'] == ['logits (not in the source)']
  assert not found['unused']
  pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3),
                                             np.uint8)
  expected = body(_PREPROCESS[name](pixels.astype(np.float32)), training=False)
  features = keras.Model(model.inputs, model.layers[-2].output)
  values = build.infer(features, pixels)
  assert np.ptp(expected) > 0.1
  np.testing.assert_allclose(values,
                             expected,
                             rtol=0,
                             atol=2e-3 * np.abs(expected).max())


@pytest.mark.soak
def test_the_winner_s_network_takes_the_body_and_starts_its_head_fresh(
    tmp_path):
  path = str(tmp_path / 'keras.weights.h5')
  _make('densenet121', include_top=False).save_weights(path)
  name = 'densenet121_bestfitting'
  model = applications.build(name, specs.make(32, 3), mean=_MEAN, std=_STD)
  found = transfer.copy(model, imagenet.load(name, 3, path), path)
  assert [each.partition(' ')[0] for each in found['fresh']
         ] == ['pooled_norm', 'dense', 'dense_norm', 'logits']
  assert not found['unused']


@pytest.mark.parametrize('num_channels', [1, 2, 3, 4, 5, 16])
def test_channels_that_are_equal_give_the_same_activations(num_channels):
  kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8))
  found = imagenet.spread(kernel, num_channels)
  assert found.shape == (3, 3, num_channels, 8)
  np.testing.assert_allclose(found.sum(2), kernel.sum(2))
  if num_channels == 3:
    np.testing.assert_allclose(found, kernel)
  if num_channels == 4:  # 3/4 of a colour each
    np.testing.assert_allclose(found[:, :, 1],
                               kernel[:, :, 0] / 4 + kernel[:, :, 1] / 2)


def test_a_file_with_the_head_of_an_earlier_format(tmp_path):
  whole = _make('convnext_tiny', include_top=True)
  path = str(tmp_path / 'keras.h5')
  whole.save(path)
  found = imagenet.load('convnext_tiny', 5, path)
  stem, bias = found['convnext_tiny_stem_conv']
  kernel, expected_bias = whole.get_layer(
      'convnext_tiny_stem').get_weights()[:2]
  assert stem.shape == (4, 4, 5, 96)
  np.testing.assert_allclose(stem.sum(2), kernel.sum(2), atol=1e-5)
  np.testing.assert_array_equal(bias, expected_bias)
  np.testing.assert_array_equal(
      found['layer_normalization_1'][0],
      whole.get_layer('convnext_tiny_head_layernorm').gamma)


def test_other_files_are_refused_in_one_line(tmp_path):
  text, other = tmp_path / 'text.h5', tmp_path / 'other.weights.h5'
  text.write_text('weights')
  inputs = keras.Input((4,))
  keras.Model(inputs, keras.layers.Dense(2)(inputs)).save_weights(str(other))
  for path in (tmp_path / 'missing.h5', text, other, tmp_path):
    with pytest.raises(errors.DataError, match='--weights_file=') as caught:
      imagenet.load('convnext_tiny', 4, str(path))
    assert '\n' not in str(caught.value)


def test_arrays_that_keras_does_not_write_are_refused_by_name(tmp_path):
  path = str(tmp_path / 'a.weights.h5')
  with h5py.File(path, 'w') as file:
    file.create_dataset('layers/a/vars/0', (1,),
                        'f4',
                        maxshape=(None,),
                        chunks=(2**24,),
                        compression='gzip')[0] = 1
  with pytest.raises(errors.DataError, match='its arrays are in chunks'):
    imagenet.load('convnext_tiny', 4, path)


def test_an_array_that_a_layer_names_often_is_refused_by_name(tmp_path):
  path = str(tmp_path / 'a.h5')
  with h5py.File(path, 'w') as file:
    file['layer/a'] = np.zeros(2**16, 'f4')
    file['layer'].attrs['weight_names'] = [b'a'] * 100
    file.attrs['layer_names'] = [b'layer']
  with pytest.raises(errors.DataError, match='a layer names more arrays'):
    imagenet.load('convnext_tiny', 4, path)


def test_a_file_that_keras_takes_for_an_archive_is_refused(tmp_path):
  path = str(tmp_path / 'a.keras')
  with h5py.File(path, 'w') as file:
    file['0'] = np.zeros(4)
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr('model.weights.h5', b'')
  with pytest.raises(errors.DataError, match=r'no HDF5 file \(\.h5'):
    imagenet.load('convnext_tiny', 4, path)


def test_a_download_that_fails_names_the_flag(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  for name in ('http_proxy', 'https_proxy'):
    monkeypatch.setenv(name, 'http://127.0.0.1:9')
  with pytest.raises(errors.DataError,
                     match='Cannot download the weights of '
                     r'resnet50 \(URL fetch failure on https://.*pass .* '
                     '--weights_file') as caught:
    imagenet.load('resnet50', 4, '')
  assert '\n' not in str(caught.value)
  assert (tmp_path / '.keras' / 'models').is_dir()
