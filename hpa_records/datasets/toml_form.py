"""The form of a description in TOML and JSON, to and from layout.Description.

Both are untrusted: unknown keys, wrong types and contradictions are refused.
"""

import dataclasses
from typing import Any, Iterable

from hpa_records.datasets import consistency
from hpa_records.datasets import layout
from hpa_records.format import spec as spec_lib
from hpa_records.images import crop
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable

_PARTS = {
    'table': layout.Table,
    'images': layout.Images,
    'intensity': layout.Intensity
}
# Fields of the parts are text, unless named here.
_LISTS = {'labels', 'ignored', 'group', 'plate', 'metadata', 'aliases'}
_NUMBERS = {'white_level': int, 'plane': int, 'single': bool}


def parse(content: Any, source: str) -> layout.Description:
  """Returns the description of parsed TOML, or of encode's result.

  Args:
    content: tables as dict.
    source: path or name, for messages.

  Raises:
    errors.DataError: it is not a description; the message names the key.
  """
  try:
    json_text.check_form(content, {'channels': [dict], 'name': str}, 'content')
    check_keys(content, {*_PARTS, 'name', 'title', 'channels', 'classes'})
    parts = {
        key: _to_value(kind, content[key], key)
        for key, kind in _PARTS.items()
        if key in content
    }
    if 'title' in content:
      json_text.check_form(content['title'], str, 'title')
      parts['title'] = content['title']
    found = layout.Description(name=content['name'],
                               channels=tuple(
                                   _to_value(layout.Channel, each, 'channels')
                                   for each in content['channels']),
                               classes=_to_classes(content.get('classes', [])),
                               **parts)
    consistency.check(found)
    if len(str(encode(found))) > spec_lib.MAX_DESCRIPTION:
      raise ValueError(f'more than {spec_lib.MAX_DESCRIPTION:,} characters')
    return found
  except (ValueError, OverflowError) as error:  # of a number of 400 digits
    reason = str(error).rstrip('.')
    raise errors.DataError(
        f'{source} is not the description of a dataset: {reason}; see '
        'docs/own_images.md.') from error


def encode(found: layout.Description) -> dict[str, Any]:
  """Returns the description as JSON types for parse, without classes.

  Args:
    found: the description. Values that are the default are left out, so that
      later versions may add fields.
  """
  content = {'name': found.name, 'title': found.title}
  content['channels'] = [_to_dict(each) for each in found.channels]
  for key in _PARTS:
    part = _to_dict(getattr(found, key))
    if part:
      content[key] = part
  return content


def _to_classes(content: Any) -> tuple[layout.Class, ...]:
  """Returns classes of a list of names or tables, or of a numbered name."""
  if isinstance(content, dict):
    json_text.check_form(content, {'pattern': str, 'count': int}, 'classes')
    check_keys(content, {'pattern', 'count'})
    pattern, count = content['pattern'], content['count']
    if pattern.count('{}') != 1 or not 0 < count <= spec_lib.MAX_CLASSES:
      raise ValueError('classes: expected a pattern with {} and a count of '
                       f'1..{spec_lib.MAX_CLASSES}')
    # Tables have the number, or the name.
    return tuple(
        layout.Class(pattern.replace('{}', str(i)), (str(i),))
        for i in range(count))
  json_text.check_form(content, [(str, dict)], 'classes')
  if len(content) > spec_lib.MAX_CLASSES:
    raise ValueError(f'{len(content):,} classes, at most '
                     f'{spec_lib.MAX_CLASSES:,} are allowed')
  return tuple(
      layout.Class(each) if isinstance(each, str) else _to_value(
          layout.Class, each, 'classes') for each in content)


def _to_value(kind: type, content: Any, where: str) -> Any:
  """Returns the dataclass of a TOML table."""
  json_text.check_form(content, {}, where)
  fields = {field.name: field for field in dataclasses.fields(kind)}
  check_keys(content, fields, where)
  for name, field in fields.items():
    if field.default is dataclasses.MISSING and name not in content:
      raise ValueError(f'{name} is missing in {where}')
  return kind(
      **{
          name: _convert(name, value, f'{where}.{name}')
          for name, value in content.items()
      })


def _convert(name: str, value: Any, where: str) -> Any:
  """Returns a field's value of a TOML value, whose type is checked."""
  if name in _LISTS:
    value = [value] if isinstance(value, str) else value
    json_text.check_form(value, [str], where)
    return tuple(value)
  if name == 'percentiles':
    json_text.check_form(value, [(int, float)], where)
    if len(value) != 2:
      raise ValueError(f'{where}: expected two numbers, received {value!r:.80}')
    return float(value[0]), float(value[1])
  if name == 'join':
    json_text.check_form(value, [dict], where)
    return tuple(_to_value(layout.Join, each, where) for each in value)
  if name in ('on', 'each'):
    json_text.check_form(value, {}, where)
    return tuple(
        (key, _convert_pair(name, each, where)) for key, each in value.items())
  if name == 'pixel_um':
    return _convert_um(value, where)
  json_text.check_form(value, _NUMBERS.get(name, str), where)
  return value


def _convert_um(value: Any, where: str) -> float | str:
  """Returns a size in micrometers, or the name of the column that has it."""
  json_text.check_form(value, (int, float, str), where)
  if isinstance(value, str):
    return value
  if not 0 < value < crop.MAX_UM:
    raise ValueError(f'expected a pixel_um above 0, received {value!r:.40}')
  return float(value)


def _convert_pair(name: str, value: Any, where: str) -> Any:
  json_text.check_form(value, str if name == 'on' else [str], where)
  return value if name == 'on' else tuple(value)


def _to_dict(value: Any) -> dict[str, Any]:
  """Returns a dataclass as _to_value reads it, without default values."""
  content = {}
  for field in dataclasses.fields(value):
    each = getattr(value, field.name)
    if each == field.default:
      continue
    if field.name in ('on', 'each'):
      each = {key: list(x) if isinstance(x, tuple) else x for key, x in each}
    elif field.name == 'join':
      each = [_to_dict(one) for one in each]
    content[field.name] = list(each) if isinstance(each, tuple) else each
  return content


def check_keys(content: dict[str, Any],
               allowed: Iterable[str],
               where: str = '') -> None:
  """Checks the keys of a TOML table.

  Raises:
    ValueError: one is not allowed.
  """
  for key in content:
    if key not in allowed:
      raise ValueError(
          f'unknown key {printable.quote(key)}{" in " + where if where else ""}'
          f', expected one of {", ".join(sorted(allowed))}')
