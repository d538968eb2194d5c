"""The table of descriptors: its content, its parts, and other datasets."""

import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.reading import dataset
from hpa_records.reading import source
from hpa_records.runtime import errors
from tests.support import fakes
from trainer.descriptors import catalog
from trainer.descriptors import table


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """150 records of one channel, three parts of a table."""
  return dataset.load(
      fakes.write_records(tmp_path_factory.mktemp('table'),
                          150,
                          16,
                          num_folds=2,
                          description=fakes.describe(1)))


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory, records):
  """Folder of its table, made in this process."""
  folder = tmp_path_factory.mktemp('whole')
  _make(folder / 'whole.parquet', records)
  return folder


def _make(path, records, workers=1):
  table.prepare(str(path), records)
  return table.make(str(path), records, workers)


def test_columns_and_values(records, whole):
  found = pd.read_parquet(whole / 'whole.parquet')
  names = catalog.name_all(['channel0'])
  assert list(found) == ['id', 'fold', 'labels', *names]
  assert found['id'].tolist() == records.index['id'].tolist()
  assert found['fold'].dtype == np.int32
  assert found['fold'].tolist() == records.index['fold'].tolist()
  for row, labels in zip(found['labels'], records.labels):
    np.testing.assert_array_equal(row, np.flatnonzero(labels))
  values = found[list(names)]
  assert (values.dtypes == np.float32).all()
  opened = source.open_source(records.directory)
  for row in (0, 70, 149):
    np.testing.assert_array_equal(values.iloc[row],
                                  catalog.compute(opened[row]['image']))


def test_nothing_is_left_beside_the_table(whole):
  assert os.listdir(whole) == ['whole.parquet']


def test_a_complete_table_is_read(records, whole):
  path = whole / 'whole.parquet'
  before = path.stat().st_mtime_ns
  found = _make(path, records)
  assert found.shape == (150, 141) and found.dtype == np.float32
  assert path.stat().st_mtime_ns == before


def test_it_is_the_same_with_any_processes(records, whole, tmp_path):
  _make(tmp_path / 'two.parquet', records, workers=2)
  assert (tmp_path /
          'two.parquet').read_bytes() == (whole / 'whole.parquet').read_bytes()


def _write_part(folder, name, whole, rows, **about):
  """Writes a table that claims to be a part, with numbers of its own."""
  found = parquet.read_table(whole / 'whole.parquet').slice(rows[0], len(rows))
  text = found.schema.metadata[b'hpa_descriptors'].decode()
  for old, new in about.items():
    text = text.replace(old, new)
  text = text.removesuffix('}') + f', "rows": [{rows[0]}, {rows[-1] + 1}]}}'
  first = found.column_names.index('fold') + 2
  found = found.set_column(first, found.field(first),
                           [np.full(len(rows), 77, np.float32)])
  folder.mkdir(exist_ok=True)
  parquet.write_table(found.replace_schema_metadata({'hpa_descriptors': text}),
                      folder / name)


def test_parts_of_a_killed_run_are_taken_and_no_others(records, whole,
                                                       tmp_path):
  folder = tmp_path / 'made.parquet.parts'
  fingerprint = records.manifest.fingerprint
  _write_part(folder, 'part-000000.parquet', whole, range(64))
  _write_part(folder, 'part-000001.parquet', whole, range(64, 128),
              **{fingerprint: 'f' * 64})  # of another dataset
  (folder / 'part-000002.parquet').write_bytes(b'PAR1 half')
  (folder / 'part-000002.parquet.0123abcd.tmp').write_bytes(b'PAR1')
  (folder / 'notes.txt').write_text('of the user')
  found = _make(tmp_path / 'made.parquet', records)
  expected = _make(whole / 'whole.parquet', records)
  np.testing.assert_array_equal(found[64:], expected[64:])
  np.testing.assert_array_equal(found[:64, 1:], expected[:64, 1:])
  assert (found[:64, 0] == 77).all()  # as the part said
  assert os.listdir(folder) == ['notes.txt']


@pytest.mark.parametrize('rows,about', [
    (range(64), {
        'version 1': 'version 0'
    }),
    (range(64), {
        'mahotas': 'mahotas 0.'
    }),
    (range(64, 128), {}),
])
def test_a_part_of_other_descriptors_or_rows_is_not_taken(
    records, whole, tmp_path, rows, about):
  folder = tmp_path / 'made.parquet.parts'
  _write_part(folder, 'part-000000.parquet', whole, rows, **about)
  _make(tmp_path / 'made.parquet', records)
  assert (tmp_path /
          'made.parquet').read_bytes() == (whole /
                                           'whole.parquet').read_bytes()


@pytest.mark.parametrize('content', [b'a text', None])
def test_another_file_or_table_is_not_replaced(records, whole, tmp_path,
                                               content):
  path = tmp_path / 'there.parquet'
  if content:
    path.write_bytes(content)
  else:  # of another dataset
    found = parquet.read_table(whole / 'whole.parquet')
    about = found.schema.metadata[b'hpa_descriptors'].replace(
        records.manifest.fingerprint.encode(), b'f' * 64)
    parquet.write_table(
        found.replace_schema_metadata({'hpa_descriptors': about}), path)
  before = path.read_bytes()
  with pytest.raises(errors.DataError, match='is not the table of the descr'):
    table.prepare(str(path), records)
  assert path.read_bytes() == before


def test_a_damaged_table_is_one_line(records, whole, tmp_path):
  path = tmp_path / 'damaged.parquet'
  data = bytearray((whole / 'whole.parquet').read_bytes())
  data[4:5000] = bytes(4996)
  path.write_bytes(data)
  with pytest.raises(errors.DataError, match='is damaged .*; remove it'):
    _make(path, records)


def _replace(found, values):
  number = found.column_names.index('labels') + 1
  return found.set_column(number, found.column_names[number], [values])


@pytest.mark.parametrize('change,message', [
    (lambda t: t.take(np.arange(150)[::-1]), 'in their order'),
    (lambda t: pa.concat_tables([t] * 3), 'values and .* for 150 im'),
    (lambda t: t.slice(1), 'expected 150 rows, received 149'),
    (lambda t: t.drop_columns('id'), 'expected other columns'),
    (lambda t: t.append_column('id', t['id']), 'expected other co'),
    (lambda t: _replace(t, ['x'] * 150), 'expected float, received st'),
    (lambda t: _replace(t, np.full(150, np.nan, np.float32)), 'not fi'),
    (lambda t: _replace(t, pa.nulls(150, pa.float32())), 'is missing'),
])
def test_a_table_that_only_says_to_be_the_one_is_one_line(
    records, whole, tmp_path, change, message):
  path = tmp_path / 'forged.parquet'
  parquet.write_table(change(parquet.read_table(whole / 'whole.parquet')), path)
  with pytest.raises(errors.DataError, match=f'is damaged .*{message}'):
    _make(path, records)


def test_more_rows_than_images_are_refused_before_they_are_read(
    records, whole, tmp_path):
  path = tmp_path / 'bomb.parquet'
  found = parquet.read_table(whole / 'whole.parquet')
  ids = pa.DictionaryArray.from_arrays(np.zeros(10**5, np.int32), ['s'])
  parts = [found, pa.table({'id': ids.cast(pa.string())})]
  parquet.write_table(pa.concat_tables(parts, promote_options='default'), path)
  with pytest.raises(errors.DataError, match="'id': 100,150 values"):
    _make(path, records)


def test_a_part_without_its_values_is_made_again(records, whole, tmp_path):
  folder = tmp_path / 'made.parquet.parts'
  _write_part(folder, 'part-000000.parquet', whole, range(64))
  path = folder / 'part-000000.parquet'
  found = parquet.read_table(path)
  parquet.write_table(_replace(found, np.full(64, np.inf, np.float32)), path)
  _make(tmp_path / 'made.parquet', records)
  assert (tmp_path /
          'made.parquet').read_bytes() == (whole /
                                           'whole.parquet').read_bytes()


def test_a_link_in_place_of_the_folder_of_parts_is_refused(records, tmp_path):
  user = tmp_path / 'user'
  user.mkdir()
  (user / 'part-000000.parquet').write_text('of the user')
  (tmp_path / 'made.parquet.parts').symlink_to(user)
  with pytest.raises(errors.DataError, match='made.parquet.parts is a link;'):
    _make(tmp_path / 'made.parquet', records)
  assert os.listdir(user) == ['part-000000.parquet']
  assert (user / 'part-000000.parquet').read_text() == 'of the user'


def test_a_replaced_dataset_is_refused(records, tmp_path):
  copy = shutil.copytree(records.directory, tmp_path / 'records')
  opened = dataset.load(str(copy))
  shutil.rmtree(copy)
  fakes.write_records(tmp_path / 'new', 20, 16, num_folds=2)
  shutil.move(tmp_path / 'new' / 'records', copy)
  with pytest.raises(errors.DataError, match='was replaced while'):
    _make(tmp_path / 'made.parquet', opened)
  assert not (tmp_path / 'made.parquet').exists()


def test_unlabelled_records_have_a_table(tmp_path):
  _, images = fakes.write_source(tmp_path, 4, 16)
  convert.convert('', images, str(tmp_path / 'records'),
                  shard_plan.Settings(image_size=16, unlabelled=True),
                  convert.How(workers=1))
  records = dataset.load(str(tmp_path / 'records'), allow_unlabelled=True)
  assert _make(tmp_path / 'made.parquet', records).shape == (4, 588)
  found = pd.read_parquet(tmp_path / 'made.parquet')
  assert (found['fold'] == -1).all() and found['labels'].isna().all()


def test_images_that_are_too_small_are_refused(tmp_path):
  records = dataset.load(
      fakes.write_records(tmp_path,
                          8,
                          4,
                          num_folds=2,
                          description=fakes.describe(1)))
  with pytest.raises(errors.DataError, match='at least 5 px .* received 4 px'):
    table.prepare(str(tmp_path / 'made.parquet'), records)
