"""block: every layer in one block, and the blocks that a reader knows.
"""

import hypothesis
from hypothesis import strategies as st
import pytest

from tests.support import networks
from trainer.network import block as block_lib

_KINDS = ('Conv2D', 'BatchNormalization', 'Activation', 'ZeroPadding2D',
          'Dropout', 'MaxPooling2D', 'Dense')


def _group(name):
  return block_lib.group(networks.summarise(name)['layers'])


def test_gapnet_has_a_block_a_layer_with_its_padding_and_activation():
  blocks = {block.name: block for block in _group('original')}
  assert list(blocks) == [
      'image', 'scaling', 'conv1', 'pool1', 'conv2', 'conv3', 'conv4', 'conv5',
      'pool2', 'conv6', 'conv7', 'conv8', 'average1', 'average2', 'average3',
      'averages', 'hidden1', 'hidden2', 'logits'
  ]
  assert blocks['conv1'] == block_lib.Block(
      'conv1', 'ZeroPadding2D, Conv2D, ChannelPReLU', 'Conv2D', (150, 150, 32),
      1184 + 32, (1,))
  assert blocks['averages'].inputs == (12, 13, 14)
  assert [blocks[f'average{i}'].inputs for i in (1, 2, 3)] == [(3,), (8,),
                                                               (11,)]
  assert blocks['hidden2'].details == 'Dense, ChannelPReLU, NoisyDropout'


def test_a_norm_goes_with_what_it_prepares():
  blocks = {block.name: block for block in _group('kaggle')}
  assert blocks['conv3'].details == 'BatchNormalization, Conv2D, ChannelPReLU'
  assert blocks['pool1'].details == (
      'BatchNormalization, MaxPooling2D, NoisyDropout')
  assert blocks['scaling'].details == 'Rescaling'


def test_a_norm_goes_with_the_convolution_before_it():
  blocks = {block.name: block for block in _group('resnet50')}
  assert blocks['conv1_conv'].details == (
      'ZeroPadding2D, Conv2D, BatchNormalization, ReLU')


def test_a_layer_whose_input_goes_on_elsewhere_stands_by_itself():
  kinds = {'image': 'InputLayer', 'conv': 'Conv2D', 'act': 'Activation'}
  fed = {
      'image': [],
      'conv': ['image'],
      'act': ['conv'],
      'sum': ['conv', 'act']
  }
  blocks = block_lib.group([{
      'name': name,
      'kind': kinds.get(name, 'Add'),
      'shape': [4],
      'parameters': 0,
      'inputs': inputs
  } for name, inputs in fed.items()])
  assert [block.name for block in blocks] == list(fed)


@pytest.mark.parametrize('name,want', [
    ('densenet121', {
        '6 × conv2_block': (75, 75, 256),
        '12 × conv3_block': (37, 37, 512),
        '24 × conv4_block': (18, 18, 1024),
        '16 × conv5_block': (9, 9, 1024)
    }),
    ('resnet50', {
        '2 × conv2_block': (75, 75, 256),
        '3 × conv3_block': (38, 38, 512),
        '5 × conv4_block': (19, 19, 1024),
        '2 × conv5_block': (10, 10, 2048)
    }),
    ('xception', {
        '8 × block5_sepconv1_act … add_11': (19, 19, 728),
        '2 × block14_sepconv': (10, 10, 2048)
    }),
])
def test_what_repeats_is_one_block(name, want):
  blocks = _group(name)
  assert {
      block.name: block.shape for block in blocks if '×' in block.name
  } == want
  assert len(blocks) < 20
  for block in blocks:
    if block.name in want:
      assert block.details.startswith('each: ')


@pytest.mark.parametrize('name', networks.GAPNETS + networks.APPLICATIONS)
def test_blocks_of_real_networks_have_all_parameters_and_one_end(name):
  blocks = _group(name)
  assert sum(block.parameters
             for block in blocks) == networks.summarise(name)['parameters']
  used = {i for block in blocks for i in block.inputs}
  assert used == set(range(len(blocks) - 1))


@st.composite
def _networks(draw, sizes):
  """Layers of any graph; a layer's parameters are a bit of its own."""
  layers = []
  for i in range(draw(sizes)):
    fed = draw(
        st.lists(st.integers(max(0, i - 4), i - 1),
                 min_size=1,
                 max_size=2,
                 unique=True)) if i else []
    kind = draw(st.sampled_from(_KINDS)) if len(fed) == 1 else 'Add'
    layers.append({
        'name': f'layer{i}',
        'kind': kind if i else 'InputLayer',
        'shape': [8 >> (i // 30), 8 >> (i // 30), i],
        'parameters': 1 << i,
        'inputs': [f'layer{j}' for j in fed]
    })
  return layers


@hypothesis.settings(deadline=None,
                     derandomize=True,
                     max_examples=60,
                     suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    st.one_of(_networks(st.integers(1, 20)), _networks(st.integers(81, 100))))
def test_each_layer_is_in_one_block_and_each_connection_is_kept(layers):
  blocks = block_lib.group(layers)
  whole = (1 << len(layers)) - 1
  assert sum(block.parameters for block in blocks) == whole
  owners = {}
  for i, block in enumerate(blocks):
    assert all(j < i for j in block.inputs)
    for layer in layers:
      if block.parameters & layer['parameters']:
        assert owners.setdefault(layer['name'], i) == i
  connections = {(owners[name], owners[layer['name']])
                 for layer in layers
                 for name in layer['inputs']}
  assert {(j, i) for i, block in enumerate(blocks) for j in block.inputs
         } == {(a, b) for a, b in connections if a != b}


def test_no_layers_are_no_blocks():
  assert not block_lib.group([])
