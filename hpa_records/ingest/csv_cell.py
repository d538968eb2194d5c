"""Cells of the CSV files that are written here: none can start a formula.

A spreadsheet computes a cell that begins with =, +, -, @ (in Japanese and
Chinese ones of full width, too), a tab or a carriage return, and a formula can
read other files or open an address. Names of samples
and classes come from others. So a text that begins with one of these, or with
an apostrophe, is written after an apostrophe, which spreadsheets do not show.
The first apostrophe of a cell is then always one that was added: a reader
removes it where one of these characters follows. csv_table does.

Numbers are written as they are.

Source: OWASP, "CSV Injection".
"""

from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:  # it would make commands start slowly
  import pandas as pd

_MARK = "'"
_GUARDED = (*'=+-@＝＋－＠', '\t', '\r', _MARK)
_NUMBERS = 'biuf'  # NumPy's kinds of dtypes


def protect(value: Any) -> Any:
  """Returns a text that cannot start a formula; another value as it is."""
  if isinstance(value, str) and value.startswith(_GUARDED):
    return _MARK + value
  return value


def restore(text: str) -> str:
  """Returns the text of a cell, for which protect returned it."""
  if text.startswith(_MARK) and text[1:].startswith(_GUARDED):
    return text[1:]
  return text


def encode(table: 'pd.DataFrame', index_label: str = '') -> bytes:
  """Returns a table as a CSV file, whose texts are protected.

  Args:
    table: of numbers and texts; its index is left out.
    index_label: name of the first column, which is the index; '' leaves it out.
  """
  found = table.apply(lambda column: column
                      if column.dtype.kind in _NUMBERS else column.map(protect))
  found.columns = [protect(name) for name in table.columns]
  if not index_label:
    return found.to_csv(index=False).encode()
  found.index = table.index.map(protect)
  return found.to_csv(index_label=protect(index_label)).encode()
