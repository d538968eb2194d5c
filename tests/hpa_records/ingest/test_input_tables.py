"""input_tables: what tables and folders say, and the lines that count it."""

import pytest

from hpa_records.ingest import input_tables
from hpa_records.runtime import errors
from tests.hpa_records.ingest import test_samples

_write_files = test_samples.write_files
_describe = test_samples.describe


@pytest.fixture(name='images')
def _images(tmp_path):
  _write_files(tmp_path / 'images', 'p1/A01_w1.png', 'p1/A01_w2.png')
  return tmp_path / 'images'


def _read(images, text, found, groups='', **how):
  csv = images.parent / 'mine.csv'
  csv.write_text(text)
  return input_tables.read(str(csv), str(images),
                           input_tables.How(found, **how), groups)


def test_no_file_is_opened(images):
  (images / 'p1' / 'A01_w1.png').write_bytes(b'')
  found = _read(images, 'plate,well,moa\np1,A01,a\np1,A09,b\n', _describe())
  assert [each.id for each in found.samples] == ['p1_A01', 'p1_A09']
  assert not found.issues and found.classes == ('a', 'b', 'c')
  assert found.listing.files == {'p1/A01_w1.png', 'p1/A01_w2.png'}
  assert found.source == str(images.parent / 'mine.csv')


def test_repeated_labels_are_counted_on_one_line(images, capsys):
  text = 'plate,well,moa\n' + ''.join(f'p1,A{i},a|a\n' for i in range(1, 1200))
  _read(images, text, _describe())
  assert capsys.readouterr().err == (
      'Merged repeated labels of 1,199 samples (such as p1_A1).\n')


def test_rows_without_a_match_are_counted_on_one_line(images, capsys):
  (images.parent / 'moa.csv').write_text('drug,moa\nx,a\n')
  found = _describe(table={
      'join': [{
          'csv': 'moa.csv',
          'on': {
              'compound': 'drug'
          },
          'unmatched': 'drop'
      }]
  })
  text = 'plate,well,compound\np1,A01,x\np1,A02,y\np1,A03,z\n'
  read = _read(images, text, found)
  assert [each.labels for each in read.samples] == [(0,)]
  assert capsys.readouterr().err == (
      f'Left out 2 rows of {images.parent / "mine.csv"} without a match in a '
      'joined table (the first: row 3).\n')


def test_a_table_of_groups_takes_the_place_of_columns(images):
  groups = images.parent / 'groups.csv'
  groups.write_text('Id,group\np1_A01,g\n')
  found = _read(images, 'plate,well,moa\np1,A01,a\np1,A02,a\n',
                _describe(table={'group': ['plate']}), str(groups))
  assert [each.group for each in found.samples] == ['g', '']
  assert [(each.row, each.message) for each in found.issues
         ] == [(3, "no group for 'p1_A02' in --groups")]
  assert found.groups_sha256


def test_a_folder_in_which_no_name_matches_shows_an_example(tmp_path):
  _write_files(tmp_path / 'images', 'x.png')
  with pytest.raises(errors.DataError) as caught:
    input_tables.read('', str(tmp_path / 'images'),
                      input_tables.How(_describe(), unlabelled=True))
  assert "pattern={plate}/{well}_{channel}.png; one file is 'x.png'" in str(
      caught.value)
