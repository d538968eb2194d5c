"""Checks of a manifest's values: types, names and ranges.

A dataset is untrusted, also where its hash is right. So all values are checked
before a name is joined to a path or a number is used. File names are from a
fixed set, without path parts and in lower case, so no two are the same file.
inspection/manifest_check compares the values with each other.
"""

import itertools
import re
from typing import Any, Iterable

from hpa_records.format import spec
from hpa_records.runtime import json_text
from hpa_records.runtime import printable

# Far above a dataset of 100 TB.
MAX_BYTES = 64 * 2**20
INDEX_NAME = 'index.parquet'
FILE_NAMES = (INDEX_NAME, 'features.json', 'dataset_info.json', 'skipped.csv')
SHARD_NAME = re.compile(
    r'(fold(?:0|[1-9][0-9]{0,5})|test)-[0-9]{5,8}-of-[0-9]{5,8}\.tfrecord')

_MAX_SUM = 2**62  # of bytes or pixels, so that sums fit in int64
# For check_size: bytes of text for each value of a shard's entry, and most
# values besides shards and class_counts.
_LEAST_BYTES_OF_A_VALUE = 40
_MOST_VALUES = 1000
_SHA256 = re.compile('[0-9a-f]{64}')
_NUMBER = (int, float)

# Added after the first datasets were made.
OPTIONAL = {'inputs', 'levels'}
_SUMS = {'count': int, 'sum': [int], 'sum_of_squares': [int]}
_FORM = {
    'settings': dict,
    'csv_sha256': str,
    'num_records': int,
    'num_skipped': int,
    'shards': [{
        'name': str,
        'records': int,
        'bytes': int,
        'sha256': str
    }],
    'class_counts': [[int]],
    'pixels': {
        **_SUMS, 'mean': [_NUMBER],
        'std': [_NUMBER]
    },
    'files': dict,
    'versions': dict,
    'classes': [str],
    'channels': [str],
    'format_version': int,
}
_INPUTS = {
    'num_files': int,
    'num_bytes': int,
    'names_and_sizes_sha256': str,
    'content_sha256': str,
}
_OPTIONAL_INPUTS = {'num_doubtful': int}
_SETTINGS = {
    'image_size': int,
    'encoding': str,
    'num_folds': int,
    'seed': int,
}
_OPTIONAL_SETTINGS = {
    'balance': str,
    'balance_target': int,
    'balance_tolerance': _NUMBER,
    'max_repeat': _NUMBER,
    'balance_factors': str,
    'balance_percent': int,
    'resize': str,
    'shard_mb': int,
    'limit': int,
    'pattern': str,
    'white_level': int,
    'unlabelled': bool,
    'fold_column': str,
    'groups_sha256': str,
    'pixel_um': _NUMBER,
    'classes_sha256': str,
    'description': {
        'channels': [dict],
        'name': str
    },
}


def check_size(data: bytes) -> None:
  """Checks the number of JSON values before parsing, which may take gigabytes.

  Args:
    data: JSON text of a manifest.

  Raises:
    ValueError: far more values than a manifest of this length has.
  """
  most = len(data) // _LEAST_BYTES_OF_A_VALUE + spec.MAX_COUNTS
  if sum(map(data.count, (b',', b'[', b'{'))) > most + _MOST_VALUES:
    raise ValueError('too many values for a manifest')


def check(content: dict[str, Any]) -> None:
  """Checks the content of a manifest, without its own hash.

  Args:
    content: parsed JSON; its format_version is this version's.

  Raises:
    ValueError: a value is missing, of another type or out of range, or a key or
      name is unknown; the message says which.
  """
  _check_keys(content, _FORM, OPTIONAL)
  json_text.check_form(content, _FORM, 'the manifest')
  json_text.check_form(content.get('levels', {}), {}, 'levels')
  if 'inputs' in content:
    _check_inputs(content['inputs'])
  for plate, levels in content.get('levels', {}).items():
    json_text.check_form(levels, [[_NUMBER]], f'levels of {plate!r:.40}')
    if (len(levels) != len(content['channels']) or
        any(len(each) != 2 or each[0] > each[1] for each in levels)):
      raise ValueError(f'levels of {printable.quote(plate)}: expected a low and'
                       ' a high level for each channel')
  for entry in content['shards']:
    _check_keys(entry, _FORM['shards'][0])
  _check_keys(content['pixels'], _FORM['pixels'], {'folds'})
  json_text.check_form(content['pixels'].get('folds', []), [_SUMS],
                       'folds of pixels')
  for fold in content['pixels'].get('folds', []):
    _check_keys(fold, _SUMS)
  _check_names(content)
  _check_numbers(content)
  _check_settings(content['settings'])
  for name, version in content['versions'].items():
    json_text.check_form(version, str, f'version of {name!r:.40}')


def _check_inputs(inputs: Any) -> None:
  """Checks the values that input_digest.make and commit.complete write."""
  json_text.check_form(inputs, {}, 'inputs')
  _check_keys(inputs, _INPUTS, _OPTIONAL_INPUTS)
  for key, form in (_INPUTS | _OPTIONAL_INPUTS).items():
    if key in inputs:
      json_text.check_form(inputs[key], form, f'{key} of inputs')
      if form is int:
        _check_range(f'{key} of inputs', [inputs[key]], 0, _MAX_SUM)
      else:
        _check_sha256(inputs[key])


def _check_keys(content: dict, form: dict,
                optional: Iterable[str] = ()) -> None:
  for key in form:
    if key not in content:
      raise ValueError(f'{key} is missing')
  for key in set(content) - set(form) - set(optional):
    raise ValueError(f'unknown key {printable.quote(key)}, perhaps of a newer '
                     'version')


def _check_names(content: dict[str, Any]) -> None:
  """Checks the names of classes, channels and files, and all hashes."""
  spec.check_names('class', content['classes'], spec.MAX_CLASSES)
  spec.check_names('channel', content['channels'], spec.MAX_CHANNELS, 1)
  names = [entry['name'] for entry in content['shards']]
  for name in names:
    if not SHARD_NAME.fullmatch(name):
      raise ValueError(f'invalid shard name {printable.quote(name)}')
  if len(set(names)) < len(names):
    raise ValueError('duplicate shard name')
  for name in content['files']:
    if name not in FILE_NAMES:
      raise ValueError(f'unknown file {printable.quote(name)}, expected one of '
                       f'{", ".join(FILE_NAMES)}')
  if INDEX_NAME not in content['files']:
    raise ValueError(f'the sha256 of {INDEX_NAME} is missing')
  for digest in (content['csv_sha256'], *content['files'].values(),
                 *(entry['sha256'] for entry in content['shards'])):
    _check_sha256(digest)


def _check_sha256(digest: Any) -> None:
  if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
    raise ValueError(f'invalid sha256 {digest!r:.80}')


def _check_numbers(content: dict[str, Any]) -> None:
  shards, pixels = content['shards'], content['pixels']
  _check_range('num_records', [content['num_records']], 1, _MAX_SUM)
  _check_range('num_skipped', [content['num_skipped']], 0, _MAX_SUM)
  for key in ('records', 'bytes'):
    values = [entry[key] for entry in shards]
    _check_range(f'{key} of shards', [*values, sum(values)], 1, _MAX_SUM)
  _check_range('class_counts', list(itertools.chain(*content['class_counts'])),
               0, _MAX_SUM)
  # 65025 is the square of 255.
  _check_range('pixels', [pixels['count']], 1, _MAX_SUM // 65025)
  for key in ('sum', 'sum_of_squares', 'mean', 'std'):
    _check_range(key, pixels[key], 0, _MAX_SUM)
  for fold in pixels.get('folds', []):
    for key in ('sum', 'sum_of_squares'):
      _check_range(f'{key} of a fold', fold[key], 0, _MAX_SUM)


def _check_settings(settings: dict[str, Any]) -> None:
  for key in _SETTINGS:
    if key not in settings:
      raise ValueError(f'setting {key} is missing')
  types = _SETTINGS | _OPTIONAL_SETTINGS
  for key, value in settings.items():
    json_text.check_form(value, types.get(key, (bool, int, float, str)),
                         f'setting {key!r:.40}')
    if key == 'description' and 'table' in value:
      json_text.check_form(value['table'], {}, 'table')
      metadata = value['table'].get('metadata', [])
      json_text.check_form(metadata, [str], 'metadata')
      spec.check_metadata(metadata)
    most = spec.MAX_DESCRIPTION if key == 'description' else spec.MAX_SETTING
    if len(key) > spec.MAX_SETTING or len(str(value)) > most:
      raise ValueError(f'a setting of more than {most} characters')
  _check_range('image_size', [settings['image_size']], 1, spec.MAX_IMAGE_SIZE)
  _check_range('num_folds', [settings['num_folds']], 2, spec.MAX_FOLDS)
  _check_range('seed', [settings['seed']], 0, spec.MAX_SEED)
  if settings['encoding'] not in spec.ENCODINGS:
    raise ValueError('unknown encoding '
                     f'{printable.quote(settings["encoding"])}')


def _check_range(name: str, values: list[int | float], least: int,
                 most: int) -> None:
  for value in values:
    if not least <= value <= most:
      raise ValueError(f'{name} {value!r:.40} is not in {least}..{most}')
