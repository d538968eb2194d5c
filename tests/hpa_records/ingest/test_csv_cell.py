"""csv_cell: no cell starts a formula, and our readers get each text back."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from hpa_records.ingest import csv_cell
from hpa_records.ingest import csv_table
from hpa_records.ingest import issue

_TEXTS = ("=cmd|' /C calc'!A0", '+1', '-2', '@SUM(A1)', '\tx', '\rx', "'",
          "'=x", "''=x", "'plain", 'plain', 'a=b', '', '0 25', '＝1', '＋1', '－1',
          '＠A1')


@pytest.mark.parametrize('text', _TEXTS)
def test_a_text_cannot_start_a_formula_and_is_read_again(text):
  found = csv_cell.protect(text)
  assert not found.startswith((*'=+-@＝＋－＠', '\t', '\r'))
  assert csv_cell.restore(found) == text


def test_two_texts_are_never_written_alike():
  assert len(set(map(csv_cell.protect, _TEXTS))) == len(_TEXTS)


def test_an_apostrophe_of_a_table_of_others_stays():
  assert csv_cell.restore("'s-Hertogenbosch") == "'s-Hertogenbosch"


def test_a_table_is_protected_with_its_heads_but_for_its_numbers():
  table = pd.DataFrame({
      'Id': ['=a', 'b'],
      '-class': np.array([-0.5, 0.25], np.float32)
  })
  found = csv_cell.encode(table)
  assert found == b"Id,'-class\n'=a,-0.5\nb,0.25\n"
  rows = list(csv_table.iterate(found, 'new.csv', ['Id', '-class'], 'rows'))
  assert rows == [(2, {
      'Id': '=a',
      '-class': '-0.5'
  }), (3, {
      'Id': 'b',
      '-class': '0.25'
  })]
  table = pd.DataFrame({'f1': [1.0]}, pd.Index(['@class'], name='class'))
  assert csv_cell.encode(table, 'class') == b"class,f1\n'@class,1.0\n"


def test_a_table_without_rows_or_with_two_equal_heads_keeps_its_heads():
  assert csv_cell.encode(pd.DataFrame(columns=['Id', '=1'])) == b"Id,'=1\n"
  table = pd.DataFrame([['=1', 2]], columns=['Id', 'Id'])
  assert csv_cell.encode(table) == b"Id,Id\n'=1,2\n"


def test_the_list_of_issues_is_protected(tmp_path):
  path = tmp_path / 'skipped.csv'
  issue.write([issue.Issue(2, '=a', '@b.png', '-1 is no label')], str(path))
  rows = list(csv.reader(io.StringIO(path.read_text())))
  assert rows[1] == ['2', "'=a", "'@b.png", "'-1 is no label"]
