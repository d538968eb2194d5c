"""The settings that decide the results of a run, and their differences.

training/preparation compares those of a folder's config.json, checkpoint_file
those of each checkpoint, finished_run those of the folds of a run.
"""

import dataclasses
from typing import Any

from trainer import config as config_lib

_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(config_lib.Config)
    if field.default is not dataclasses.MISSING
}


def find_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
  """Returns 'name one, not other' for each setting that differs.

  A setting that one does not have is younger than it, and has its default.

  Args:
    one: Config.identity of one run.
    other: Config.identity of the other.
  """

  def get(values, name):
    return values.get(name, _DEFAULTS.get(name))

  def show(values, name):
    value = get(values, name)
    return str(value)[:12] if name == config_lib.RECORDS else f'{value!r:.200}'

  names = {**one, **other}
  return [
      f'{name} {show(one, name)}, not {show(other, name)}' for name in names
      if get(one, name) != get(other, name)
  ]
