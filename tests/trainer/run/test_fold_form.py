"""fold_form: real networks pass, and those that no drawing could hold do not.
"""

import pytest

from tests.support import networks
from trainer.run import fold_form


def _network(*inputs, kinds=('Conv2D', 'Dense')):
  """A network of layers that are fed by those at these positions."""
  return {
      'parameters':
          0,
      'layers': [{
          'name': f'layer{i}',
          'kind': kinds[i % len(kinds)],
          'shape': [4, 4, 8],
          'parameters': 0,
          'inputs': [f'layer{j}' for j in fed]
      } for i, fed in enumerate(inputs)]
  }


def _chain(length):
  return [[], *([i] for i in range(length - 1))]


@pytest.mark.parametrize('name', networks.GAPNETS + networks.APPLICATIONS)
def test_a_real_network_is_taken(name):
  fold_form.check_network(networks.summarise(name))


@pytest.mark.parametrize(
    'network',
    [
        _network(*_chain(3), *([i, i - 1] for i in range(2, 79))),
        _network(*map(range, range(80))),  # one block
    ])
def test_the_largest_drawing_is_taken(network):
  fold_form.check_network(network)


@pytest.mark.parametrize('network,message', [
    (_network(*(range(max(i - 4, 0), i) for i in range(80))),
     'connections: .* 160, received 310'),
    (_network(*_chain(600)), 'blocks: .* 80, received 600'),
    (_network(*_chain(600), kinds=['Activation']), 'letters of kinds: .* 4000'),
    (_network(*_chain(601)), 'layers: .* 600, received 601'),
])
def test_a_network_that_no_drawing_holds_is_refused(network, message):
  with pytest.raises(ValueError, match=message):
    fold_form.check_network(network)
