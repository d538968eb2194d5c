"""The groups of samples: from a table of their own, or from columns.

The samples of a group are put in one fold. So two spellings of one name would
be an error that nothing later detects.
"""

import re
import unicodedata

from hpa_records.ingest import csv_table
from hpa_records.ingest import issue
from hpa_records.runtime import printable

COLUMNS = ('Id', 'group')


class Names:
  """The names of groups or plates so far, compared in spelling."""

  def __init__(self, kind: str = 'group'):
    self._kind = kind
    self._spelled: dict[str, tuple[int, str]] = {}

  def find_issue(self, group: str, row: int) -> str:
    """Returns the message of a name's issue; '' for a valid one.

    Names that differ only in letter case, Unicode form or a decimal point
    (5 and 5.0) are issues, and so is nan.

    Args:
      group: the name, without spaces around it.
      row: as of issue.Issue.
    """
    wrong = printable.find_name_issue(group, f'the name of a {self._kind}', '')
    form = unicodedata.normalize('NFC', group)
    # Spreadsheets and pandas turn the name 5 into 5.0.
    alike = re.sub(r'^([0-9]+)\.0+$', r'\1', form.casefold())
    first_row, first = self._spelled.setdefault(alike, (row, group))
    if alike == 'nan':
      return (f'expected the name of a {self._kind}, received '
              f'{printable.quote(group)} (a missing value)')
    if unicodedata.normalize('NFC', first) != form:
      return (
          f'{self._kind} {printable.quote(group)} is spelled '
          f'{printable.quote(first)} in row {first_row}; spell it the same, or '
          f'rename one if they are two {self._kind}s')
    if first != group:
      return (f'{self._kind} {printable.quote(form)} has other code points '
              f'(Unicode NFC or NFD) than in row {first_row}; spell it '
              'the same')
    return wrong


def parse(content: bytes,
          groups: str) -> tuple[dict[str, str], list[issue.Issue]]:
  """Returns the group of each Id, and all invalid rows.

  Args:
    content: of a file with the columns Id and group, UTF-8. Spaces around the
      name of a group are removed; see Names.
    groups: its path, for messages.

  Raises:
    errors.DataError: as of csv_table.iterate and check_count.
  """
  group_of, issues, first_rows, names = {}, [], {}, Names()
  for row, values in csv_table.iterate(content, groups, COLUMNS, 'groups'):
    csv_table.check_count(issues, groups)
    if isinstance(values, str):
      issues.append(issue.Issue(row, '', '', values))
      continue
    sample_id, group = values['Id'], values['group'].strip()
    for wrong in (issue.find_id_issue(sample_id, row,
                                      first_rows), names.find_issue(group,
                                                                    row)):
      if wrong:
        issues.append(issue.Issue(row, sample_id, '', wrong))
    group_of.setdefault(sample_id, group)
  return group_of, issues
