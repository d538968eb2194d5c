"""The settings that decide the results of a run, and their differences."""

from typing import Any

from trainer import config as config_lib


def find_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
  """Returns 'name one, not other' for each setting that differs.

  Args:
    one: Config.identity of one run.
    other: Config.identity of the other.
  """

  def show(values, name):
    value = values.get(name)
    return str(value)[:12] if name == config_lib.RECORDS else f'{value!r:.200}'

  names = {**one, **other}
  return [
      f'{name} {show(one, name)}, not {show(other, name)}' for name in names
      if one.get(name) != other.get(name)
  ]
