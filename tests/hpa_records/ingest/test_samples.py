"""samples: rows of all kinds of tables to samples, with real files."""

import copy

import numpy as np
from PIL import Image
import pytest

from hpa_records.datasets import toml_form
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.ingest import samples
from hpa_records.runtime import errors

_CHANNELS = [{'name': 'DNA', 'file': 'w1'}, {'name': 'ER', 'file': 'w2'}]
_PATHS = [{
    'name': name,
    'path': f'{{Path_{name}:parent}}/{{File_{name}}}'
} for name in ('DNA', 'ER')]


def describe(table=None,
             images=None,
             channels=None,
             classes=('a', 'b', 'c'),
             **more):
  """Returns a description of two channels with labels by name."""
  return toml_form.parse(
      {
          'name': 'mine',
          'table': {
              'id': '{plate}_{well}',
              'labels': 'moa',
              'form': 'names',
              'separator': '|',
              **(table or {})
          },
          'images': {
              'pattern': '{plate}/{well}_{channel}.png',
              **(images or {})
          },
          'channels': copy.deepcopy(channels or _CHANNELS),
          'classes': list(classes),
          **more
      }, 'mine.toml')


@pytest.fixture(name='images')
def _images(tmp_path):
  for name in ('p1/A01', 'p1/A02', 'p2/A01'):
    write_files(tmp_path / 'images', f'{name}_w1.png', f'{name}_w2.png')
  return tmp_path / 'images'


def write_files(folder, *names):
  """Writes images that differ, so that none is in doubt."""
  for number, name in enumerate(names):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), 50 * number, np.uint8)).save(path)


def load(images, text, found=None, **how):
  csv = images.parent / 'mine.csv'
  csv.write_bytes(text if isinstance(text, bytes) else text.encode())
  return sample_table.load(str(csv), str(images),
                           input_tables.How(found or describe(), **how))


def refuse(*args, **options):
  with pytest.raises(errors.DataError) as caught:
    load(*args, **options)
  return str(caught.value)


_TABLE = 'plate,well,moa\np1,A01,a\np1,A02,b|c\np2,A01,c\n'


@pytest.mark.parametrize('text', [
    _TABLE,
    _TABLE.replace(',', '\t'),
    _TABLE.replace(',', ';'),
    _TABLE.replace('\n', '\r'),
    _TABLE.replace('\n', '\r\n'),
    '\ufeff' + _TABLE,
])
def test_an_id_of_several_columns_and_labels_by_name(images, text):
  loaded = load(images, text)
  assert loaded.table['id'].tolist() == ['p1_A01', 'p1_A02', 'p2_A01']
  assert loaded.table['labels'].tolist() == [(0,), (1, 2), (2,)]
  assert loaded.table['files'][1] == ('p1/A02_w1.png', 'p1/A02_w2.png')
  assert loaded.classes == ('a', 'b', 'c')


def test_numbers_stay_the_text_they_are(images):
  write_files(images, '01/002_w1.png', '01/002_w2.png')
  table = load(images, 'plate,well,moa\n01,002,a\n',
               describe(table={'metadata': ['well']})).table
  assert table['id'].tolist() == ['01_002']
  assert table['metadata'].tolist() == [('002',)]


def test_columns_of_groups_plates_metadata_and_sizes(images):
  found = describe(table={
      'group': ['plate', 'drug'],
      'plate': 'plate',
      'metadata': ['note', 'um']
  },
                   images={'pixel_um': 'um'},
                   intensity={
                       'rule': 'percentiles',
                       'of': 'plate'
                   })
  text = ('plate,well,moa,drug,note,um\np1,A01,a, x ," n, 1 ",0.5\n'
          'p1,A02,b,x,,1e-1\np2,A01,c,y,é,2\n')
  table = load(images, text, found).table
  assert table['group'].tolist() == ['p1|x', 'p1|x', 'p2|y']
  assert table['plate'].tolist() == ['p1', 'p1', 'p2']
  assert table['metadata'].tolist() == [(' n, 1 ', '0.5'), ('', '1e-1'),
                                        ('é', '2')]
  assert table['pixel_um'].tolist() == [0.5, 0.1, 2]


@pytest.mark.parametrize('kind', ['group', 'plate'])
@pytest.mark.parametrize('cell,message', [
    ('', "name of a {} that is a plain name"),
    ('nan', "name of a {}, received 'nan'"),
    ('5.0', "{} '5.0' is spelled '5' in row 2"),
])
def test_each_column_of_a_group_or_plate_is_one_spelling(
    images, kind, cell, message):
  found = describe(table={kind: ['plate', 'drug']},
                   intensity={
                       'rule': 'percentiles',
                       'of': 'plate' if kind == 'plate' else 'image'
                   })
  text = f'plate,well,moa,drug\np1,A01,a,5\np1,A02,a,{cell}\n'
  assert message.format(kind) in refuse(images, text, found)


def test_folds_are_those_of_the_column(images):
  found = describe(table={'fold': 'fold'})
  text = 'plate,well,moa,fold\np1,A01,a,1\np1,A02,b,{}\n'
  assert load(images, text.format(' 0 '), found,
              num_folds=2).table['fold'].tolist() == [1, 0]
  for wrong in ('2', '-1', '', '1.0', '٣', '9' * 50):
    message = refuse(images, text.format(wrong), found, num_folds=2)
    assert 'row 3: expected a fold 0..1 in fold, received' in message


def test_a_row_may_be_a_sample_for_each_value(images):
  found = describe(table={
      'id': '{plate}_s{site}',
      'each': {
          'site': ['1', '2']
      }
  },
                   images={'pattern': '{plate}/s{site}_{channel}.png'})
  write_files(images, 'p1/s1_w1.png', 'p1/s1_w2.png', 'p1/s2_w1.png')
  message = refuse(images, 'plate,moa\np1,b\n', found)
  assert '1 issue:\n  row 2, p1/s2_w2.png: file not found' in message
  loaded = load(images, 'plate,moa\np1,b\n', found, on_error='skip')
  assert loaded.table['id'].tolist() == ['p1_s1']
  assert loaded.table['labels'].tolist() == [(1,)]
  assert loaded.requested['p1_s2'] == ('p1/s2_w1.png', 'p1/s2_w2.png')


def test_paths_of_columns_may_be_those_of_windows(images):
  text = ('plate,well,moa,Path_DNA,File_DNA,Path_ER,File_ER\n'
          'p1,A01,a,D:\\raw\\p1\\x,A01_w1.png,/raw/p1/y.tif,A01_w2.png\n'
          'p1,A02,b,p1/x,,p1/x,A02_w2.png\n'
          'p2,A01,b,p1/x,A01_w1.png,p1/x,../../A01_w2.png\n'
          'p2,A02,b,p1/x,A01_w1.png,p1/x,A01_w1.png\n')
  message = refuse(images, text, describe(channels=_PATHS))
  assert message.splitlines()[1:] == [
      '  row 3: empty cell in File_DNA, which names a file',
      '  row 4: expected the name of a file in the folder of images, received '
      "'p1/../../A01_w2.png'",
      "  row 5: two channels have the same file: ['p1/A01_w1.png', "
      "'p1/A01_w1.png']",
  ]
  loaded = load(images, text, describe(channels=_PATHS), on_error='skip')
  assert loaded.table['files'].tolist() == [('p1/A01_w1.png', 'p1/A01_w2.png')]


@pytest.mark.parametrize(
    'cell', ['..', '../x.png', 'a\\b.png', '/etc', 'x\x1b.png', 'a//b', '.'])
def test_names_that_lead_out_of_the_folder_are_refused(images, cell):
  found = describe(images={'pattern': '{file}', 'stacked': 'planes'})
  message = refuse(images, f'plate,well,moa,file\np1,A01,a,{cell}\n', found)
  assert 'row 2: expected the name of a file in the folder' in message


def test_any_text_in_a_pattern_stands_for_one_file(images):
  found = describe(images={'pattern': '{plate}/{well}_*_{channel}.png'})
  write_files(images, 'p3/A01_x1_w1.png', 'p3/A01_x2_w2.png', 'p3/A02_x_w1.png',
              'p3/A02_y_w1.png', 'p3/A02_x_w2.png', 'p3/._A01_x1_w1.png')
  text = 'plate,well,moa\np3,A01,a\np3,A02,a\np3,A03,a\n'
  message = refuse(images, text, found)
  assert message.splitlines()[1:] == [
      "  row 3, p3/A02_*_w1.png: 2 files match: ['p3/A02_x_w1.png', "
      "'p3/A02_y_w1.png']; remove all but one, or make the pattern narrower",
      '  row 4, p3/A03_*_w1.png: file not found',
      '  row 4, p3/A03_*_w2.png: file not found',
  ]
  loaded = load(images, text, found, on_error='skip')
  assert loaded.table['files'].tolist() == [('p3/A01_x1_w1.png',
                                             'p3/A01_x2_w2.png')]


def test_folders_are_classes(images):
  found = describe(table={
      'id': 'id',
      'labels': [],
      'form': 'folders'
  },
                   images={'pattern': '{class}/{id}_{channel}.png'},
                   classes=('p1', {
                       'name': 'two',
                       'aliases': ['p2']
                   }))
  write_files(images, 'p3/A03_w1.png', 'p3/A03_w2.png')
  with pytest.raises(errors.DataError) as caught:
    sample_table.load('', str(images), input_tables.How(found))
  assert "duplicate Id 'A01', first in row 2" in str(caught.value)
  assert "row 5: unknown class 'p3' in the folder; add it to" in str(
      caught.value)
  found = describe(table={
      'id': '{class}_{name}',
      'labels': [],
      'form': 'folders'
  },
                   images={'pattern': '{class}/{name}_{channel}.png'},
                   classes=('p1', 'p2', 'p3'))
  loaded = sample_table.load('', str(images), input_tables.How(found))
  assert loaded.table['id'].tolist() == ['p1_A01', 'p1_A02', 'p2_A01', 'p3_A03']
  assert loaded.table['labels'].tolist() == [(0,), (0,), (1,), (2,)]


def test_labels_of_folders_count_in_the_digest(images):
  found = describe(table={
      'id': 'id',
      'labels': [],
      'form': 'folders'
  },
                   images={'pattern': '{class}/{id}_{channel}.png'},
                   classes=('p1', 'p2'))
  for path in (images / 'p2').iterdir():
    path.unlink()
  before = sample_table.load('', str(images), input_tables.How(found))
  (images / 'p1').rename(images / 'old')
  (images / 'p2').rmdir()
  (images / 'old').rename(images / 'p2')
  after = sample_table.load('', str(images), input_tables.How(found))
  assert before.table['id'].tolist() == after.table['id'].tolist()
  assert before.csv_sha256 != after.csv_sha256


def test_labels_of_the_table_are_the_classes(images):
  found = describe(classes=())
  loaded = load(images, 'plate,well,moa\np1,A01,z|y\np1,A02,x\n', found)
  assert loaded.classes == ('x', 'y', 'z')
  assert loaded.table['labels'].tolist() == [(1, 2), (0,)]
  message = refuse(images, 'plate,well,moa\np1,A01,\np1,A02,\n', found)
  assert '2 issues' in message and 'row 2: no label in moa' in message


def test_columns_that_are_missing_are_named(images):
  found = describe(table={'group': ['drug'], 'metadata': ['note']})
  message = refuse(images, _TABLE, found)
  assert 'Expected the columns plate,well,moa,drug,note in row 1 of' in message


def test_a_folder_without_a_table_needs_all_fields_in_its_names(images):
  found = describe()
  with pytest.raises(errors.DataError, match='or --unlabelled to take the ids'):
    sample_table.load('', str(images), input_tables.How(found))
  loaded = sample_table.load('', str(images),
                             input_tables.How(found, unlabelled=True))
  assert loaded.table['id'].tolist() == ['p1_A01', 'p1_A02', 'p2_A01']
  for other in (describe(table={'id': '{plate}_{site}'}),
                describe(images={'pixel_um': 'um'}), describe(channels=_PATHS)):
    with pytest.raises(errors.DataError, match='need a table'):
      sample_table.load('', str(images), input_tables.How(other,
                                                          unlabelled=True))


@pytest.mark.parametrize('size', ['0', '-1', 'nan', 'inf', 'x', '', '1e9'])
def test_pixel_sizes_have_to_be_above_0(images, size):
  found = describe(images={'pixel_um': 'um'})
  message = refuse(images, f'plate,well,moa,um\np1,A01,a,{size}\n', found)
  assert 'row 2: expected the size of a pixel in micrometers, above 0' in (
      message)


def test_all_that_is_wrong_with_a_row_is_listed(images):
  found = describe(table={
      'group': ['drug'],
      'metadata': ['note']
  },
                   images={'pixel_um': 'um'})
  text = ('plate,well,moa,drug,note,um\np1,A01,A,Nan,' + 'n' * 1001 + ',0\n'
          'p1,A01,a,x,,1\n')
  lines = refuse(images, text, found).splitlines()[1:]
  assert [line[:34] for line in lines] == [
      "  row 2: unknown class 'A' in moa;",
      '  row 2: expected the name of a gr',
      '  row 2: expected the size of a pi',
      '  row 2: more than 1,000 character',
      "  row 3: duplicate Id 'p1_A01', fi",
  ]


def test_an_id_of_joined_columns_is_a_plain_name(images):
  message = refuse(images, 'plate,well,moa\np1,A/1,a\n')
  assert "row 2: expected an Id that is a plain name" in message


def test_ids_alone_are_read(images):
  csv = images.parent / 'ids.csv'
  csv.write_text('well,plate\nA01,p1\nA02,p2\n')
  found = samples.read_ids(str(csv), describe())
  assert [(each.id, each.row) for each in found] == [('p1_A01', 2),
                                                     ('p2_A02', 3)]
  csv.write_text('well,plate\nA01,p1\nA01,p1\n')
  with pytest.raises(errors.DataError, match="row 3: duplicate Id 'p1_A01'"):
    samples.read_ids(str(csv), describe())


def test_a_column_named_id_is_a_field_of_the_id(images):
  write_files(images, 'p1_A01_w1.png', 'p1_A01_w2.png')
  found = describe(table={
      'id': '{plate}_{id}',
      'group': ['id']
  },
                   images={'pattern': '{id}_{channel}.png'})
  table = load(images, 'plate,id,moa\np1,A01,a\n', found).table
  assert table['id'].tolist() == ['p1_A01']
  assert table['group'].tolist() == ['A01']
  assert table['files'].tolist() == [('p1_A01_w1.png', 'p1_A01_w2.png')]


def test_without_a_table_the_id_in_a_pattern_is_a_field_of_the_id(images):
  found = describe(table={
      'id': '{class}_{id}',
      'labels': [],
      'form': 'folders'
  },
                   images={'pattern': '{class}/{id}_{channel}.png'},
                   classes=('p1', 'p2'))
  table = sample_table.load('', str(images), input_tables.How(found)).table
  assert table['id'].tolist() == ['p1_A01', 'p1_A02', 'p2_A01']
  assert table['files'][2] == ('p2/A01_w1.png', 'p2/A01_w2.png')


def test_samples_of_a_row_have_different_ids(images):
  found = describe(table={'each': {'site': ['1', '2']}})
  message = refuse(images, 'plate,well,moa\np1,A01,a\n', found)
  assert "1 issue:\n  row 2: duplicate Id 'p1_A01', in the same row" in message


def test_without_labels_their_table_is_not_read(images):
  found = describe(
      table={'join': [{
          'csv': 'none.csv',
          'on': {
              'plate': 'plate'
          }
      }]})
  text = 'plate,well\np1,A01\n'
  assert len(load(images, text, found, unlabelled=True).table) == 1
  assert 'none.csv' in refuse(images, text, found)


def test_folds_of_folders_and_no_table_beside_class_folders(images):
  found = describe(table={
      'id': '{class}_{fold}',
      'labels': [],
      'form': 'folders',
      'fold': 'fold'
  },
                   images={'pattern': '{class}/A0{fold}_{channel}.png'},
                   classes=('p1', 'p2'))
  how = input_tables.How(found, num_folds=3)
  table = sample_table.load('', str(images), how).table
  assert table['fold'].tolist() == [1, 2, 1]
  for unlabelled in (False, True):
    message = refuse(images, 'fold\n1\n', found, unlabelled=unlabelled)
    assert message.endswith('not from a table; leave out --csv.')


def test_a_group_is_in_one_fold(images):
  found = describe(table={'group': ['plate'], 'fold': 'fold'})
  text = 'plate,well,moa,fold\np1,A01,a,1\np1,A02,b,{}\np2,A01,b,0\n'
  assert len(load(images, text.format(1), found, num_folds=2).table) == 3
  message = refuse(images, text.format(0), found, num_folds=2)
  assert ("1 issue:\n  row 3: group 'p1' is in fold 0, and in fold 1 in row 2; "
          'put it in one fold') in message


def test_a_table_without_a_match_in_the_joined_one_is_refused(images):
  (images.parent / 'moa.csv').write_text('drug,moa\nx,a\n')
  found = describe(table={
      'join': [{
          'csv': 'moa.csv',
          'on': {
              'drug': 'drug'
          },
          'unmatched': 'drop'
      }]
  })
  message = refuse(images, 'plate,well,drug\np1,A01,y\n', found)
  assert 'has a match in a joined table (the first: row 2)' in message
