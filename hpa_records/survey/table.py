"""The columns of a table: their values, and what these look like."""

import collections
import dataclasses
import functools
from typing import Sequence

from hpa_records.ingest import csv_table
from hpa_records.runtime import errors
from hpa_records.runtime import printable

_WORDS = {'true', 'false', 'yes', 'no'}
_DIGITS = ({'0', '1'}, {'0.0', '1.0'})


@dataclasses.dataclass(frozen=True)
class Column:
  """A column.

  Attributes:
    name: of the header.
    texts: of each row, without spaces around them.
  """
  name: str
  texts: tuple[str, ...]

  @functools.cached_property
  def values(self) -> collections.Counter[str]:
    """How often each text occurs, without empty ones."""
    return collections.Counter(filter(None, self.texts))

  @property
  def num_empty(self) -> int:
    """The number of rows without a text."""
    return len(self.texts) - self.values.total()

  @property
  def is_unique(self) -> bool:
    """Whether each row has another text."""
    return len(self.values) == len(self.texts)

  @property
  def fits_template(self) -> bool:
    """Whether templates can have the column's name."""
    return self.name.isprintable() and not set(self.name) & set('{}:*/\\')

  @property
  def is_constant(self) -> bool:
    """Whether all rows have the same text, or none."""
    return len(self.values) < 2

  @property
  def is_boolean(self) -> bool:
    """Whether the texts are True or False, or both 1 and 0."""
    texts = {each.lower() for each in self.values}
    return bool(texts) and (texts <= _WORDS or texts in _DIGITS)


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    columns: in order.
    notes: what was not understood, a line each.
  """
  columns: tuple[Column, ...] = ()
  notes: tuple[str, ...] = ()

  @property
  def num_rows(self) -> int:
    """The number of valid rows."""
    return len(self.columns[0].texts) if self.columns else 0

  def find(self, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the texts of the named columns, a tuple for each row."""
    by_name = {each.name: each.texts for each in self.columns}
    return list(zip(*(by_name[name] for name in names)))


def read(csv: str) -> Table:
  """Returns the columns of a table.

  Args:
    csv: path or address.

  Raises:
    errors.DataError: it cannot be read, or is not CSV, or has no valid row.
  """
  content = csv_table.read(csv)
  names = csv_table.find_columns(content, csv)
  # Of a header with a name twice, the whole line is taken for one name.
  if not any(names) or len(names) == 1 and set(',;\t') & set(names[0]):
    raise errors.DataError(f'Expected the names of columns in row 1 of {csv}, '
                           'each once; add a header.')
  rows, wrong = [], []
  for row, values in csv_table.iterate(content, csv, names, 'rows'):
    if isinstance(values, str):
      wrong.append(f'row {row}: {values}')
    else:
      rows.append(values)
  if not rows:
    raise errors.DataError(f'No valid rows in {csv}: {wrong[0]}.')
  notes = [f'{len(wrong):,} rows are not valid CSV; the first: {wrong[0]}'
          ] if wrong else []
  if not all(names):
    notes.append('a column without a name is not used')
  return Table(
      tuple(
          Column(name, tuple(values[name].strip()
                             for values in rows))
          for name in filter(None, names)), tuple(notes))


def describe(column: Column) -> str:
  """Returns a column's name, number of values and examples, on one line."""
  examples = ', '.join(
      printable.quote(each) for each in list(column.values)[:3])
  empty = f', {column.num_empty:,} empty' if column.num_empty else ''
  return (f'{printable.quote(column.name)}: {len(column.values):,} distinct '
          f'values{empty}{" (" + examples + ")" if examples else ""}')
