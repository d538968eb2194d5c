"""Settings and CSV of the conversion in an output folder."""

import json
import os
from typing import Any

from hpa_records.conversion import shard_plan
from hpa_records.conversion.unfinished import sidecar
from hpa_records.datasets import description
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

NAME = f'{sidecar.UNFINISHED_NAME}/settings.json'

# Settings that are absent in datasets of Kaggle's images.
_ADDED = ('description', 'classes_sha256', 'pixel_um')


def write_once(output: str, settings: shard_plan.Settings,
               csv_sha256: str) -> None:
  """Writes the settings of a conversion to its locked folder, if missing.

  Args:
    output: folder of the dataset.
    settings: of the conversion.
    csv_sha256: hex digest of its CSV.

  Raises:
    errors.DataError: the folder has other settings, or another CSV.
  """
  path = os.path.join(output, NAME)
  wanted = describe(settings, csv_sha256)
  if filesystem.size(path) is not None:
    refuse_other(output, read(output), wanted)
    return
  filesystem.write_atomically(path,
                              json.dumps(wanted, sort_keys=True).encode(),
                              sidecar.unfinished_folder(output))


def read(output: str) -> dict[str, Any]:
  """Returns the settings of an unfinished conversion, as describe does.

  Args:
    output: folder of the dataset.

  Raises:
    errors.DataError: the file is damaged or cannot be read.
  """
  path = os.path.join(output, NAME)
  try:
    have = json_text.parse(filesystem.read_small(path) or b'')
    json_text.check_form(have, {}, path)
  except ValueError as error:
    raise errors.DataError(
        f'{path} is damaged; pass --overwrite to convert again.') from error
  return have


def refuse_other(output: str, have: dict[str, Any],
                 requested: dict[str, Any]) -> None:
  """Refuses a folder whose conversion has other settings or another CSV.

  Args:
    output: folder of the dataset.
    have: its settings, as describe returns them.
    requested: the requested settings, as describe returns them.

  Raises:
    errors.DataError: they differ; lists the differences.
  """
  # Datasets from before a setting existed were made with its default.
  have = {**shard_plan.Settings().encode(), **have}
  differ = [
      _describe_difference(name, have.get(name), requested.get(name))
      for name in dict.fromkeys([*requested, *_ADDED])
      if have.get(name) != requested.get(name)
  ]
  if differ:
    raise errors.DataError(
        f'The dataset at {output} has other settings: '
        f'{"; ".join(differ)}. Choose another --output, or pass --overwrite.')


def _describe_difference(name: str, have: Any, requested: Any) -> str:
  flag = {
      'groups_sha256': '--groups',
      'csv_sha256': '--csv',
      'classes_sha256': 'classes and aliases'
  }.get(name)
  if name == 'description':
    names = [
        str(each.get('name')) if isinstance(each, dict) else description.DEFAULT
        for each in (have, requested)
    ]
    if names[0] != names[1]:
      return (f'description {printable.quote(names[0])}, requested '
              f'{printable.quote(names[1])}')
    have, requested = (json.dumps(each or description.DEFAULT, sort_keys=True)
                       for each in (have, requested))
    start = len(os.path.commonprefix([have, requested]))
    have, requested = (
        each[max(0, start - 20):start + 40] for each in (have, requested))
    return f'description ...{have}..., requested ...{requested}...'
  if not flag:
    return f'{name} {have!r:.80}, requested {requested!r:.80}'
  have, requested = (f'{flag} of sha256 {ascii(value)[1:13]}...'
                     if value else f'no {flag}' for value in (have, requested))
  return f'{have}, requested {requested}'


def describe(settings: shard_plan.Settings, csv_sha256: str) -> dict[str, Any]:
  """Returns the settings that decide the bytes of a conversion, as JSON types.

  Args:
    settings: of the conversion.
    csv_sha256: hex digest of its CSV.
  """
  found = {**settings.encode(), 'csv_sha256': csv_sha256}
  if settings.unlabelled:  # without effect
    for name in ('num_folds', 'balance', 'balance_target', 'balance_tolerance',
                 'max_repeat', 'balance_factors', 'balance_percent'):
      found.pop(name, None)
  return found
