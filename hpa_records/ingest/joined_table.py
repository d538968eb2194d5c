"""The rows of a table with the columns of the tables that are joined to it."""

import hashlib
import os
import re
from typing import Collection, Iterator, Sequence

from hpa_records.datasets import layout
from hpa_records.ingest import csv_table
from hpa_records.runtime import errors
from hpa_records.runtime import printable

# What is compared as a number. 01 is not: it may be another name than 1.
_NUMBER = re.compile(r'(-?(?:0|[1-9][0-9]*))(?:\.([0-9]+))?')


class Table:
  """A table and those that a description joins to it.

  Attributes:
    csv: path or address.
    content: of the table.
    columns: of all tables.
    sha256: hex digest of the content of all.
    num_dropped: rows without a match that iterate has left out.
    first_dropped: the row of the first of them.
  """

  def __init__(self,
               csv: str,
               joins: Sequence[layout.Join],
               needed: Collection[str] | None = None):
    """Reads the tables.

    Args:
      csv: path or address.
      joins: as of layout.Table.
      needed: columns; once the tables so far have them, further ones are
        neither read nor applied. None reads all.

    Raises:
      errors.DataError: one cannot be read or is not valid.
    """
    self.csv = csv
    self.content = csv_table.read(csv)
    self.columns = csv_table.find_columns(self.content, csv)
    self.num_dropped, self.first_dropped = 0, 0
    digest = hashlib.sha256(self.content)
    self._joined = []
    self._twice: set[str] = set()
    for join in joins:
      if needed is not None and set(needed) <= set(self.columns):
        break
      found = _Joined(os.path.join(os.path.dirname(csv), join.csv), join,
                      self.columns)
      self._twice |= found.others & {
          name for each in self._joined for name in each.columns
      }
      self._joined.append(found)
      self.columns += found.columns
      digest.update(found.content)
    self.sha256 = digest.hexdigest()

  def iterate(self,
              needed: Sequence[str],
              limit: int = 0) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Returns (row, values or an issue's message), as csv_table.iterate does.

    Rows without a match are left out where the description says so.

    Args:
      needed: columns of any of the tables.
      limit: as of csv_table.iterate.

    Raises:
      errors.DataError: as of csv_table.iterate; or a needed column is in two
        joined tables, so that its values are uncertain.
    """
    twice = sorted(self._twice & set(needed))
    if twice:
      raise errors.DataError(
          f'The column {printable.quote(twice[0])} is in two tables that are '
          f'joined to {self.csv}; rename or remove one.')
    later = {name for each in self._joined for name in each.columns}
    own = [name for name in needed if name not in later]
    for each in self._joined:
      own += [name for name, _ in each.join.on if name not in {*own, *later}]
    rows = csv_table.iterate(self.content, self.csv, own, 'samples', limit)
    for row, values in rows:
      if isinstance(values, str):
        yield row, values
        continue
      wrong, is_dropped = '', False
      for each in self._joined:
        if not wrong and not is_dropped:
          wrong, is_dropped = each.add_to(values)
      if is_dropped:
        self.num_dropped += 1
        self.first_dropped = self.first_dropped or row
      else:
        yield row, wrong or values


class _Joined:
  """A joined table: its rows by their key.

  Attributes:
    others: its columns that are no keys.
    columns: those of them that no earlier table has.
  """

  def __init__(self, csv: str, join: layout.Join, known: Sequence[str]):
    self.join = join
    self._csv = csv
    self.content = csv_table.read(csv)
    columns = csv_table.find_columns(self.content, csv)
    keys = [name for _, name in join.on]
    self.others = {*columns} - {*keys}
    self.columns = [
        name for name in columns if name in self.others and name not in known
    ]
    needed = [*dict.fromkeys([*keys, *self.columns])]
    self._rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row, values in csv_table.iterate(self.content, csv, needed, 'rows'):
      if isinstance(values, str):
        raise errors.DataError(f'Row {row} of {csv}: {values}; fix it.')
      key = tuple(_normalize(values[name]) for _, name in join.on)
      added = {name: values[name] for name in self.columns}
      if self._rows.setdefault(key, added) != added:
        raise errors.DataError(
            f'Row {row} of {csv} has the same '
            f'{", ".join(name for _, name in join.on)} as another row, '
            f'{printable.show_list(key)}, and other values; remove one.')

  def add_to(self, values: dict[str, str]) -> tuple[str, bool]:
    """Adds the columns to a row's values.

    Returns:
      The message of an issue, or ''; and whether the row is to be left out.
    """
    key = tuple(_normalize(values[name]) for name, _ in self.join.on)
    # Two empty cells are not one name.
    found = self._rows.get(key) if any(key) else None
    if found is not None:
      values.update(found)
      return '', False
    if self.join.unmatched == 'drop':
      return '', True
    return (f'no row of {self._csv} has '
            f'{", ".join(name for _, name in self.join.on)} '
            f'{printable.show_list(key)}'), False


def _normalize(text: str) -> str:
  """Returns a text in the form in which keys are compared."""
  text = text.strip()
  number = _NUMBER.fullmatch(text)
  if not number:
    return text
  whole, fraction = number[1], (number[2] or '').rstrip('0')
  return f'{whole}.{fraction}' if fraction else whole
