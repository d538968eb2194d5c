"""index_table: only a valid index is decoded."""

import io
import re
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
import pytest

from hpa_records.format import index_table
from hpa_records.format import parquet_page

_NUM, _FOLDS, _CLASSES = 6, 2, 28


def _index(**changes):
  """Returns the columns of an index as lists, with changes."""
  columns = {
      'id': [f's{i}' for i in range(_NUM)],
      'fold': [0, 0, 0, 1, 1, 1],
      'shard': ['a'] * _NUM,
      'record_offset': list(range(_NUM)),
      'record_bytes': [1] * _NUM,
      'image_offset': list(range(_NUM)),
      'image_bytes': [1] * _NUM,
      'labels': [[0, 2]] * _NUM,
      'repeats': [[0.0, 1.5]] * _NUM
  }
  return {**columns, **changes}


def _bytes(table):
  content = io.BytesIO()
  parquet.write_table(table, content)
  return content.getvalue()


def _write(**changes):
  """Returns a file's content; the other columns have the right types."""
  sound = parquet.read_table(
      io.BytesIO(index_table.encode(pd.DataFrame(_index()))))
  for name, column in changes.items():
    sound = sound.set_column(sound.column_names.index(name), name, column)
  return _bytes(sound.replace_schema_metadata())


def test_a_table_comes_back():
  index = pd.DataFrame(_index())
  found = index_table.decode(index_table.encode(index), _NUM, _FOLDS, _CLASSES)
  assert list(found.columns) == list(index.columns)
  assert found['fold'].dtype == np.int32
  for name in index.columns:
    assert list(map(list, found[name])) == list(map(list, index[name])) if (
        name in ('labels', 'repeats')) else (found[name] == index[name]).all()


_LISTS = pa.list_(pa.int32())
_NO_UTF8 = pa.Array.from_buffers(pa.string(), 6,
                                 pa.array([b'\xff'] * 6).buffers())


@pytest.mark.parametrize('name,column,message', [
    ('labels', pa.array([None] + [[0]] * 5, _LISTS), 'labels contains a null'),
    ('labels', pa.array([[None]] + [[0]] * 5,
                        _LISTS), 'labels contains a null'),
    ('fold', pa.array([None, 0, 0, 1, 1, 1],
                      pa.int32()), 'fold contains a null'),
    ('id', pa.array([None, *'abcde']), 'id contains a null'),
    ('fold', pa.array([0.0] * 6), "column 'fold', received type double"),
    ('id', pa.array([[1]] * 6), "column 'id', received type list"),
    ('image_offset', pa.array(
        ['1'] * 6), "'image_offset', received type string"),
    ('labels', pa.array([[[0]]] * 6), "'labels', received type list<.*list"),
    ('id', _NO_UTF8, '(?i)utf'),
])
def test_nulls_and_other_types_are_refused(name, column, message):
  with pytest.raises(ValueError, match=message):
    index_table.decode(_write(**{name: column}), _NUM, _FOLDS, _CLASSES)


@pytest.mark.parametrize('name,column', [
    ('labels', pa.array([[0] * 10**6] + [[0]] * 5, _LISTS)),
    ('repeats', pa.array([[0.0] * 10**6] + [[0]] * 5, pa.list_(pa.float32()))),
    ('id', pa.array(['x' * 3 * 10**7] + list('abcde'))),
    ('shard', pa.array(['x' * 10**7] * 6)),
])
def test_columns_much_larger_than_the_file_are_refused(name, column):
  data = _write(**{name: column})
  assert len(data) < 10**7
  with pytest.raises(ValueError, match=f'column .?{name}'):
    index_table.decode(data, _NUM, _FOLDS, _CLASSES)


def test_the_footer_is_not_trusted():
  """The footer declares 8 values, the page a million."""
  lists = pa.table({'labels': pa.array([[0] * 10**6] + [[0]] * 3, _LISTS)})
  content = io.BytesIO()
  parquet.write_table(lists, content, write_statistics=False)
  data, said = content.getvalue(), _varint(2 * (10**6 + 3))
  places = [found.start() for found in re.finditer(re.escape(said), data)]
  forged = []
  for place in places:
    lie = data[:place] + b'\x90\x80\0' + data[place + 3:]
    try:
      column = parquet.read_metadata(io.BytesIO(lie)).row_group(0).column(0)
      forged += [lie] if column.num_values == 8 else []
    except pa.ArrowException:
      pass
  assert forged
  for lie in forged:
    with pytest.raises(ValueError, match='column .labels. has 1000003 values'):
      index_table.decode(lie, 4, _FOLDS, _CLASSES)


@pytest.mark.parametrize('encoding',
                         ['DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY'])
def test_encodings_with_their_own_counts_are_refused(encoding):
  content = io.BytesIO()
  parquet.write_table(pa.table({'id': pa.array(list('abcdef'))}),
                      content,
                      use_dictionary=False,
                      column_encoding={'id': encoding})
  with pytest.raises(ValueError, match='encoding is not plain'):
    index_table.decode(content.getvalue(), _NUM, _FOLDS, _CLASSES)


def test_overlapping_columns_are_refused():
  """Its footer declares a column nearly as large as the file."""

  def read(data):
    group = parquet.read_metadata(io.BytesIO(data)).row_group(0)
    return group.column(0).total_compressed_size

  data = _write()
  said, wanted = (bytes([2 * each & 127 | 128, 2 * each >> 7])
                  for each in (read(data), len(data) - 4))
  places = [found.start() for found in re.finditer(re.escape(said), data)]
  forged = []
  for place in places:
    lie = data[:place] + wanted + data[place + 2:]
    try:
      forged += [lie] if read(lie) == len(data) - 4 else []
    except pa.ArrowException:
      pass
  assert forged
  for lie in forged:
    with pytest.raises(ValueError, match='columns larger than the file'):
      index_table.decode(lie, _NUM, _FOLDS, _CLASSES)


def _varint(value):
  return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14])


def test_more_rows_than_bytes_or_than_records_are_refused():
  rows = pa.table({'fold': pa.array(np.zeros(10**6, np.int32))})
  data = _bytes(rows)
  with pytest.raises(ValueError, match='expected 6 rows, received 1000000'):
    index_table.decode(data, _NUM, _FOLDS, _CLASSES)
  with pytest.raises(ValueError,
                     match=f'{len(data)} bytes for 1000000 records'):
    index_table.decode(data, 10**6, _FOLDS, _CLASSES)


def test_other_columns_are_refused():
  for data in (_bytes(pa.table({'other': [1] * 6})),
               _bytes(pa.table([[1] * 6] * 2, ['fold', 'fold']))):
    with pytest.raises(ValueError, match='column'):
      index_table.decode(data, _NUM, _FOLDS, _CLASSES)


@pytest.mark.parametrize('data', [
    b'',
    b'PAR1nonsensePAR1',
    b'PAR1' + b'\xff' * 100 + b'\x40\0\0\0PAR1',
    b'PAR1' + b'\xff' * 100 + b'\xff\xff\xff\x7fPAR1',
])
def test_invalid_parquet_is_refused(data):
  with pytest.raises(ValueError, match='parquet|bytes for'):
    index_table.decode(data, _NUM, _FOLDS, _CLASSES)


@pytest.mark.parametrize('seed', range(20))
def test_damage_is_refused_or_another_table(seed):
  rng, data = np.random.default_rng(seed), bytearray(_write())
  for place in rng.integers(4, len(data), 3):
    data[place] ^= rng.integers(1, 256)
  try:
    assert len(index_table.decode(bytes(data), _NUM, _FOLDS, _CLASSES)) == _NUM
  except ValueError as error:
    assert '\n' not in str(error)


def test_no_byte_of_the_footer_ends_the_process():
  """pyarrow's own column metadata aborts on some invalid footers."""
  data = index_table.encode(pd.DataFrame(_index()))
  start = len(data) - 8 - int.from_bytes(data[-8:-4], 'little')
  script = f'''
import sys
from hpa_records.format import index_table
data = sys.stdin.buffer.read()
for at in range({start}, len(data)):
  for change in (1, 2, 255):
    forged = bytearray(data)
    forged[at] = (forged[at] + change) % 256
    try:
      index_table.decode(bytes(forged), {_NUM}, {_FOLDS}, {_CLASSES})
    except ValueError:
      pass
'''
  ended = subprocess.run([sys.executable, '-c', script],
                         input=data,
                         capture_output=True,
                         check=False)
  assert not ended.returncode, ended.stderr[-500:]


def test_pages_are_counted_as_pyarrow_describes_them():
  data = index_table.encode(pd.DataFrame(_index()))
  said = parquet.read_metadata(io.BytesIO(data)).row_group(0)
  found = parquet_page.count(data)
  assert len(found) == said.num_columns == 9
  for number in range(said.num_columns):
    part = said.column(number)
    values, num_bytes = found[part.path_in_schema.partition('.')[0]]
    assert values == part.num_values
    assert 0 < num_bytes <= part.total_uncompressed_size


def _integer(value):
  """Returns 0..8191 as a zigzag varint of Thrift's compact protocol."""
  return bytes([2 * value & 127 | 128, 2 * value >> 7])


def _page(head):
  """Returns a file with a column of one page with the given header."""
  text, part = b'\x01a', b'\x39\x18' + b'\x01a'  # field 3, a list of one text
  part += b'\x46' + _integer(len(head)) + b'\x26' + _integer(4) + b'\0'
  column = b'\x3c' + part + b'\0'
  group = b'\x19\x1c' + column + b'\0'
  writer = b'parquet-cpp-arrow 25'
  footer = b'\x49\x1c' + group + b'\x28' + bytes([len(writer)]) + writer + b'\0'
  assert text in part
  return b'PAR1' + head + footer + struct.pack('<I', len(footer)) + b'PAR1'


def test_a_field_of_another_type_is_skipped_as_by_pyarrow():
  # Fields 2 and 3, sizes; 5, a struct of 1, values, twice; 2, the encoding.
  sizes = b'\x25' + _integer(0) + b'\x15' + _integer(0)
  values = b'\x15' + _integer(3000) + b'\x06' + _integer(1) + _integer(7)
  page = sizes + b'\x2c' + values + b'\x15' + _integer(0) + b'\0\0'
  assert parquet_page.count(_page(page)) == {'a': (3000, 0)}


@pytest.mark.parametrize('said', [b'{}', b'[', b'{"index_columns": [1]}'])
def test_pandas_metadata_is_ignored(said):
  table = parquet.read_table(io.BytesIO(_write()))
  data = _bytes(table.replace_schema_metadata({b'pandas': said}))
  index = index_table.decode(data, _NUM, _FOLDS, _CLASSES)
  assert list(index['id']) == [f's{i}' for i in range(_NUM)]


def test_tables_of_other_writers_are_refused():
  data = _write()
  name = b'parquet-cpp-arrow'
  assert name in data
  with pytest.raises(ValueError, match='not written by pyarrow'):
    index_table.decode(data.replace(name, b'parquet-mr versio'), _NUM, _FOLDS,
                       _CLASSES)
