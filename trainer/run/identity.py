"""What decides the numbers of a run: in which settings two runs differ."""

from typing import Any

from trainer import config as config_lib


def find_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
  """Returns 'name one, not other' for each setting that differs.

  Args:
    one: Config.identity of a run.
    other: of another.
  """

  def show(values, name):
    value = values.get(name)
    return str(value)[:12] if name == config_lib.RECORDS else f'{value!r:.200}'

  names = {**one, **other}
  return [
      f'{name} {show(one, name)}, not {show(other, name)}' for name in names
      if one.get(name) != other.get(name)
  ]
