"""joined_table: columns of a second table."""

import hashlib

import pytest

from hpa_records.datasets import layout
from hpa_records.ingest import joined_table
from hpa_records.runtime import errors

_ON = (('drug', 'compound'), ('dose', 'concentration'))


@pytest.fixture(name='write')
def _write(tmp_path):

  def write(first='id,drug,dose\n1,x,0.300000\n2,x,3\n3,y,0.3\n',
            second='compound,concentration,moa\nx,0.3,A\nx,3.0,B\n'):
    (tmp_path / 'first.csv').write_text(first)
    (tmp_path / 'second.csv').write_text(second)
    return str(tmp_path / 'first.csv')

  return write


def _read(csv, needed=('id', 'moa'), on=_ON, unmatched='refuse', limit=0):
  table = joined_table.Table(csv, (layout.Join('second.csv', on, unmatched),))
  return table, list(table.iterate(needed, limit))


def test_numbers_are_compared_as_numbers_and_text_as_text(write):
  table, rows = _read(write())
  assert [values['moa'] for _, values in rows[:2]] == ['A', 'B']
  assert rows[2][0] == 4
  assert rows[2][1].endswith("second.csv has compound, concentration ['y', "
                             "'0.3']")
  assert table.columns == ['id', 'drug', 'dose', 'moa']


@pytest.mark.parametrize('cell,other,is_equal', [
    ('1e2', '100', False),
    ('1_0', '10', False),
    ('\u0663', '3', False),
    ('007', '7', False),
    ('-0.50', '-0.5', True),
    (' x ', 'x', True),
    ('-0', '0', False),
    ('x1', 'x01', False),
    ('X', 'x', False),
    ('nan', 'nan', True),
    ('9' * 40, '9' * 40 + '.0', True),
    ('9' * 40, '9' * 39 + '8', False),
])
def test_keys(write, cell, other, is_equal):
  csv = write(f'id,drug\n1,{cell}\n', f'compound,moa\n{other},A\n')
  _, rows = _read(csv, on=(('drug', 'compound'),))
  assert (rows[0][1] != str(rows[0][1])) == is_equal


def test_rows_without_a_match_may_be_left_out_and_are_counted(write):
  table, rows = _read(write(), unmatched='drop')
  assert [row for row, _ in rows] == [2, 3]
  assert (table.num_dropped, table.first_dropped) == (1, 4)
  table, rows = _read(write(), unmatched='drop', limit=2)
  assert (len(rows), table.num_dropped) == (2, 0)


def test_a_row_that_is_not_csv_stays_an_issue(write):
  _, rows = _read(write('id,drug,dose\n1,x\n2,x,3\n'))
  assert rows[0][1].startswith('expected 3 fields, received 2')
  assert rows[1][1]['moa'] == 'B'


def test_the_digest_is_of_all_tables(write):
  csv = write()
  with open(csv, 'rb') as file:
    alone = hashlib.sha256(file.read()).hexdigest()
  assert joined_table.Table(csv, ()).sha256 == alone
  before = _read(csv)[0].sha256
  write(second='compound,concentration,moa\nx,0.3,A\nx,3.0,C\n')
  assert len({alone, before, _read(csv)[0].sha256}) == 3


@pytest.mark.parametrize('second,message', [
    ('compound,concentration,moa\nx,1,A\nx,1.0,B\n',
     r"Row 3 of .*second.csv has the same compound, concentration .*'x', '1'"),
    ('compound,concentration,moa\nx,1\n', 'Row 2 of .*second.csv: expected 3'),
    ('compound,moa\nx,1\n', 'Expected the columns compound,concentration,moa'),
    ('compound,concentration,moa\n', 'No rows in .*second.csv'),
    ('', 'Expected the columns'),
])
def test_an_invalid_second_table_is_refused(write, second, message):
  with pytest.raises(errors.DataError, match=message):
    _read(write(second=second))


def test_equal_rows_of_the_second_table_are_one(write):
  csv = write(second='compound,concentration,moa\nx,3,A\nx,3.0,A\n')
  assert _read(csv, unmatched='drop')[1][0][1]['moa'] == 'A'


def test_a_missing_second_table_is_named(write, tmp_path):
  csv = write()
  (tmp_path / 'second.csv').unlink()
  with pytest.raises(errors.DataError, match='Cannot read .*second.csv'):
    _read(csv)


def test_columns_of_both_tables_are_those_of_the_first(write):
  csv = write(second='compound,concentration,id,moa\nx,3,9,A\n')
  assert _read(csv, unmatched='drop')[1][0][1]['id'] == '2'


def test_a_needed_column_of_two_joined_tables_is_refused(write, tmp_path):
  csv = write()
  (tmp_path / 'third.csv').write_text('compound,moa,note\nx,C,n\ny,C,n\n')
  table = joined_table.Table(csv, (layout.Join('second.csv', _ON, 'drop'),
                                   layout.Join('third.csv',
                                               (('drug', 'compound'),))))
  with pytest.raises(errors.DataError, match="The column 'moa' is in two tab"):
    next(table.iterate(('id', 'moa')))
  assert [values['note'] for _, values in table.iterate(('note',))] == ['n'] * 2


def test_tables_beyond_the_needed_columns_are_not_read(write, tmp_path):
  csv = write()
  joins = (layout.Join('second.csv', _ON,
                       'drop'), layout.Join('none.csv',
                                            (('drug', 'compound'),)))
  assert len(list(joined_table.Table(csv, joins,
                                     ['moa']).iterate(['moa']))) == 2
  (tmp_path / 'second.csv').unlink()
  assert len(list(joined_table.Table(csv, joins, ['id']).iterate(['id']))) == 3


def test_empty_cells_are_no_key(write):
  csv = write('id,drug,dose\n1,,\n2,x,\n',
              'compound,concentration,moa\n,,A\nx,,B\n')
  (_, message), (_, values) = _read(csv)[1]
  assert message.endswith("second.csv has compound, concentration ['', '']")
  assert values['moa'] == 'B'
