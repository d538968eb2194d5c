"""Parses CSV text to samples or groups and lists the invalid rows.

A record is one line. Its row is the line number that an editor shows: the
header is row 1, and blank lines are skipped but counted.

pandas.read_csv turns the id 001 into 1 and NA into a missing value, and does
not name the line of an unclosed quote. So the csv module gets one line at a
time.
"""

import contextlib
import csv as csv_module
import io
import itertools
import re
from typing import Iterable, Iterator, NamedTuple, Sequence
import unicodedata

from hpa_records.format import spec
from hpa_records.images import file_kind
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

COLUMNS = ('Id', 'Target')
GROUP_COLUMNS = ('Id', 'group')

_MAX_BYTES = 2**27  # Kaggle's table has 1.5 million
_MAX_COLUMNS = 10_000
MAX_ISSUES = 100_000  # more of them: probably the wrong file


class Sample(NamedTuple):
  """One row of a table: Id, labels 0..K-1 ascending, line number, fold.

  Without a Target column labels are (); without a fold column fold is None.
  """
  id: str
  labels: tuple[int, ...]
  row: int
  fold: int | None = None


def read(csv: str) -> bytes:
  """Returns the content of a CSV file.

  Args:
    csv: path or address.

  Raises:
    errors.DataError: it cannot be read, or is larger than 128 MiB.
  """
  try:
    with filesystem.open_read(csv) as file:
      content = file.read(_MAX_BYTES + 1)
  except OSError as error:
    raise errors.describe_read(csv, error) from error
  if len(content) > _MAX_BYTES:
    raise errors.DataError(f'{csv} is too large for a table of images: over '
                           f'{_MAX_BYTES:,} bytes; pass another CSV file.')
  return content


def parse(content: bytes,
          csv: str,
          unlabelled: bool,
          limit: int,
          fold_column: str = '',
          num_folds: int = 0) -> tuple[list[Sample], list[issue.Issue]]:
  """Returns the samples whose files can be looked up, and all invalid rows.

  Args:
    content: of the file, UTF-8.
    csv: its path, for messages.
    unlabelled: whether the column Target is ignored and may be missing.
    limit: number of rows to read, invalid ones included; 0 reads all.
    fold_column: name of a column of folds, 0..num_folds-1; '' reads none. Must
      be '' for an unlabelled set.
    num_folds: number of folds in that column.

  Raises:
    errors.DataError: content is not UTF-8 text, lacks a column, has no rows, or
      has more than 100,000 issues.
  """
  needed = COLUMNS[:1] if unlabelled else COLUMNS
  if fold_column:
    needed += (fold_column,)
  rows = _split_rows(content, csv, needed, 'samples', limit)
  return _parse_rows(rows, csv, fold_column, num_folds)


def parse_groups(content: bytes,
                 groups: str) -> tuple[dict[str, str], list[issue.Issue]]:
  """Returns the group of each Id, and all invalid rows.

  Args:
    content: of a file with the columns Id and group, UTF-8. Spaces around the
      name of a group are removed. Names that differ only in letter case,
      Unicode form or a decimal point (5 and 5.0) are issues, and so is nan.
    groups: its path, for messages.

  Raises:
    errors.DataError: as parse.
  """
  group_of, issues, first_rows, spelled = {}, [], {}, {}
  for row, fields in _split_rows(content, groups, GROUP_COLUMNS, 'groups', 0):
    _check_count(issues, groups)
    if isinstance(fields, str):
      issues.append(issue.Issue(row, '', '', fields))
      continue
    sample_id, group = fields[0], fields[1].strip()
    wrong_id = _check_id(sample_id, row, first_rows)
    wrong_group = printable.find_name_issue(group, 'the name of a group')
    form = unicodedata.normalize('NFC', group)
    # Spreadsheets and pandas turn the name 5 into 5.0.
    alike = re.sub(r'^([0-9]+)\.0+$', r'\1', form.casefold())
    first_row, first = spelled.setdefault(alike, (row, group))
    if alike == 'nan':
      wrong_group = (f'expected the name of a group, received '
                     f'{printable.quote(group)} (a missing value)')
    elif unicodedata.normalize('NFC', first) != form:
      wrong_group = (
          f'group {printable.quote(group)} is spelled {printable.quote(first)} '
          f'in row {first_row}; spell it the same, or rename one if they are '
          'two groups')
    elif first != group:
      wrong_group = (f'group {printable.quote(form)} has other code points '
                     f'(Unicode NFC or NFD) than in row {first_row}; spell it '
                     'the same')
    issues += _list_issues(row, sample_id, wrong_id, wrong_group)
    group_of.setdefault(sample_id, group)
  return group_of, issues


def name_rows(ids: Sequence[str]) -> tuple[list[Sample], list[issue.Issue]]:
  """Returns the unlabelled samples and the issues of a list of ids.

  The result is that of parse for a CSV with one id a line.

  Args:
    ids: unique ids.
  """
  samples, issues = [], []
  for row, sample_id in enumerate(ids, start=2):
    wrong = _check_id(sample_id, row, {})
    if wrong:
      issues.append(issue.Issue(row, sample_id, '', wrong))
    else:
      samples.append(Sample(sample_id, (), row))
  return samples, issues


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
  text = io.TextIOWrapper(io.BytesIO(content), 'utf-8-sig', newline=None)
  return ((row, line.rstrip('\n'))
          for row, line in enumerate(text, start=1)
          if line.strip())


def _describe_kind(content: bytes) -> str:
  """Returns the kind of a file that is not text; '' if unknown."""
  head = content[:file_kind.HEAD_BYTES]
  return file_kind.describe(head) or ('NUL bytes, as UTF-16 text has them'
                                      if b'\0' in head else '')


def _parse_header(row: int, line: str, csv: str, needed: Sequence[str],
                  content: bytes) -> list[str]:
  columns = []
  if line.count(',') < _MAX_COLUMNS:
    with contextlib.suppress(errors.DataError):
      columns = _split_fields(line)
  once = len(set(columns)) == len(columns)
  if not once or not set(needed) <= set(columns):
    raise errors.DataError(
        f'Expected the columns {",".join(needed)} in row {row} of {csv}, '
        f'separated by commas and each once, received '
        f'{_describe_kind(content) or printable.quote(line)}.')
  return columns


def _split_rows(content: bytes, csv: str, needed: Sequence[str], what: str,
                limit: int) -> Iterator[tuple[int, list[str] | str]]:
  """Returns (row, needed fields or the message of an issue) of every row.

  Raises:
    errors.DataError: as parse.
  """
  lines = _split_lines(content, csv)
  columns = _parse_header(*next(lines, (1, '')), csv, needed, content)
  first = next(lines, None)
  if first is None:
    raise errors.DataError(f'No {what} in {csv}: it has only a header.')
  lines = itertools.islice(itertools.chain([first], lines), limit or None)
  return ((row, _pick_fields(line, columns, needed)) for row, line in lines)


def _parse_rows(rows: Iterable[tuple[int, list[str] | str]], csv: str,
                fold_column: str,
                num_folds: int) -> tuple[list[Sample], list[issue.Issue]]:
  samples, issues, first_rows = [], [], {}
  for row, fields in rows:
    _check_count(issues, csv)
    if isinstance(fields, str):
      issues.append(issue.Issue(row, '', '', fields))
      continue
    sample_id, *fields = fields
    wrong_id = _check_id(sample_id, row, first_rows)
    labels, wrong_labels = _parse_target(fields[0]) if fields else ((), '')
    fold, wrong_fold = _parse_fold(fields[1], fold_column,
                                   num_folds) if fold_column else (None, '')
    issues += _list_issues(row, sample_id, wrong_id, wrong_labels, wrong_fold)
    if not wrong_id:
      samples.append(Sample(sample_id, labels, row, fold))
  return samples, issues


def _check_count(issues: Sequence[issue.Issue], csv: str) -> None:
  if len(issues) > MAX_ISSUES:
    raise errors.DataError(f'More than {MAX_ISSUES:,} rows of {csv} are '
                           f'invalid. The first: {issues[0]}.')


def _list_issues(row: int, sample_id: str, *messages: str) -> list[issue.Issue]:
  return [
      issue.Issue(row, sample_id, '', message)
      for message in messages
      if message
  ]


def _split_fields(line: str) -> list[str]:
  try:
    return next(csv_module.reader([line], strict=True))
  except csv_module.Error as error:
    raise errors.DataError(
        f'expected CSV, received {printable.quote(line)} ({error})') from error


def _pick_fields(line: str, columns: list[str],
                 needed: Sequence[str]) -> list[str] | str:
  """Returns the needed fields of a line, or the message of its issue."""
  try:
    fields = _split_fields(line)
  except errors.DataError as error:
    return str(error)
  if len(fields) != len(columns):
    return (f'expected {len(columns)} fields, received {len(fields)}: '
            f'{printable.quote(line)}')
  return [fields[columns.index(name)] for name in needed]


def _check_id(sample_id: str, row: int, first_rows: dict[str, int]) -> str:
  """Returns the message of an id's issue; '' for a valid id, kept in
  first_rows."""
  wrong = printable.find_name_issue(sample_id, 'an Id')
  if wrong:
    return wrong
  first_row = first_rows.setdefault(sample_id, row)
  return '' if first_row == row else (
      f'duplicate Id {printable.quote(sample_id)}, first in row {first_row}')


def _parse_target(target: str) -> tuple[tuple[int, ...], str]:
  """Returns the labels and '', or () and the message of an issue."""
  # [0-9], since int() also takes '1_0', '+1' and digits of other scripts.
  if re.fullmatch(r'\s*([0-9]{1,9}\s+)*[0-9]{1,9}\s*', target):
    labels = tuple(sorted(map(int, target.split())))
    if len(set(labels)) < len(labels):
      return (), f'duplicate label in Target: {printable.quote(target)}'
    if labels[-1] < spec.NUM_CLASSES:
      return labels, ''
  return (), (f'expected whole numbers 0..{spec.NUM_CLASSES - 1}, separated '
              f'by spaces, in Target, received {printable.quote(target)}')


def _parse_fold(text: str, name: str, num_folds: int) -> tuple[int, str]:
  """Returns the fold and '', or 0 and the message of an issue."""
  if re.fullmatch(r'\s*[0-9]{1,9}\s*', text) and int(text) < num_folds:
    return int(text), ''
  return 0, (f'expected a fold 0..{num_folds - 1} in {name}, received '
             f'{printable.quote(text)}')
