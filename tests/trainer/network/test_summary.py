"""summary: the layers of real models, as plain data."""

import json

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import keras
from tests.support import networks
from tests.support import specs
from trainer.network import applications
from trainer.network import gapnet
from trainer.network import summary


@pytest.mark.parametrize('variant,activation,parameters',
                         [('original', 'prelu', 631_260),
                          ('original', 'selu', 630_076),
                          ('kaggle', 'relu', 595_468)])
@pytest.mark.parametrize('fast', [True, False])
def test_gapnet_is_told_to_the_parameter(variant, activation, parameters, fast):
  model = gapnet.build(specs.make(299),
                       variant,
                       activation,
                       fast=fast,
                       **networks.CONSTANTS)
  found = summary.summarise(model)
  assert found['parameters'] == parameters
  assert sum(layer['parameters'] for layer in found['layers']) == parameters
  assert json.loads(json.dumps(found)) == found
  layers = {layer['name']: layer for layer in found['layers']}
  assert not [name for name in layers if name.startswith('noise')]
  assert layers['averages']['inputs'] == ['average1', 'average2', 'average3']
  assert layers['averages']['kind'] == 'Concatenate'
  assert layers['averages']['shape'] == [224]
  assert layers['image'] == {
      'name': 'image',
      'kind': 'InputLayer',
      'shape': [299, 299, 4],
      'parameters': 0,
      'inputs': []
  }
  assert layers['dropout1']['inputs'] == [
      f'hidden1_{activation}' if variant == 'original' else 'pool1'
  ]


@pytest.mark.parametrize('name', ['densenet121', 'resnet50', 'xception'])
def test_applications_are_told_in_topological_order(name):
  model = applications.build(name, specs.make(96), **networks.CONSTANTS)
  found = summary.summarise(model)
  assert found['parameters'] == model.count_params() == sum(
      layer['parameters'] for layer in found['layers'])
  assert [layer['name'] for layer in found['layers']
         ] == [layer.name for layer in model.layers]
  before = set()
  for layer in found['layers']:
    assert set(layer['inputs']) <= before
    before.add(layer['name'])
    shape = model.get_layer(layer['name']).output.shape
    assert layer['shape'] == list(shape[1:])
  used = {each for layer in found['layers'] for each in layer['inputs']}
  assert before - used == {'logits'}


def test_open_sizes_and_plain_operations_are_told_too():
  image = keras.Input((None, None, 3), name='image')
  maps = keras.layers.Conv2D(4, 1, name='conv')(image)
  total = keras.ops.add(maps, maps)
  model = keras.Model(image, keras.layers.GlobalMaxPooling2D(name='top')(total))
  conv, add, top = summary.summarise(model)['layers'][1:]
  assert conv['shape'] == [None, None, 4] and conv['parameters'] == 16
  assert add['kind'] == 'Add' and add['inputs'] == ['conv', 'conv']
  assert top['inputs'] == [add['name']] and add['parameters'] == 0
  assert np.prod(top['shape']) == 4
