"""sample_table: issues of real files in real folders, and dialects of CSV."""

import hashlib
import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from hpa_records.ingest import csv_table
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from tests.support import specs
from tests.support import tables

# Not square, so that a swapped height and width would show.
SIZE_PX = (6, 8)
PATTERN = '{id}_{channel}.png'
_HPA = pathlib.Path(__file__).parents[4] / 'shared' / 'hpa'


def write_png(path, mode='L', size_px=SIZE_PX, **options):
  Image.new(mode, size_px[::-1]).save(path, **options)


def write_set(folder, sample_id, size_px=SIZE_PX):
  for channel in specs.CHANNELS:
    write_png(folder / f'{sample_id}_{channel}.png', size_px=size_px)


def _patch(path, offset, value):
  write_png(path)
  content = bytearray(path.read_bytes())
  content[offset] = value
  path.write_bytes(content)


def _cut(path, num_bytes):
  write_png(path)
  path.write_bytes(path.read_bytes()[:num_bytes])


@pytest.fixture(name='images')
def _images(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for sample_id in ('a', 'b', 'c'):
    write_set(folder, sample_id)
  return folder


def load(images, text='Id,Target\na,0\nb,1 2\nc,27\n', **options):
  csv = images.parent / 'train.csv'
  csv.write_bytes(text if isinstance(text, bytes) else text.encode())
  return tables.load(str(csv), str(images), **options)


def _refusal(images, *args, **options):
  with pytest.raises(errors.DataError) as caught:
    load(images, *args, **options)
  return str(caught.value)


def test_table_holds_rows_labels_and_paths_in_csv_order(images):
  text = 'Id,Target\nb,16 0\na,3\n'
  loaded = load(images, text)
  assert loaded.table['id'].tolist() == ['b', 'a']
  assert loaded.table['labels'].tolist() == [(0, 16), (3,)]
  assert loaded.table['row'].tolist() == [2, 3]
  assert loaded.table['files'].tolist() == [
      tuple(f'{name}_{channel}.png'
            for channel in specs.CHANNELS)
      for name in 'ba'
  ]
  assert loaded.sizes == {SIZE_PX: 2}
  assert loaded.csv_sha256 == hashlib.sha256(text.encode()).hexdigest()
  assert not loaded.issues


@pytest.mark.parametrize('sample_id', ['001', 'NA', '1e3', 'a b', 'é', 'None'])
def test_ids_stay_as_written(images, sample_id):
  write_set(images, sample_id)
  loaded = load(images, f'Id,Target\n{sample_id},0\n')
  assert loaded.table['id'].tolist() == [sample_id]


@pytest.mark.parametrize('text', [
    b'\xef\xbb\xbfId,Target\na,1 0\n',
    b'Id,Target\r\na,1 0\r\n',
    b'Id,Target\ra,1 0\r',
    b'Id,Target\na,1 0',
    b'Target,Id\n1 0,a\n',
    b'Id,Plate,Target\na,"x, y",01  00 \n',
    b'"Id","Target"\n"a","1 0"\n',
])
def test_csv_dialects(images, text):
  table = load(images, text).table
  assert (table['id'][0], table['labels'][0]) == ('a', (0, 1))


def test_blank_lines_are_skipped_but_counted(images):
  loaded = load(images, '\nId,Target\n\na,0\n  \nb,1\n\n')
  assert loaded.table['row'].tolist() == [4, 6]


def test_limit_reads_only_the_first_rows(images):
  text = 'Id,Target\na,0\nb,1\nmissing,2\n'
  assert load(images, text, limit=2).table['id'].tolist() == ['a', 'b']
  assert 'row 4, missing_red.png' in _refusal(images, text, limit=3)


@pytest.mark.parametrize('line,received', [
    ('a', 'expected 2 fields, received 1'),
    ('a,16,0', "expected 2 fields, received 3: 'a,16,0'"),
    ('"a,0', 'unexpected end of data'),
    ('"a"b,0', "received '\"a\"b,0'"),
    ('a,', "in Target, received ''"),
    ('a,28', "received '28'"),
    ('a,-1', "received '-1'"),
    ('a,1.0', "received '1.0'"),
    ('a,1_0', "received '1_0'"),
    ('a,٣', "received '٣'"),
    ('a,Nucleoli', "received 'Nucleoli'"),
    ('a,' + '9' * 5000, "received '99999"),
    ('a,1' + '0' * 400, "received '10000"),
    ('a,' + 'x' * 200_000, 'field larger than field limit'),
    ('a,3 0 3', "duplicate label in Target: '3 0 3'"),
    (',0', "plain name without path parts, received ''"),
    ('../a,0', "received '../a'"),
    ('x\\a,0', 'plain name'),
    ('.,0', "received '.'"),
    ('..,0', "received '..'"),
    (' a,0', "received ' a'"),
    ('a ,0', "received 'a '"),
    ('a\x00,0', "received 'a\\x00"),
    ('a\x1b[0m,0', 'plain name'),
])
def test_invalid_row_is_named(images, line, received):
  message = _refusal(images, f'Id,Target\nb,0\n\n{line}\nc,1\n')
  assert '1 issue:\n  row 4: ' in message
  assert received in message


def test_a_broken_quote_affects_only_its_row(images):
  loaded = load(images, 'Id,Target\n"a,0\nb,1\n', on_error='skip')
  assert loaded.table['id'].tolist() == ['b']


def test_of_two_equal_ids_the_later_row_is_the_issue(images):
  text = 'Id,Target\na,0\nb,1\na,2\n'
  assert "row 4: duplicate Id 'a', first in row 2" in _refusal(images, text)
  loaded = load(images, text, on_error='skip')
  assert loaded.table['labels'].tolist() == [(0,), (1,)]


@pytest.mark.parametrize('damage,received', [
    (pathlib.Path.unlink, 'file not found'),
    (lambda path: write_png(path, 'P'), 'bit palette'),
    (lambda path: write_png(path, 'LA'), 'received 8-bit gray+alpha'),
    (lambda path: write_png(path, 'RGBA'), 'received 8-bit RGBA'),
    (lambda path: write_png(path, 'I;16'), 'received 16-bit; pass --white_l'),
    (lambda path: write_png(path, '1'), 'received 1-bit gray'),
    (lambda path: _patch(path, 25, 5), 'type 5'),
    (lambda path: _patch(path, 12, 0), 'the header is incomplete'),
    (lambda path: _patch(path, 19, 0), 'received 6 x 0'),
    (lambda path: write_png(path, format='JPEG'),
     'expected a PNG (from the extension), received a JPEG'),
    (lambda path: write_png(path, format='BMP'), 'received a BMP'),
    (lambda path: path.write_bytes(b''), 'received an empty file'),
    (lambda path: _cut(path, 20), '(20 bytes): the header is incomplete'),
    (lambda path: _cut(path, 33), '(33 bytes): the end is missing'),
    (lambda path: _cut(path, -1), 'the end is missing'),
    (lambda path: write_png(path, size_px=(8, 6)),
     'expected 6 x 8 pixels like b_red.png, received 8 x 6'),
])
def test_invalid_file_is_named(images, damage, received):
  damage(images / 'b_green.png')
  message = _refusal(images)
  assert '1 issue:\n  row 3, b_green.png: ' in message
  assert received in message


def test_folder_in_place_of_a_file_is_an_issue(images):
  (images / 'b_blue.png').unlink()
  (images / 'b_blue.png').mkdir()
  assert 'row 3, b_blue.png: not a file but a folder' in _refusal(images)


def test_all_issues_are_listed_together_by_row(images):
  (images / 'a_blue.png').write_bytes(b'')
  (images / 'a_red.png').unlink()
  message = _refusal(images, 'Id,Target\na,99\n../b,zero\nc,1\n')
  lines = message.splitlines()
  assert '5 issues:' in lines[0] and '--on_error=skip' in lines[0]
  assert str(images.parent / 'train.csv') in lines[0]
  assert [line.split(':')[0].strip() for line in lines[1:]] == [
      'row 2', 'row 2, a_red.png', 'row 2, a_blue.png', 'row 3', 'row 3'
  ]


def test_long_list_of_issues_ends_with_their_number(images):
  rows = ''.join(f'x{i},0\n' for i in range(1000))
  lines = _refusal(images, 'Id,Target\n' + rows).splitlines()
  assert '4,000 issues:' in lines[0]
  assert len(lines) == 22
  assert lines[-1] == '  ... and 3,980 more'


@pytest.mark.parametrize('on_error', ['stop', 'skip'])
def test_far_too_many_missing_files_are_one_line(images, monkeypatch, on_error):
  monkeypatch.setattr(csv_table, 'MAX_ISSUES', 100)
  rows = ''.join(f'x{i},0\n' for i in range(1000))
  message = _refusal(images, f'Id,Target\n{rows}', on_error=on_error)
  assert len(message.splitlines()) == 1
  assert message.startswith(f'More than 100 samples of {images.parent}')
  assert ' have invalid files; fix them, or pass the right -' in message
  assert 'row 2, x0_red.png: file not found' in message
  rows = ''.join(f'x{i},0\n' for i in range(100))
  loaded = load(images, f'Id,Target\n{rows}a,0\n', on_error='skip')
  assert len(loaded.issues) == 400 and loaded.table['id'].tolist() == ['a']


def test_skip_leaves_invalid_samples_out_and_returns_them(images):
  (images / 'b_red.png').unlink()
  loaded = load(images, on_error='skip')
  assert loaded.table['id'].tolist() == ['a', 'c']
  assert loaded.table.index.tolist() == [0, 1]
  assert loaded.issues == (issue.Issue(3, 'b', 'b_red.png', 'file not found',
                                       issue.MISSING),)


def test_skip_refuses_when_no_sample_is_left(images):
  message = _refusal(images, 'Id,Target\nx,0\n', on_error='skip')
  assert 'No valid samples in' in message
  assert 'row 2, x_red.png' in message and 'on_error' not in message


@pytest.mark.parametrize('text,received', [
    ('', "received ''"),
    ('Id:Target\na:0\n', "received 'Id:Target'"),
    ('id,target\na,0\n', "received 'id,target'"),
    ('Id\na\n', "received 'Id'"),
    ('Id,Target,Id\na,0,a\n', "received 'Id,Target,Id'"),
    ('"Id,Target\na,0\n', 'row 1 of'),
    ('Id' * 100_000, 'row 1 of'),
    ('Id,Target\n\n', 'it has only a header'),
    ('Id,Target' + ',' * 10**5 + '\ns0,1\n', 'Expected the columns Id,Target'),
    ('Id,Target\na,0\n'.encode('utf-16'), 'received UTF-16 text'),
    ('Id,Target\na,0\n'.encode('utf-16-le'), 'received NUL bytes, as UTF-16'),
    (b'PK\3\4\x14\0\6\0', 'received a ZIP archive, such as an Excel workbook'),
    (b'\x1f\x8b\x08\0', 'received a gzip file'),
    (b'<!DOCTYPE html>\n<p>', 'received a web page'),
    (b'version https://git-lfs.github.com/spec/v1\n', 'a pointer of Git LFS'),
    ('\ufeff\ufeffId,Target\na,0\n', "received '\\ufeffId,Target'"),
    (b'Id,Target\n\xe9,0\n', 'byte 0xe9 in row 2'),
])
def test_unreadable_csv_stops_even_with_skip(images, text, received):
  message = _refusal(images, text, on_error='skip')
  assert 'train.csv' in message and received in message
  assert len(message.splitlines()) == 1


def test_a_pipe_in_place_of_a_csv_is_an_error(images):
  pipe = images.parent / 'pipe'
  os.mkfifo(pipe)
  message = 'Cannot read .*pipe: a pipe or a device; save its output to a'
  with pytest.raises(errors.DataError, match=message):
    tables.load(str(pipe), str(images))


def test_missing_csv_or_folder_is_one_line(images):
  with pytest.raises(errors.DataError, match=r'^Cannot read .*none'):
    tables.load(str(images / 'none.csv'), str(images))
  csv = images.parent / 'train.csv'
  csv.write_text('Id,Target\na,0\n../b,99\n')
  for folder in (images / 'none', csv):
    with pytest.raises(errors.DataError, match=r'^Cannot read .*\.$'):
      tables.load(str(csv), str(folder))


@pytest.mark.parametrize('row,received', [
    ('e\u0301,p', "; 'e\u0301' has one, which looks the same but"),
    ('b,p', 'in --groups'),
    ('\u00e9,p\x1b[31m', "the name of a group that is a plain name"),
])
def test_an_id_without_its_group_is_named(images, row, received):
  write_set(images, '\u00e9')
  groups = images.parent / 'groups.csv'
  groups.write_text(f'Id,group\n{row}\n', 'utf-8')
  assert received in _refusal(images,
                              'Id,Target\n\u00e9,0\n',
                              groups=str(groups))


def test_a_table_far_too_large_is_refused(images):
  csv = images.parent / 'huge.csv'
  csv.touch()
  os.truncate(csv, 2**40)
  with pytest.raises(errors.DataError,
                     match='too large .* over 134,217,728 bytes'):
    tables.load(str(csv), str(images))


def test_sizes_may_differ_between_samples(images):
  write_set(images, 'b', size_px=(9, 5))
  assert load(images).sizes == {SIZE_PX: 2, (9, 5): 1}


def test_of_a_sample_of_two_sizes_the_rarer_is_the_issue(images):
  for channel in ('red', 'green', 'blue'):
    write_png(images / f'b_{channel}.png', size_px=(9, 5))
  message = _refusal(images)
  assert 'row 3, b_yellow.png: expected 9 x 5 pixels like b_red.png' in message
  assert '1 issue' in message
  assert load(images, on_error='skip').sizes == {SIZE_PX: 2}


def test_files_that_are_all_bad_are_not_called_misnamed(images):
  for path in images.iterdir():
    path.write_bytes(b'')
  message = _refusal(images)
  assert '12 issues' in message and 'no file matches' not in message


def test_written_issues_read_back(tmp_path):
  path = tmp_path / 'issues.csv'
  issues = [
      issue.Issue(2, 'a', 'a_red.png', 'expected x, received "y"'),
      issue.Issue(3, '', '', 'expected 2 fields')
  ]
  issue.write(issues, str(path))
  assert path.read_text() == ('row,id,file,issue\n'
                              '2,a,a_red.png,"expected x, received ""y"""\n'
                              '3,,,expected 2 fields\n')
  assert os.listdir(tmp_path) == ['issues.csv']


def test_multi_hot():
  hot = specs.KAGGLE.multi_hot([(0, 27), (), (5,)])
  assert hot.dtype == np.uint8 and hot.shape == (3, 28)
  assert np.argwhere(hot).tolist() == [[0, 0], [0, 27], [2, 5]]


@pytest.mark.skipif(not _HPA.exists(), reason='the real images are not here')
def test_real_fields_are_valid():
  loaded = tables.load(str(_HPA / 'fields.csv'), str(_HPA / 'fields'))
  assert loaded.sizes == {(512, 512): 345}
  counts = specs.KAGGLE.multi_hot(loaded.table['labels']).sum(axis=0)
  assert {
      k: int(counts[k]) for k in np.flatnonzero(counts)
  } == {
      0: 266,
      2: 18,
      21: 34,
      23: 87,
      25: 195
  }


@pytest.mark.skipif(not _HPA.exists(), reason='the real images are not here')
def test_real_single_channels_lack_three_of_four_files():
  with pytest.raises(errors.DataError, match='124,264 issues'):
    tables.load(str(_HPA / 'train.csv'), str(_HPA / 'single_channel'))
