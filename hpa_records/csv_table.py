"""CSV text -> samples and the rows that are at fault.

pandas.read_csv turns the id 001 into 1 and NA into nothing, and does not say
in which line a quote stays open; the csv module, given one line at a time,
does. A record is one line, and its row is the line number that an editor
shows: the header is row 1, blank lines are passed over but counted.
"""

import csv as csv_module
import io
import re
from typing import Iterable, NamedTuple, Sequence

from hpa_records import fault
from hpa_records import filesystem
from hpa_records import schema

COLUMNS = ('Id', 'Target')


class Sample(NamedTuple):
  """One row: its Id, labels 0..K-1 ascending (none: unlabelled), its line."""
  id: str
  labels: tuple[int, ...]
  row: int


def read(csv: str) -> bytes:
  """Returns the content of a CSV file.

  Args:
    csv: path or address.

  Raises:
    schema.DataError: it cannot be read.
  """
  try:
    return filesystem.read_bytes(csv)
  except OSError as error:
    raise schema.DataError(
        f'Expected a CSV file at {csv}, received: {error.strerror}.') from error


def parse(content: bytes, csv: str, unlabelled: bool,
          limit: int) -> tuple[list[Sample], list[fault.Fault]]:
  """Returns the samples whose files can be looked up, and all faulty rows.

  Args:
    content: of the file, UTF-8.
    csv: its path, for messages.
    unlabelled: no column Target is needed, and none is read.
    limit: reads the first so many rows, faulty ones included; 0 reads all.

  Raises:
    schema.DataError: content is no text, has not the columns, or no row.
  """
  needed = COLUMNS[:1] if unlabelled else COLUMNS
  header, *lines = _split_lines(content, csv) or [(1, '')]
  columns = _parse_header(*header, csv, needed)
  if not lines:
    raise schema.DataError(
        f'Expected samples in {csv}, received only a header.')
  return _parse_rows(lines[:limit] if limit else lines, columns, needed)


def name_rows(ids: Sequence[str]) -> tuple[list[Sample], list[fault.Fault]]:
  """Returns unlabelled samples as a CSV of these ids, one a line, gives them.

  Args:
    ids: each once; their faults are those of ids, as in parse.
  """
  samples, faults = [], []
  for row, sample_id in enumerate(ids, start=2):
    wrong = _check_id(sample_id, row, {})
    if wrong:
      faults.append(fault.Fault(row, sample_id, '', wrong))
    else:
      samples.append(Sample(sample_id, (), row))
  return samples, faults


def _shorten(text: str) -> str:
  return repr(text if len(text) <= 80 else f'{text[:77]}...')


def _split_lines(content: bytes, csv: str) -> list[tuple[int, str]]:
  """Returns (row, text) of every line that is not blank."""
  try:
    text = content.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    row = error.object.count(b'\n', 0, error.start) + 1
    byte = error.object[error.start]
    raise schema.DataError(
        f'Expected UTF-8 text in {csv}, received byte '
        f'0x{byte:02x} in row {row}; save it as UTF-8.') from error
  # Not splitlines(), which also cuts at form feeds and U+2028: no editor does.
  lines = enumerate(io.StringIO(text, newline=None), start=1)
  return [(row, line.rstrip('\n')) for row, line in lines if line.strip()]


def _parse_header(row: int, line: str, csv: str,
                  needed: Sequence[str]) -> list[str]:
  try:
    columns = _split_fields(line)
  except schema.DataError:
    columns = []
  once = len(set(columns)) == len(columns)
  if not once or not set(needed) <= set(columns):
    raise schema.DataError(
        f'Expected the columns {",".join(needed)} in row {row} of {csv}, '
        f'separated by commas and each once, received {_shorten(line)}.')
  return columns


def _parse_rows(
    lines: Iterable[tuple[int, str]], columns: list[str],
    needed: Sequence[str]) -> tuple[list[Sample], list[fault.Fault]]:
  samples, faults, first_rows = [], [], {}
  for row, line in lines:
    try:
      sample_id, *target = _pick_fields(line, columns, needed)
    except schema.DataError as error:
      faults.append(fault.Fault(row, '', '', str(error)))
      continue
    labels, wrong_labels = _parse_target(*target) if target else ((), '')
    wrong_id = _check_id(sample_id, row, first_rows)
    faults += [
        fault.Fault(row, sample_id, '', message)
        for message in (wrong_id, wrong_labels)
        if message
    ]
    if not wrong_id:
      samples.append(Sample(sample_id, labels, row))
  return samples, faults


def _split_fields(line: str) -> list[str]:
  try:
    return next(csv_module.reader([line], strict=True))
  except csv_module.Error as error:
    raise schema.DataError(
        f'expected CSV, received {_shorten(line)} ({error})') from error


def _pick_fields(line: str, columns: list[str],
                 needed: Sequence[str]) -> list[str]:
  fields = _split_fields(line)
  if len(fields) != len(columns):
    raise schema.DataError(f'expected {len(columns)} fields, received '
                           f'{len(fields)}: {_shorten(line)}')
  return [fields[columns.index(name)] for name in needed]


def _check_id(sample_id: str, row: int, first_rows: dict[str, int]) -> str:
  """Returns why an id is refused; empty for a sound one, which is noted."""
  if (not sample_id.isprintable() or sample_id != sample_id.strip() or
      sample_id in ('', '.', '..') or set('/\\') & set(sample_id)):
    return ('expected an Id that is a plain name without path parts, received '
            f'{_shorten(sample_id)}')
  first_row = first_rows.setdefault(sample_id, row)
  return '' if first_row == row else (
      f'expected each Id once, received {_shorten(sample_id)} again, first in '
      f'row {first_row}')


def _parse_target(target: str) -> tuple[tuple[int, ...], str]:
  """Returns the labels and '', or () and why they are refused."""
  # [0-9], since int() also takes '1_0', '+1' and digits of other scripts.
  if re.fullmatch(r'\s*([0-9]{1,9}\s+)*[0-9]{1,9}\s*', target):
    labels = tuple(sorted(map(int, target.split())))
    if len(set(labels)) < len(labels):
      return (), f'expected each label once, received {_shorten(target)}'
    if labels[-1] < schema.NUM_CLASSES:
      return labels, ''
  return (), (f'expected whole numbers 0..{schema.NUM_CLASSES - 1}, separated '
              f'by spaces, in Target, received {_shorten(target)}')
