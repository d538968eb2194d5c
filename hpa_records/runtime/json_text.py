"""Strict parsing and type checks of untrusted JSON.

Python's parser raises RecursionError for deep nesting, accepts NaN and
Infinity, and silently keeps the last of two equal keys.
"""

import hashlib
import json
from typing import Any


def parse(data: bytes | str) -> Any:
  """Returns the value of a JSON text.

  Raises:
    ValueError: not JSON, nested too deeply, a duplicate key, NaN or Infinity.
  """
  try:
    return json.loads(data,
                      object_pairs_hook=_to_dict,
                      parse_constant=_refuse_constant)
  except RecursionError as error:
    raise ValueError('JSON nested too deeply') from error


def seal(value: Any) -> bytes:
  """Returns a value as JSON after a line with its sha256, for unseal."""
  data = json.dumps(value).encode()
  return hashlib.sha256(data).hexdigest().encode() + b'\n' + data


def unseal(data: bytes) -> Any:
  """Returns the value that seal was given, tuples as lists.

  Raises:
    ValueError: the data are damaged, or not from seal.
  """
  digest, _, text = data.partition(b'\n')
  if digest != hashlib.sha256(text).hexdigest().encode():
    raise ValueError('JSON that does not match its sha256')
  return parse(text)


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError('JSON with a duplicate key')
  return found


def _refuse_constant(name: str) -> None:
  raise ValueError(f'{name} is not valid JSON')


def check_form(value: Any, form: Any, name: str) -> None:
  """Checks the types of a JSON value.

  Args:
    value: as parsed.
    form: a dict of forms: these keys are required, others are allowed; a list
      of one form: a list of such values; or the allowed types, where bool is
      not an int.
    name: of the value, for the message.

  Raises:
    ValueError: the value does not have this form.
  """
  types = type(form) if isinstance(form, (dict, list)) else form
  allowed = types if isinstance(types, tuple) else (types,)
  if not isinstance(value, allowed) or (isinstance(value, bool) and
                                        bool not in allowed):
    raise ValueError(f'{name}: received {value!r:.40}')
  if isinstance(form, dict):
    for key, each in form.items():
      check_form(value.get(key), each, key)
  if isinstance(form, list):
    for each in value:
      check_form(each, form[0], name)
