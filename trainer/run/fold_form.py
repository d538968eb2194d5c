"""Checks of the contents of a fold's JSON files, which may be untrusted.

Each check takes the parsed content, and raises ValueError if a report or a
prediction could not use it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from trainer.network import block
from trainer.recipe import baseline
from trainer.run import stored_spec

MOST_EPOCHS = 10**5 - 1  # five digits in the names of checkpoints
_MOST_LAYERS = 600  # DenseNet-121 has 430
# Limits of a drawing. The networks of the trainer have up to 19 blocks, 20
# connections and 553 letters.
_MOST_BLOCKS = 80
_MOST_CONNECTIONS = 160
_MOST_DETAILS = 4000
_MOST_AXES = 8
_MOST_LETTERS = 200
_MOST_ENTRIES = 100  # of an object in about.json
LARGEST = 1e15  # float64 holds every integer up to it

_ABOUT = {'device': str, 'versions': {}, 'records': {}, 'records_versions': {}}
# Absent in runs of earlier versions.
_LATER_ABOUT = {
    'pixels': (dict, type(None)),
    'classes': [str],
    'levels': [[(int, float)]],
    'inner_images': int,
    'starting_weights': {},
}
_START = {
    'source': str,
    'taken': int,
    'fresh': [str],
    'unused': int,
    'sha256': str,
    'seen': (int, type(None)),
    'seen_inner': (int, type(None)),  # absent in runs of earlier versions
}
_DESCRIPTION = 'description'
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


def check_best_metrics(content: Any) -> None:
  """Checks the content of best_metrics.json.

  Raises:
    ValueError: it is not of that form.
  """
  json_text.check_form(content, {'epoch': int}, 'metrics')
  _check_range('epoch', content['epoch'], 1, MOST_EPOCHS)
  _check_values(content, ('note',))


def _check_values(content: Mapping[str, Any], texts: Sequence[str]) -> None:
  """Refuses a metric that is no number, and texts of other names."""
  for name, value in content.items():
    if isinstance(value, (int, float)):
      _check_range(name, value, -LARGEST, LARGEST)
    elif value is not None:
      if name not in texts:
        raise ValueError(f'{printable.quote(name)}: received {value!r:.40}')
      _check_text(name, value)


def check_metrics(content: Any) -> None:
  """Checks the content of metrics.json.

  A network has an epoch, a classifier of descriptors its name.

  Raises:
    ValueError: it is not of that form.
  """
  is_baseline = isinstance(content, dict) and baseline.CLASSIFIER in content
  json_text.check_form(
      content, {
          **({
              baseline.CLASSIFIER: str
          } if is_baseline else {
                 'epoch': int
             }), 'threshold': (int, float, type(None))
      }, 'metrics')
  if 'threshold' not in content:
    raise ValueError('threshold: missing')
  if is_baseline:
    _check_values(content, (baseline.CLASSIFIER,))
  else:
    check_best_metrics(content)


def check_about(content: Any) -> None:
  """Checks the content of about.json.

  Raises:
    ValueError: it is not of that form.
  """
  json_text.check_form(content, _ABOUT, 'about')
  for name, value in content.items():
    if name not in _ABOUT:
      json_text.check_form(value, _LATER_ABOUT.get(name, ()),
                           printable.quote(name))
    if isinstance(value, dict):
      _check_range(f'entries of {name}', len(value), 0, _MOST_ENTRIES)
  _check_text('device', content['device'])
  _check_range('inner_images', content.get('inner_images', 1), 1, LARGEST)
  check_start(content.get('starting_weights', {}))
  for name in ('versions', 'records_versions'):
    for key, value in content[name].items():
      _check_text(name, key)
      _check_text(f'{name}: {key}', value)
  for key, value in content['records'].items():
    _check_setting(key, value)
  num_channels = stored_spec.find(content).num_channels
  levels = content.get('levels', [[0, 0]] * num_channels)
  if [len(each) for each in levels] != [2] * num_channels:
    raise ValueError(f'levels: expected a pair for each of {num_channels} '
                     f'channels, received {levels!r:.80}')
  for key, values in (content.get('pixels') or {}).items():
    name = f'pixels: {printable.quote(key)}'
    json_text.check_form(values, [(int, float)], name)
    _check_range(f'{name}: numbers', len(values), 0, num_channels)


def check_start(start: Any) -> None:
  """Checks what is stored of the weights that a fold started from.

  Args:
    start: of start.first_weights.load.

  Raises:
    ValueError: it is not of that form.
  """
  json_text.check_form(start, _START if start else {}, 'starting_weights')
  if not start:
    return
  for name in ('taken', 'unused', 'seen', 'seen_inner'):
    _check_range(f'starting_weights: {name}', start.get(name) or 0, 0, LARGEST)
  for text in (start['sha256'], *start['fresh']):
    _check_text('starting_weights', text)
  if len(start['source']) > 2 * spec_lib.MAX_SETTING + _MOST_LETTERS:
    raise ValueError('starting_weights: the source is too long')


def check_network(content: Any) -> None:
  """Checks the content of network.json.

  Raises:
    ValueError: it is not of that form.
  """
  json_text.check_form(content, _NETWORK, 'network')
  _check_range('layers', len(content['layers']), 1, _MOST_LAYERS)
  _check_range('parameters', content['parameters'], 0, LARGEST)
  names: set[str] = set()
  for layer in content['layers']:
    _check_layer(layer, names)
    names.add(layer['name'])
  _check_blocks(block.group(content['layers']))


def _check_blocks(blocks: Sequence[block.Block]) -> None:
  """Refuses networks too large for a drawing."""
  _check_range('blocks', len(blocks), 1, _MOST_BLOCKS)
  _check_range('connections', sum(len(each.inputs) for each in blocks), 0,
               _MOST_CONNECTIONS)
  _check_range('letters of kinds', sum(len(each.details) for each in blocks), 0,
               _MOST_DETAILS)


def _check_layer(layer: Mapping[str, Any], before: set[str]) -> None:
  """Refuses a layer that is invalid, or that a layer not in `before` feeds."""
  for key in ('name', 'kind'):
    _check_text(key, layer[key])
  _check_range('parameters', layer['parameters'], 0, LARGEST)
  _check_range('shape', len(layer['shape']), 0, _MOST_AXES)
  for size in layer['shape']:
    _check_range('shape', size or 0, 0, LARGEST)
  if layer['name'] in before or not before.issuperset(layer['inputs']):
    raise ValueError(f'layers: {layer["name"]} is listed twice, or before a '
                     'layer that feeds it')
  _check_range('inputs', len(layer['inputs']), 0, _MOST_LAYERS)


def _check_setting(name: str, value: Any) -> None:
  """Refuses an invalid setting of records; stored_spec checks the description.
  """
  if name == _DESCRIPTION:
    return
  json_text.check_form(value, (bool, int, float, str),
                       f'records: {printable.quote(name)}')
  if len(name) > _MOST_LETTERS or len(str(value)) > spec_lib.MAX_SETTING:
    raise ValueError(f'records: {printable.quote(name)} is too long')


def _check_text(name: str, text: Any) -> None:
  if not isinstance(
      text, str) or len(text) > _MOST_LETTERS or (not text.isprintable()):
    raise ValueError(f'{name}: received {text!r:.40}')


def _check_range(name: str, value: float, least: float, most: float) -> None:
  if isinstance(value, bool) or not least <= value <= most:
    raise ValueError(f'{name}: expected a number from {least} to {most}, '
                     f'received {value!r:.40}')
