"""What an output folder is the conversion of: settings and CSV."""

import dataclasses
import json
import os
from typing import Any

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

NAME = f'{shard_writer.UNFINISHED_NAME}/settings.json'


def note(output: str, settings: shard_plan.Settings, csv_sha256: str) -> None:
  """Writes what a locked folder is the conversion of, if it does not say.

  Raises:
    errors.DataError: it is of other settings, or of another CSV.
  """
  path = os.path.join(output, NAME)
  told = describe(settings, csv_sha256)
  if filesystem.size(path) is not None:
    refuse_other(output, read(output), told)
    return
  filesystem.write_atomically(path,
                              json.dumps(told, sort_keys=True).encode(),
                              shard_writer.unfinished_folder(output))


def read(output: str) -> dict[str, Any]:
  """Returns what an unfinished conversion says of itself.

  Raises:
    errors.DataError: it is damaged.
  """
  path = os.path.join(output, NAME)
  try:
    have = json_text.parse(filesystem.read_small(path) or b'')
    json_text.check_form(have, {}, path)
  except ValueError as error:
    raise errors.DataError(
        f'{path} is damaged; pass --overwrite to convert again.') from error
  return have


def refuse_other(output: str, have: dict[str, Any], asked: dict[str,
                                                                Any]) -> None:
  """Raises errors.DataError that says what differs, if anything does."""
  # A dataset made before there was a setting was made with its default.
  have = {**dataclasses.asdict(shard_plan.Settings()), **have}
  differ = [
      _tell_difference(name, have.get(name), asked[name])
      for name in asked
      if have.get(name) != asked[name]
  ]
  if differ:
    raise errors.DataError(
        f'The dataset at {output} has other settings: '
        f'{"; ".join(differ)}. Choose another --output, or pass --overwrite.')


def _tell_difference(name: str, have: Any, asked: Any) -> str:
  flag = {'groups_sha256': '--groups', 'csv_sha256': '--csv'}.get(name)
  if not flag:
    return f'{name} {have!r:.80}, asked {asked!r}'
  have, asked = (f'{flag} of sha256 {ascii(value)[1:13]}...'
                 if value else f'no {flag}' for value in (have, asked))
  return f'{have}, asked {asked}'


def describe(settings: shard_plan.Settings, csv_sha256: str) -> dict[str, Any]:
  """Returns what decides the bytes of a conversion, as JSON types.

  Args:
    settings: of the conversion.
    csv_sha256: sha256 of its CSV.
  """
  told = {**dataclasses.asdict(settings), 'csv_sha256': csv_sha256}
  if settings.unlabelled:  # then these decide nothing
    for name in ('num_folds', 'balance', 'balance_target', 'balance_tolerance',
                 'max_repeat', 'balance_factors'):
      del told[name]
  return told
