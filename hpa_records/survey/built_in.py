"""Finds built-in descriptions that fit a table and its file names."""

from typing import Collection, Sequence

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.datasets import template


def find(columns: Sequence[str], tokens: Sequence[str]) -> list[str]:
  """Returns the names of the built-in descriptions that may fit.

  Args:
    columns: of the table.
    tokens: what {channel} stands for in the names of the files; () without.
  """
  return [
      name for name in description.names()
      if _fits(description.load(name), set(columns), set(tokens))
  ]


def _fits(found: layout.Description, columns: Collection[str],
          tokens: Collection[str]) -> bool:
  made = {'id', 'channel', 'class', *(name for name, _ in found.table.each)}
  needed = set(template.find_fields(found.table.id)) or {found.table.id}
  for pattern in found.patterns():
    needed |= set(template.find_fields(pattern))
  needed -= made
  if not found.table.join and found.table.form != 'columns':
    needed |= set(found.table.labels)
  for each in found.classes if found.table.form == 'columns' else ():
    if not columns & {each.name, *each.aliases}:
      return False
  has_channel = '{channel}' in found.images.pattern and not any(
      each.path for each in found.channels)
  files = {each.file or each.name for each in found.channels}
  return needed <= columns and (not has_channel or files == tokens)
