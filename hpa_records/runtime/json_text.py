"""JSON of strangers: parsed and held to a form, or refused.

Python's parser raises RecursionError for deep nesting, takes NaN and Infinity,
and keeps the last of two equal keys without a word.
"""

import hashlib
import json
from typing import Any


def parse(data: bytes | str) -> Any:
  """Returns the value of a JSON text.

  Raises:
    ValueError: it is no JSON, nested too deeply, has a key twice or a number
      that JSON has not.
  """
  try:
    return json.loads(data,
                      object_pairs_hook=_to_dict,
                      parse_constant=_refuse_constant)
  except RecursionError as error:
    raise ValueError('JSON that is nested too deeply') from error


def seal(value: Any) -> bytes:
  """Returns a value as JSON below its sha256, for unseal."""
  data = json.dumps(value).encode()
  return hashlib.sha256(data).hexdigest().encode() + b'\n' + data


def unseal(data: bytes) -> Any:
  """Returns the value that seal was given, tuples as lists.

  The hash shows damage that is JSON still.

  Raises:
    ValueError: the data are damaged, or not from seal.
  """
  digest, _, text = data.partition(b'\n')
  if digest != hashlib.sha256(text).hexdigest().encode():
    raise ValueError('JSON of another sha256 than the one above it')
  return parse(text)


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError('JSON with the same key twice')
  return found


def _refuse_constant(name: str) -> None:
  raise ValueError(f'{name}, which is no number of JSON')


def check_form(value: Any, form: Any, name: str) -> None:
  """Refuses a value of JSON that is not of a form.

  Args:
    value: that was read.
    form: a dict of forms: these keys, others may be there too; a list of one
      form: a list of such; or the types that are right, where bool is no int.
    name: of the value, for the message.

  Raises:
    ValueError: it is not.
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
