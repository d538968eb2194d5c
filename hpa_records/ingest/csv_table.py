"""Reads CSV text row by row, and lists the rows that are not valid CSV.

A record is one line. Its row is the line number that an editor shows: the
header is row 1, and blank lines are skipped but counted. Columns are separated
by commas, tabs or semicolons, as the header says.

pandas.read_csv turns the id 001 into 1 and NA into a missing value, and does
not name the line of an unclosed quote. So the csv module gets one line at a
time. The apostrophe that csv_cell writes before a cell is removed.
"""

import contextlib
import csv as csv_module
import io
import itertools
from typing import Iterator, Sequence

from hpa_records.images import file_kind
from hpa_records.ingest import csv_cell
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

MAX_ISSUES = 100_000  # more of them: probably the wrong file

_MAX_BYTES = 2**27  # Kaggle's table has 1.5 million
_MAX_COLUMNS = 10_000
_DELIMITERS = (',', '\t', ';')


def read(csv: str) -> bytes:
  """Returns the content of a CSV file.

  Args:
    csv: path or address.

  Raises:
    errors.DataError: it cannot be read, or is larger than 128 MiB.
  """
  return filesystem.read_at_most(csv, _MAX_BYTES, 'a table of images')


def find_columns(content: bytes, csv: str) -> list[str]:
  """Returns the names of a table's columns; [] if its header is not CSV.

  Raises:
    errors.DataError: content is not UTF-8 text.
  """
  _, line = next(_split_lines(content, csv), (1, ''))
  return max((_split_header(line, each) for each in _DELIMITERS), key=len)


def iterate(content: bytes,
            csv: str,
            needed: Sequence[str],
            what: str,
            limit: int = 0) -> Iterator[tuple[int, dict[str, str] | str]]:
  """Returns (row, values or the message of an issue) of every row.

  Args:
    content: of the file, UTF-8.
    csv: its path, for messages.
    needed: names of the columns to read.
    what: what the rows are, for messages.
    limit: number of rows to read, invalid ones included; 0 reads all.

  Returns:
    The values are texts by column, of the needed columns.

  Raises:
    errors.DataError: content is not UTF-8 text, lacks a column or has no rows.
  """
  lines = _split_lines(content, csv)
  columns, delimiter = _parse_header(*next(lines, (1, '')), csv, needed,
                                     content)
  first = next(lines, None)
  if first is None:
    raise errors.DataError(f'No {what} in {csv}: it has only a header.')
  places = [(name, columns.index(name)) for name in needed]
  lines = itertools.islice(itertools.chain([first], lines), limit or None)
  return ((row, _pick_fields(line, delimiter, len(columns), places))
          for row, line in lines)


def check_count(issues: Sequence[issue.Issue], csv: str) -> None:
  """Refuses a table with more than MAX_ISSUES issues.

  Raises:
    errors.DataError: it has more.
  """
  if len(issues) > MAX_ISSUES:
    raise errors.DataError(f'More than {MAX_ISSUES:,} rows of {csv} are '
                           f'invalid. The first: {issues[0]}.')


def _split_lines(content: bytes, csv: str) -> Iterator[tuple[int, str]]:
  """Returns (row, text) of every line that is not blank."""
  try:
    content.decode()
  except UnicodeDecodeError as error:
    kind = _describe_kind(content)
    if kind:
      raise errors.DataError(f'Expected UTF-8 text in {csv}, received {kind}; '
                             'save it as UTF-8 CSV.') from error
    row = error.object.count(b'\n', 0, error.start) + 1
    byte = error.object[error.start]
    raise errors.DataError(
        f'Expected UTF-8 text in {csv}, received byte '
        f'0x{byte:02x} in row {row}; save it as UTF-8.') from error
  # Not splitlines(), which also cuts at form feeds and U+2028: no editor does.
  # With newline=None a lone carriage return ends a line, too.
  text = io.TextIOWrapper(io.BytesIO(content), 'utf-8-sig', newline=None)
  return ((row, line.rstrip('\n'))
          for row, line in enumerate(text, start=1)
          if line.strip())


def _describe_kind(content: bytes) -> str:
  """Returns the kind of a file that is not text; '' if unknown."""
  head = content[:file_kind.HEAD_BYTES]
  return file_kind.describe(head) or ('NUL bytes, as UTF-16 text has them'
                                      if b'\0' in head else '')


def _split_header(line: str, delimiter: str) -> list[str]:
  """Returns the names of the columns; [] for a line that is not a header."""
  columns: list[str] = []
  if line.count(delimiter) < _MAX_COLUMNS:
    with contextlib.suppress(errors.DataError):
      columns = _split_fields(line, delimiter)
  return columns if len(set(columns)) == len(columns) else []


def _parse_header(row: int, line: str, csv: str, needed: Sequence[str],
                  content: bytes) -> tuple[list[str], str]:
  """Returns the columns, and what separates them."""
  for delimiter in _DELIMITERS:
    columns = _split_header(line, delimiter)
    if columns and set(needed) <= set(columns):
      return columns, delimiter
  raise errors.DataError(
      f'Expected the columns {",".join(needed)} in row {row} of {csv}, '
      f'separated by commas and each once, received '
      f'{_describe_kind(content) or printable.quote(line)}.')


def _split_fields(line: str, delimiter: str) -> list[str]:
  try:
    fields = next(csv_module.reader([line], strict=True, delimiter=delimiter))
    return [csv_cell.restore(each) for each in fields]
  except csv_module.Error as error:
    raise errors.DataError(
        f'expected CSV, received {printable.quote(line)} ({error})') from error


def _pick_fields(line: str, delimiter: str, num_columns: int,
                 places: Sequence[tuple[str, int]]) -> dict[str, str] | str:
  """Returns the needed fields of a line, or the message of its issue."""
  try:
    fields = _split_fields(line, delimiter)
  except errors.DataError as error:
    return str(error)
  if len(fields) != num_columns:
    return (f'expected {num_columns} fields, received {len(fields)}: '
            f'{printable.quote(line)}')
  return {name: fields[place] for name, place in places}
