"""group_table: the names of groups, compared in spelling."""

import pytest

from hpa_records.ingest import group_table


def test_groups_by_id():
  content = b'group;note;Id\n p 1 ;x;a\np 1;;b\n\n5;;c\n'
  assert group_table.parse(content, 'g.csv') == ({
      'a': 'p 1',
      'b': 'p 1',
      'c': '5'
  }, [])


@pytest.mark.parametrize('first,second,message', [
    ('P', 'p', "group 'p' is spelled 'P' in row 2; spell it the same"),
    ('5', '5.0', "group '5.0' is spelled '5' in row 2"),
    ('\u00e9', 'e\u0301', 'other code points'),
    ('x', 'NaN', "received 'NaN' (a missing value)"),
    ('x', '', "received ''"),
    ('x', 'x\x1b', "received 'x\\x1b'"),
])
def test_other_spellings_are_issues(first, second, message):
  names = group_table.Names()
  assert not names.find_issue(first, 2)
  assert not names.find_issue(first, 3)
  assert message in names.find_issue(second, 4)


def test_all_issues_are_listed():
  content = 'Id,group\na,x\na,X\n../b,x\nc\n'.encode()
  _, issues = group_table.parse(content, 'g.csv')
  assert [(each.row, each.message[:20]) for each in issues
         ] == [(3, "duplicate Id 'a', fi"), (3, "group 'X' is spelled"),
               (4, 'expected an Id that '), (5, 'expected 2 fields, r')]
