"""What has to be in the JSON files of a fold, which may be a stranger's.

Each check takes what a file says, and raises ValueError where a report or a
prediction could not use it.
"""

from collections.abc import Mapping
from typing import Any

from hpa_records import json_text

MOST_EPOCHS = 10**5 - 1  # which the names of checkpoints hold
_MOST_LAYERS = 600  # DenseNet-121 has 430
_MOST_AXES = 8
_MOST_LETTERS = 200
LARGEST = 1e15  # what float64 counts

_ABOUT = {'device': str, 'versions': {}, 'records': {}, 'records_versions': {}}
_NETWORK = {
    'parameters':
        int,
    'layers': [{
        'name': str,
        'kind': str,
        'shape': [(int, type(None))],
        'parameters': int,
        'inputs': [str]
    }]
}


def check_best_scores(content: Any) -> None:
  """Refuses what is not best_scores.json."""
  json_text.check_form(content, {'epoch': int}, 'scores')
  _check_range('epoch', content['epoch'], 1, MOST_EPOCHS)
  for name, value in content.items():
    if isinstance(value, (int, float)):
      _check_range(name, value, -LARGEST, LARGEST)
    elif value is not None and name != 'note':
      raise ValueError(f'{name}: received {value!r:.40}')


def check_scores(content: Any) -> None:
  """Refuses what is not scores.json."""
  json_text.check_form(content, {
      'epoch': int,
      'threshold': (int, float)
  }, 'scores')
  check_best_scores(content)


def check_about(content: Any) -> None:
  """Refuses what is not about.json."""
  json_text.check_form(content, _ABOUT, 'about')
  _check_text('device', content['device'])
  for name in ('versions', 'records_versions'):
    for key, value in content[name].items():
      _check_text(name, key)
      _check_text(f'{name}: {key}', value)


def check_network(content: Any) -> None:
  """Refuses what is not network.json."""
  json_text.check_form(content, _NETWORK, 'network')
  _check_range('layers', len(content['layers']), 1, _MOST_LAYERS)
  _check_range('parameters', content['parameters'], 0, LARGEST)
  names: set[str] = set()
  for layer in content['layers']:
    _check_layer(layer, names)
    names.add(layer['name'])


def _check_layer(layer: Mapping[str, Any], before: set[str]) -> None:
  """Refuses a layer that is not one after those whose names came before."""
  for key in ('name', 'kind'):
    _check_text(key, layer[key])
  _check_range('parameters', layer['parameters'], 0, LARGEST)
  _check_range('shape', len(layer['shape']), 0, _MOST_AXES)
  for size in layer['shape']:
    _check_range('shape', size or 0, 0, LARGEST)
  if layer['name'] in before or not before.issuperset(layer['inputs']):
    raise ValueError(f'layers: {layer["name"]} comes twice, or before a layer '
                     'that feeds it')
  _check_range('inputs', len(layer['inputs']), 0, _MOST_LAYERS)


def _check_text(name: str, text: Any) -> None:
  if not isinstance(
      text, str) or len(text) > _MOST_LETTERS or (not text.isprintable()):
    raise ValueError(f'{name}: received {text!r:.40}')


def _check_range(name: str, value: float, least: float, most: float) -> None:
  if isinstance(value, bool) or not least <= value <= most:
    raise ValueError(f'{name}: expected a number from {least} to {most}, '
                     f'received {value!r:.40}')
