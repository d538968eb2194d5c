"""Where the samples come from: patterns, folders without a CSV, addresses."""

import hashlib

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests.hpa_records.ingest import test_sample_table
from tests.support import specs
from tests.support import tables

_PATTERN = test_sample_table.PATTERN


@pytest.fixture(name='images')
def _images(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for sample_id in ('a', 'b', 'c'):
    test_sample_table.write_set(folder, sample_id)
  return folder


def _refusal(images, *args, **options):
  with pytest.raises(errors.DataError) as caught:
    test_sample_table.load(images, *args, **options)
  return str(caught.value)


@pytest.mark.parametrize('pattern', [
    '{id}/{channel}.png', '{channel}/x/{id}.png', '{channel}-{id}.tif',
    '{id}_{channel}.jpeg'
])
def test_files_are_found_by_their_pattern(tmp_path, pattern):
  for sample_id in ('a', 'b c', '001'):
    for channel in specs.CHANNELS:
      path = tmp_path / 'images' / pattern.replace('{id}', sample_id).replace(
          '{channel}', channel)
      path.parent.mkdir(parents=True, exist_ok=True)
      test_sample_table.write_png(path)
  text = 'Id,Target\n001,1\nb c,2\n'
  loaded = test_sample_table.load(tmp_path / 'images', text, pattern=pattern)
  assert loaded.table['files'].tolist() == [
      tuple(
          pattern.format(id=sample_id, channel=channel)
          for channel in specs.CHANNELS)
      for sample_id in ('001', 'b c')
  ]
  loaded = tables.load('',
                       str(tmp_path / 'images'),
                       pattern=pattern,
                       unlabelled=True)
  assert loaded.table['id'].tolist() == ['001', 'a', 'b c']
  assert loaded.table['labels'].tolist() == [()] * 3


def test_an_issue_in_a_subfolder_is_named_with_it(images):
  (images / 'p').mkdir()
  test_sample_table.write_set(images / 'p', 'a')
  (images / 'p' / 'a_red.png').write_bytes(b'')
  message = _refusal(images, 'Id,Target\na,0\n', pattern='p/{id}_{channel}.png')
  assert 'row 2, p/a_red.png: expected a PNG' in message


@pytest.mark.parametrize('name', ['a_red.tif', 'p/a_red.png'])
def test_a_pattern_that_matches_nothing_shows_an_example(tmp_path, name):
  path = tmp_path / 'images' / name
  path.parent.mkdir(parents=True)
  test_sample_table.write_png(path)
  message = _refusal(tmp_path / 'images', 'Id,Target\na,0\nb,1\n')
  lines = message.splitlines()
  assert f'one file is {name!r}' in lines[0] and '--pattern' in lines[0]
  assert '8 issues' in lines[0] and len(lines) == 9


def test_an_empty_folder_is_named(tmp_path):
  (tmp_path / 'images').mkdir()
  assert '(no files in' in _refusal(tmp_path / 'images')


@pytest.mark.parametrize('text,ids', [
    ('Id,Predicted\nb,0\na,0\n', ['b', 'a']),
    ('Id\nc\n', ['c']),
    ('Target,Id\nno label,b\n', ['b']),
])
def test_unlabelled_needs_the_column_id_alone(images, text, ids):
  loaded = test_sample_table.load(images, text, unlabelled=True)
  assert loaded.table['id'].tolist() == ids
  assert loaded.table['labels'].tolist() == [()] * len(ids)
  assert loaded.csv_sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_unlabelled_still_refuses_a_csv_without_ids(images):
  message = _refusal(images, 'Predicted\n0\n', unlabelled=True)
  assert 'Expected the columns Id in row 1' in message


def _load_folder(images, **options):
  return tables.load('',
                     str(images),
                     pattern=_PATTERN,
                     unlabelled=True,
                     **options)


def test_ids_of_a_folder_are_sorted_and_stand_for_a_csv(images):
  (images / 'readme.txt').write_text('not an image')
  test_sample_table.write_set(images, 'B, "x"')
  loaded = _load_folder(images)
  assert loaded.table['id'].tolist() == ['B, "x"', 'a', 'b', 'c']
  assert loaded.table['row'].tolist() == [2, 3, 4, 5]
  text = 'Id\nB, "x"\na\nb\nc\n'
  assert loaded.csv_sha256 == hashlib.sha256(text.encode()).hexdigest()
  limited = _load_folder(images, limit=2)
  assert limited.table['id'].tolist() == ['B, "x"', 'a']
  assert limited.csv_sha256 == loaded.csv_sha256


def test_a_folder_sample_with_a_channel_missing_is_an_issue(images):
  (images / 'b_red.png').unlink()
  with pytest.raises(errors.DataError) as error:
    _load_folder(images)
  assert str(images) in str(error.value)
  assert 'row 3, b_red.png: file not found' in str(error.value)
  loaded = _load_folder(images, on_error='skip')
  assert loaded.table['id'].tolist() == ['a', 'c']


def test_a_folder_id_that_is_no_plain_name_is_an_issue(images):
  test_sample_table.write_set(images, ' x')
  with pytest.raises(errors.DataError, match="row 2: expected an Id that is"):
    _load_folder(images)


def test_without_csv_and_labels_there_is_nothing_to_read(images):
  with pytest.raises(errors.DataError, match='pass --csv=PATH, or --unlab'):
    tables.load('', str(images), pattern=_PATTERN)


def test_addresses_are_read_as_folders_are(images):
  remote = 'memory://sample_table/images'
  for path in images.iterdir():
    filesystem.write_atomically(
        f'{remote}/p/{path.name}',
        b'GIF' if path.name == 'b_red.png' else path.read_bytes())
  csv = 'memory://sample_table/train.csv'
  filesystem.write_atomically(csv, b'Id,Target\na,0\nb,1\nc,2\nd,3\n')
  loaded = tables.load(csv,
                       remote,
                       pattern='p/{id}_{channel}.png',
                       on_error='skip')
  assert [files[0] for files in loaded.table['files']
         ] == ['p/a_red.png', 'p/c_red.png']
  assert [each.file for each in loaded.issues][0] == 'p/b_red.png'
  with pytest.raises(errors.DataError, match='^memory://.*x does not exist'):
    tables.load(f'{csv}x', remote, pattern=_PATTERN)
