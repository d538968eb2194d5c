"""The spec of a run's dataset, as its about.json describes it.

The settings of the records include the description of the dataset, except where
that is the built-in default, as in all runs of earlier versions.
"""

from collections.abc import Mapping
from typing import Any

from hpa_records.datasets import description
from hpa_records.format import spec as spec_lib
from hpa_records.runtime import json_text

# Of a run of an earlier version that does not state it; nothing but a
# prediction, which such a run cannot make, depends on it.
_UNKNOWN_SIZE = 512
# Of the settings of records that decide the spec and how images are read.
_TYPES = {
    'description': dict,
    'pattern': str,
    'white_level': int,
    'fold_column': str,
    'image_size': int,
    'encoding': str,
    'pixel_um': (int, float),
}


def find_name(about: Mapping[str, Any]) -> str:
  """Returns the name of the dataset that a fold was trained on.

  Args:
    about: as of find, which accepted it.
  """
  if 'classes' not in about:
    return description.DEFAULT
  return description.of_settings(about['records'], about['classes']).name


def find(about: Mapping[str, Any]) -> spec_lib.Spec:
  """Returns the spec of the records that a fold was trained on.

  Args:
    about: content of about.json; {} for a run of an earlier version.

  Raises:
    ValueError: a name or number is invalid, or there are too many.
  """
  settings = about.get('records', {})
  for name, kind in _TYPES.items():
    if name in settings:
      json_text.check_form(settings[name], kind, f'records: {name}')
  found = description.default()
  if 'classes' in about:
    spec_lib.check_names('classes', about['classes'], spec_lib.MAX_CLASSES)
    found = description.of_settings(settings, about['classes'])
  return found.spec(settings.get('image_size', _UNKNOWN_SIZE),
                    settings.get('encoding', spec_lib.ENCODINGS[0]))
