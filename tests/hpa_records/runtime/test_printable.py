"""printable: untrusted text is escaped."""

import pytest

from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import printable


def test_control_sequences_directions_and_lone_bytes_are_escaped():
  assert printable.escape('a\x1b[2J\u202e\udc80\n\x07é') == (
      'a\\x1b[2J\\u202e\\udc80\n\\x07é')


def test_escape_line_escapes_newlines():
  assert printable.escape_line('a\n\x1bb\\é') == 'a\\n\\x1bb\\é'
  told = issue.describe('Head', [issue.Issue(2, 'a', 'a\nb.png', 'x')])
  assert told.splitlines()[1:] == ['  row 2, a\\nb.png: x']


def test_plain_text_of_any_script_stays():
  text = 'Nucléole → 核小体 \'"\\'
  assert printable.escape(text) == text


def test_every_message_of_wrong_input_is_escaped_once():
  error = errors.DataError('row 3: \x1b]0;title\x07')
  assert str(error) == 'row 3: \\x1b]0;title\\x07'
  assert str(errors.DataError(str(error))) == str(error)
  assert str(errors.StoppedEarly('\x1b', 1)) == '\\x1b'


def test_text_of_several_lines_becomes_one():
  assert printable.join_lines('a\n  b\r\nc.') == 'a b c'


def test_a_quote_is_one_short_line():
  quoted = printable.quote('a\n' * 1000)
  assert '\n' not in quoted and len(quoted) < 170


def test_names_are_plain():
  for name in ('a', 'é核', "it's", 'a b', '._x'):
    assert not printable.find_name_issue(name)
  for name in ('', '.', '..', ' a', 'a ', 'a/b', 'a\\b', 'a\nb', 'a\x1b',
               '\udc80', 'a\u202eb'):
    assert 'plain name' in printable.find_name_issue(name), repr(name)
  assert not printable.find_name_issue('a' * 255)
  assert 'at most 255 char' in printable.find_name_issue('a' * 256)


def test_a_name_in_another_unicode_form_is_found():
  assert printable.find_twin('é', {'e\u0301', 'x'}) == 'e\u0301'
  assert printable.find_twin('e\u0301', {'é'}) == 'é'
  assert not printable.find_twin('é', {'é', 'e'})


@pytest.mark.parametrize('num_bytes,shown', [(0, '0 bytes'), (999, '999 bytes'),
                                             (4.2e6, '4.2 MB'),
                                             (67108864, '67.1 MB'),
                                             (2e9, '2.0 GB'),
                                             (5e15, '5,000.0 TB')])
def test_sizes_have_a_fitting_unit(num_bytes, shown):
  assert printable.show_bytes(num_bytes) == shown


def test_a_message_of_several_lines_becomes_one():
  joined = printable.join_lines('Expected 2 fields,\n  saw 4.\n')
  assert joined == 'Expected 2 fields, saw 4'
  assert len(printable.join_lines('x ' * 500)) == 200


def test_a_long_list_is_cut():
  assert printable.show_list([1, 'a', 2.5]) == "[1, 'a', 2.5]"
  assert printable.show_list(range(32)) == str(list(range(32)))
  assert printable.show_list(range(5000)).endswith('31, ... and 4,968 more]')


@pytest.mark.parametrize('number,shown', [(0, '0 models'), (1, '1 model'),
                                          (2048, '2,048 models')])
def test_one_is_singular(number, shown):
  assert printable.count(number, 'model') == shown
