"""What is wrong with the input: one issue, and all of them in one message.

A command that stops at the first bad file of 124,288 is started again for each
of them, so issues are collected and listed together.
"""

import csv as csv_module
import dataclasses
import io
from typing import NoReturn, Sequence

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

MAX_SHOWN = 20
HEAD = 'row,id,file,issue'  # of the CSV

# What kind of issue: the content is wrong, the file is not there, or it could
# not be read just now, where a sample is never left out; or it is sound and
# looks wrong.
WRONG, MISSING, UNREAD, DOUBT = 'wrong', 'missing', 'unread', 'doubt'


@dataclasses.dataclass(frozen=True)
class Issue:
  """One thing wrong with the input.

  Attributes:
    row: line number in the CSV as an editor shows it; the header is row 1. Of
      samples found in a folder, the line in a CSV of their sorted ids.
    id: the sample's Id; empty where the line could not be split.
    file: name of the image inside its folder; empty where the row itself is
      wrong. Without its folder: two machines list an issue in the same bytes.
    message: what was expected and what was received.
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


def of_image(row: int, sample_id: str, folder: str,
             error: errors.DataError) -> Issue:
  """Returns the issue of a sample that load.load refused.

  Args:
    row: as in Issue.
    sample_id: as in Issue, id.
    folder: of the images.
    error: that load.load raised.
  """
  message, path = error.args
  kind = UNREAD if isinstance(error, errors.UnreadError) else WRONG
  return Issue(row, sample_id, path[len(folder):].lstrip('/'), message, kind)


def refuse(issues: Sequence[Issue], source: str) -> NoReturn:
  """Raises the error that lists the issues, the first 20 of them in full.

  Args:
    issues: at least one, in the order to be shown.
    source: path of the CSV that the rows are counted in, or of the image
      folder that stands for it.

  Raises:
    errors.DataError: always.
  """
  head = (f'Invalid samples in {source}; fix them, or pass --on_error=skip '
          'to leave them out')
  raise errors.DataError(describe(head, issues))


def refuse_unread(issues: Sequence[Issue | str], source: str) -> NoReturn:
  """Raises the error that lists files that could not be read just now.

  Their content may be valid, so no sample is left out for it.

  Args and errors: as of refuse.
  """
  head = (f'Cannot read all files of {source}; fix that and run the same '
          'command')
  raise errors.DataError(describe(head, issues))


def write(issues: Sequence[Issue], path: str) -> None:
  """Writes the issues as CSV: row,id,file,issue.

  What is not printable is escaped, and what UTF-8 does not take.

  Args:
    issues: written in the order given.
    path: of the new file; it appears whole or not at all.
  """
  text = io.StringIO()
  writer = csv_module.writer(text, lineterminator='\n')
  writer.writerow(HEAD.split(','))
  for each in issues:
    told = map(printable.escape, (each.id, each.file, each.message))
    writer.writerow((each.row, *told))
  filesystem.write_atomically(path, text.getvalue().encode())


def describe(head: str, issues: Sequence[Issue | str]) -> str:
  """Returns head, the number of issues, and the first 20 of them, a line each,
  whatever names they quote."""
  lines = [f'{head}. {len(issues):,} issue{"s" if len(issues) > 1 else ""}:']
  lines += [
      f'  {printable.escape_line(str(each))}' for each in issues[:MAX_SHOWN]
  ]
  if len(issues) > MAX_SHOWN:
    lines.append(f'  ... and {len(issues) - MAX_SHOWN:,} more')
  return '\n'.join(lines)
