"""network: each block, and each connection between the right two."""

from matplotlib import patches
import numpy as np
import pytest

from hpa_records.inspection import figure
from tests.support import figure_text
from tests.support import networks
from trainer.network import block as block_lib
from trainer.report.figures import network as network_lib


def _layer(name, *inputs, kind='Conv2D', shape=(4, 4, 8), parameters=10):
  return {
      'name': name,
      'kind': kind,
      'shape': list(shape),
      'parameters': parameters,
      'inputs': list(inputs)
  }


# Two sums in a row that skip a layer, the second over a layer of its own, and a
# branch of two layers.
_RESIDUAL = [
    _layer('image', kind='InputLayer', parameters=0, shape=(None, None, 4)),
    _layer('a', 'image'),
    _layer('b', 'a'),
    _layer('c', 'b', 'a', kind='Add', parameters=0),
    _layer('d', 'c'),
    _layer('e', 'd'),
    _layer('side', 'c'),
    _layer('f', 'e', 'side', kind='Add', parameters=0),
    _layer('g', 'f'),
    _layer('h', 'g'),
    _layer('i', 'h'),
    _layer('under', 'f'),
    _layer('below', 'under'),
    _layer('end', 'i', 'below', kind='Concatenate', parameters=0),
]
# Names and numbers longer than a block is wide.
_LONG = [
    _layer('image', kind='InputLayer', parameters=0),
    _layer('main_' + 'convolution' * 5,
           'image',
           shape=(1024, 1024, 2048),
           parameters=31 * 10**9),
    _layer('next_' + 'convolution' * 5, 'main_' + 'convolution' * 5),
    _layer('side_' + 'dense' * 9,
           'main_' + 'convolution' * 5,
           kind='Dense',
           shape=(65_536,)),
    _layer('end',
           'next_' + 'convolution' * 5,
           'side_' + 'dense' * 9,
           kind='Add',
           parameters=0),
]
_MADE = {
    'residual': {
        'parameters': 90,
        'layers': _RESIDUAL
    },
    'long': {
        'parameters': 31_234_567_890,
        'layers': _LONG
    }
}


@pytest.fixture(name='network',
                params=[*networks.GAPNETS, *networks.APPLICATIONS, *_MADE])
def _network(request):
  return _MADE.get(request.param) or networks.summarise(request.param)


def _boxes(axes):
  """Sides of each block by its name: the bold text inside."""
  boxes = {}
  for patch in axes.patches:
    if isinstance(patch, patches.FancyBboxPatch):
      left, top = patch.get_x(), patch.get_y()
      sides = (left, left + patch.get_width(), top, top + patch.get_height())
      name, = (text.get_text()
               for text in axes.texts
               if text.get_weight() == 'bold' and
               _is_within(text.get_position(), sides))
      boxes[name] = sides
  return boxes


def _is_within(point, sides, edge=0.0):
  (x, y), (left, right, top, bottom) = point, sides
  return left + edge <= x <= right - edge and top + edge <= y <= bottom - edge


def _at(boxes, point):
  """The block on whose edge a point is; None if there is none."""
  found = [
      name for name, sides in boxes.items()
      if _is_within(point, sides, -1e-6) and not _is_within(point, sides, 1e-6)
  ]
  assert len(found) < 2
  return found[0] if found else None


def _connections(axes):
  """Corners of each connection, from start to end."""
  rails = {tuple(line.get_xydata()[-1]): line for line in axes.lines}
  found = []
  for arrow in axes.texts:
    if hasattr(arrow, 'xyann'):
      begin = rails.get(tuple(arrow.xyann))
      corners = [arrow.xyann] if begin is None else begin.get_xydata().tolist()
      found.append(np.array([*corners, arrow.xy]))
  return found


def test_blocks_and_their_connections_are_drawn(network):
  axes, = network_lib.draw_network(network).axes
  boxes = _boxes(axes)
  blocks = block_lib.group(network['layers'])
  names = [
      name for block in blocks for name in boxes
      if block.name.startswith(name.removesuffix('…')) and
      (name == block.name or name.endswith('…'))
  ]
  assert sorted(boxes) == sorted(names)
  drawn = [(_at(boxes, corners[0]), _at(boxes, corners[-1]))
           for corners in _connections(axes)]
  assert sorted(drawn) == sorted((names[i], name)
                                 for name, block in zip(names, blocks)
                                 for i in block.inputs)


def test_no_connection_runs_through_a_block(network):
  axes, = network_lib.draw_network(network).axes
  boxes = _boxes(axes)
  for corners in _connections(axes):
    for start, end in zip(corners[:-1], corners[1:]):
      for point in np.linspace(start, end, 400):
        assert not any(
            _is_within(point, sides, 0.01) for sides in boxes.values())


def test_texts_lie_inside_their_block_and_cover_no_other(network):
  drawn = network_lib.draw_network(network)
  assert not figure_text.find_overlaps(drawn)
  assert not figure_text.find_cut(drawn)
  axes, = list(drawn.axes)
  boxes = list(_boxes(axes).values())
  inside = 0
  for _, place in figure_text.find(drawn):
    corners = axes.transData.inverted().transform([place.min, place.max])
    inside += any(
        all(_is_within(corner, sides) for corner in corners) for sides in boxes)
  # All but the total and the words that explain the numbers.
  assert inside == len(figure_text.find(drawn)) - 2
  assert len(figure.to_svg(drawn)) < 200_000


def test_averages_of_gapnet_stand_beside_the_maps_that_they_are_of():
  axes, = network_lib.draw_network(networks.summarise('original')).axes
  boxes = _boxes(axes)
  for average, of in (('average1', 'pool1'), ('average2', 'pool2')):
    assert boxes[average][0] > boxes[of][1]
    assert sum(boxes[average][2:]) == pytest.approx(sum(boxes[of][2:]))
  main = [name for name in boxes if name not in ('average1', 'average2')]
  tops = [boxes[name][2] for name in main]
  assert tops == sorted(tops)  # from top to bottom
  assert len({boxes[name][:2] for name in main}) == 1


def test_a_block_says_its_shape_and_parameters():
  drawn = network_lib.draw_network(networks.summarise('original'))
  axes, = list(drawn.axes)
  sides = _boxes(axes)['conv6']
  said = {
      text.get_text()
      for text in axes.texts
      if _is_within(text.get_position(), sides) and text.get_text()
  }
  assert said == {'conv6', '19×19×128', 'Conv2D, ChannelPReLU', '73,984'}
  assert axes.texts[0].get_text() == '631,260 parameters'


def test_a_size_that_is_not_fixed_is_a_question_mark():
  axes, = network_lib.draw_network(_MADE['residual']).axes
  assert '?×?×4' in [text.get_text() for text in axes.texts]


def test_no_layers_are_drawn_as_none():
  drawn = network_lib.draw_network({'parameters': 0, 'layers': []})
  assert not list(drawn.axes)[0].patches and figure.to_svg(drawn)
