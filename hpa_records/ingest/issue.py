"""An issue of the input, and the error and the CSV that list all of them.

Issues are collected and listed together: a command that stopped at the first of
124,288 files would have to be started again for each of them.
"""

import csv as csv_module
import dataclasses
import io
from typing import NoReturn, Sequence

from hpa_records.ingest import csv_cell
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

MAX_SHOWN = 20
HEAD = 'row,id,file,issue'  # of the CSV

# Kinds of issues: invalid content; a missing file; a file that could not be
# read, whose sample is never skipped; a valid sample that looks wrong.
WRONG, MISSING, UNREAD, DOUBT = 'wrong', 'missing', 'unread', 'doubt'


@dataclasses.dataclass(frozen=True)
class Issue:
  """One thing wrong with the input.

  Attributes:
    row: line number in the CSV as an editor shows it; the header is row 1. For
      samples found in a folder, the line in a CSV of their sorted ids.
    id: the sample's Id; '' if the line could not be parsed.
    file: name of the image, relative to the folder of images; '' for an issue
      of the row itself.
    message: what is wrong.
    kind: WRONG, MISSING, UNREAD or DOUBT.
  """
  row: int
  id: str
  file: str
  message: str
  kind: str = WRONG

  def __str__(self) -> str:
    place = f'row {self.row}, {self.file}' if self.file else f'row {self.row}'
    return f'{place}: {self.message}'


def find_id_issue(sample_id: str, row: int, first_rows: dict[str, int]) -> str:
  """Returns the message of an id's issue; '' for a valid id.

  Args:
    sample_id: the id.
    row: Issue.row.
    first_rows: row of each valid id so far; this one is added.
  """
  wrong = printable.find_name_issue(sample_id, 'an Id')
  if wrong:
    return wrong
  if sample_id not in first_rows:
    first_rows[sample_id] = row
    return ''
  place = ('in the same row' if first_rows[sample_id] == row else
           f'first in row {first_rows[sample_id]}')
  return f'duplicate Id {printable.quote(sample_id)}, {place}'


def of_image(row: int, sample_id: str, folder: str,
             error: errors.DataError) -> Issue:
  """Returns the issue for an error of load.load.

  Args:
    row: Issue.row.
    sample_id: Issue.id.
    folder: folder of the images.
    error: the error that load.load raised.
  """
  message, path = error.args
  kind = UNREAD if isinstance(error, errors.UnreadError) else WRONG
  return Issue(row, sample_id, path[len(folder):].lstrip('/'), message, kind)


def refuse(issues: Sequence[Issue], source: str) -> NoReturn:
  """Raises an error that lists the issues: their number and the first 20.

  Args:
    issues: at least one, in the order to list them.
    source: path of the CSV, or of the image folder if there is no CSV.

  Raises:
    errors.DataError: always.
  """
  head = (f'Invalid samples in {source}; fix them, or pass --on_error=skip '
          'to leave them out')
  raise errors.DataError(describe(head, issues))


def refuse_unread(issues: Sequence[Issue | str], source: str) -> NoReturn:
  """Raises an error that lists files that could not be read.

  --on_error=skip does not skip them: their content may be valid.

  Args and errors: as of refuse.
  """
  head = (f'Cannot read all files of {source}; fix that and run the same '
          'command')
  raise errors.DataError(describe(head, issues))


def write(issues: Sequence[Issue], path: str) -> None:
  """Writes the issues as CSV: row,id,file,issue.

  Characters that are not printable or not valid UTF-8 are escaped, and no cell
  can start a formula (csv_cell).

  Args:
    issues: written in the order given.
    path: of the file, which is written atomically.
  """
  text = io.StringIO()
  writer = csv_module.writer(text, lineterminator='\n')
  writer.writerow(HEAD.split(','))
  for each in issues:
    texts = map(printable.escape, (each.id, each.file, each.message))
    writer.writerow((each.row, *map(csv_cell.protect, texts)))
  filesystem.write_atomically(path, text.getvalue().encode())


def describe(head: str, issues: Sequence[Issue | str]) -> str:
  """Returns head, the number of issues, and the first 20, escaped, a line each.
  """
  lines = [f'{head}. {len(issues):,} issue{"s" if len(issues) > 1 else ""}:']
  lines += [
      f'  {printable.escape_line(str(each))}' for each in issues[:MAX_SHOWN]
  ]
  if len(issues) > MAX_SHOWN:
    lines.append(f'  ... and {len(issues) - MAX_SHOWN:,} more')
  return '\n'.join(lines)
