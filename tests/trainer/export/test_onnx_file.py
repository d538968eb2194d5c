"""onnx_file: one ONNX model, run by onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from tests.trainer.network import test_plain
from trainer import config as config_lib
from trainer.export import onnx_file
from trainer.network import activation_map
from trainer.network import build
from trainer.network import plain


def run(data, pixels):
  session = onnxruntime.InferenceSession(data)
  names = [each.name for each in session.get_outputs()]
  return dict(zip(names, session.run(names, {onnx_file.PIXELS: pixels})))


def turn(pixels):
  """The eight symmetries of images, by NumPy."""
  turned = [np.rot90(pixels, i, (1, 2)) for i in range(4)]
  return turned + [each[:, :, ::-1] for each in turned]


def _check(settings, tta='none', tolerance=1e-3):
  config, network = test_plain.make(**settings)
  made = plain.build(network, config.is_single_label)
  data = onnx_file.convert([made], tta, {'a': 'b'}, map_of=0)
  for count in (1, 3):
    pixels = test_plain.images(network, count)
    views = [pixels] if tta == 'none' else turn(pixels)
    wanted = np.mean([
        build.find_probabilities(config, build.infer(network, each))
        for each in views
    ], 0)
    found = run(data, pixels)
    np.testing.assert_allclose(found['probabilities'], wanted, atol=1e-5)
    classes = np.arange(count)
    maps = activation_map.compute(network, pixels, classes)
    assert len(found) == 1 + len(maps)
    for i, each in enumerate(maps, 1):
      shown = found[f'map{i}'][classes, classes]
      np.testing.assert_allclose(shown, each, rtol=tolerance, atol=1e-5)
  parsed = onnx.load_from_string(data)
  onnx.checker.check_model(parsed, full_check=True)
  operations = {each.op_type for each in parsed.graph.node}
  assert 'Conv' in operations and not operations & {'If', 'Loop', 'Scan'}
  if config.activation == 'prelu':
    assert 'PRelu' in operations
  assert {each.domain for each in parsed.graph.node} == {''}
  opsets = {each.domain: each.version for each in parsed.opset_import}
  assert opsets[''] == onnx_file.OPSET
  assert {each.key: each.value for each in parsed.metadata_props}['a'] == 'b'


def test_more_weights_than_a_file_holds_are_refused():
  network = keras.Sequential([keras.Input([1000]), keras.layers.Dense(1000)])
  onnx_file.check_size(500 * [network])
  with pytest.raises(errors.DataError, match='are 2.16 GB of the 2.13 GB that'):
    onnx_file.check_size(540 * [network])


@pytest.mark.parametrize('activation', config_lib.ACTIVATIONS)
def test_onnx_gives_the_numbers_and_maps_of_the_network(activation):
  _check({'activation': activation},
         'dihedral' if activation == 'prelu' else 'none')


@pytest.mark.parametrize('settings', [{
    'variant': 'kaggle'
}, {
    'input_scaling': 'image',
    'loss': 'softmax'
}],
                         ids=str)
def test_other_networks_too(settings):
  _check(settings)


@pytest.mark.parametrize('model', [
    'mil', *(pytest.param(each, marks=pytest.mark.soak)
             for each in config_lib.MODELS
             if each not in ('gapnet_pl', 'mil'))
])
def test_the_other_networks(model):
  # Norms of random deep networks amplify the rounding.
  _check({'model': model}, tolerance=2e-2)


def test_several_networks_give_their_mean():
  _, one = test_plain.make(activation='relu')
  _, other = test_plain.make(activation='elu')
  networks = [plain.build(each, False) for each in (one, other)]
  pixels = test_plain.images(one)
  both = run(onnx_file.convert(networks, 'dihedral', {}), pixels)
  parts = [
      run(onnx_file.convert([each], 'dihedral', {}), pixels)['probabilities']
      for each in networks
  ]
  assert np.abs(parts[0] - parts[1]).max() > 1e-3
  np.testing.assert_allclose(both['probabilities'],
                             np.mean(parts, 0),
                             atol=1e-6)
  assert list(both) == ['probabilities']
