"""Encoding of index.parquet, and strict decoding.

Parquet stores a billion equal values in a few bytes. So the sizes that a file
declares are compared with the number of records before a column is read. Types
and nulls are checked before pandas converts them.
"""

import io
import struct
from typing import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from hpa_records.format import parquet_page
from hpa_records.format import spec
from hpa_records.runtime import printable

_INT32, _INT64, _TEXT = pa.int32(), pa.int64(), pa.string()
_SCHEMA = pa.schema([
    *zip(spec.INDEX_COLUMNS,
         (_TEXT, _INT32, _TEXT, _INT64, _INT64, _INT64, _INT64,
          pa.list_(_INT32), pa.list_(pa.float32()), _TEXT, _INT32))
])
_TEXTS = ['id', 'shard', 'group']

# Most bytes of ids, shards and groups: a record on average, and in small sets.
_TEXT_BYTES = 2**10
_MIN_BYTES = 2**24
_FOOTER_BYTES = 2**16  # most for each million of records


def encode(index: pd.DataFrame) -> bytes:
  """Returns the content of index.parquet.

  Args:
    index: one row a record; see manifest.load_index for the columns. Those
      that are not spec.INDEX_COLUMNS are metadata: text.
  """
  fields = [
      field for field in _schema(
          [name for name in index if name not in spec.INDEX_COLUMNS])
      if field.name in index
  ]
  table = pa.Table.from_pandas(index, pa.schema(fields),
                               preserve_index=False).replace_schema_metadata()
  content = io.BytesIO()
  parquet.write_table(table, content)
  return content.getvalue()


def max_bytes(num_records: int, num_folds: int, num_classes: int) -> int:
  """Returns the largest allowed size of an index, or of a column, in bytes.

  Args:
    num_records: N, rows.
    num_folds: F, repeats of each row; 0 in an unlabelled set.
    num_classes: K, most labels of a row.
  """
  return _MIN_BYTES + num_records * (_TEXT_BYTES + 4 * num_classes +
                                     8 * num_folds)


def decode(data: bytes,
           num_records: int,
           num_folds: int,
           num_classes: int,
           metadata: Sequence[str] = ()) -> pd.DataFrame:
  """Returns the table of an index.parquet.

  Time and memory are bounded by the three numbers.

  Args:
    data: the file's content.
    num_records: N, expected rows.
    num_folds: F, expected repeats of each row; 0 in an unlabelled set.
    num_classes: K, most labels of a row.
    metadata: names of further columns, of text.

  Raises:
    ValueError: not such a table; the message says why.
  """
  try:
    _check_footer(data, num_records)
    footer = parquet.read_metadata(io.BytesIO(data))
    _check_columns(footer.schema.to_arrow_schema(), _schema(metadata))
    _check_sizes(data, footer, num_records, num_folds, num_classes)
    texts = [
        name for name in (*_TEXTS, *metadata) if name in footer.schema.names
    ]
    file = parquet.ParquetFile(io.BytesIO(data),
                               metadata=footer,
                               read_dictionary=texts)
    table = file.read()
    if table.num_rows != num_records:
      raise ValueError(f'expected {num_records} rows, received '
                       f'{table.num_rows}')
    table = _decode_texts(table, num_records)
    table.validate(full=True)  # also UTF-8
  except (pa.ArrowException, OSError, MemoryError) as error:
    reason = printable.join_lines(str(error))
    raise ValueError(f'not a valid parquet file: {reason}') from error
  # The file's own metadata for pandas is untrusted.
  return table.replace_schema_metadata().to_pandas()


def _check_footer(data: bytes, num_records: int) -> None:
  """Checks the size of the footer, which may be nested."""
  if num_records > len(data):
    raise ValueError(f'only {len(data)} bytes for {num_records} records')
  length = struct.unpack('<I', data[-8:-4])[0] if len(data) > 8 else 0
  if length > _FOOTER_BYTES * (1 + num_records // 2**20):
    raise ValueError(f'a parquet footer of {length} bytes')


def _schema(metadata: Sequence[str]) -> pa.Schema:
  """Returns the columns that an index may have."""
  return pa.schema([*_SCHEMA, *((name, pa.string()) for name in metadata)])


def _check_columns(found: pa.Schema, schema: pa.Schema) -> None:
  """Checks that the columns are some of the schema's, each once."""
  if len(set(found.names)) < len(found.names):
    raise ValueError('duplicate column')
  for field in found:
    wanted = schema.field(
        field.name).type if field.name in schema.names else None
    kind = field.type
    # The names of list items may differ.
    is_list = wanted and pa.types.is_list(wanted) and pa.types.is_list(kind)
    if wanted is None or (kind.value_type != wanted.value_type
                          if is_list else kind != wanted):
      raise ValueError(
          f'expected {wanted or "no"} column {printable.quote(field.name)}, '
          f'received type {str(kind):.80}')


def _check_sizes(data: bytes, footer: parquet.FileMetaData, num_records: int,
                 num_folds: int, num_classes: int) -> None:
  """Checks the rows, values and bytes that the file declares."""
  if footer.num_rows != num_records:
    raise ValueError(f'expected {num_records} rows, received '
                     f'{footer.num_rows}')
  if num_records * num_folds > spec.MAX_REPEATS:
    raise ValueError(f'{num_records} records in {num_folds} folds: more than '
                     f'{spec.MAX_REPEATS:,} repeats')
  most = {
      'labels': num_records * num_classes,
      'repeats': num_records * num_folds
  }
  for name, (values, num_bytes) in parquet_page.count(data).items():
    if (values > most.get(name, num_records) or
        num_bytes > max_bytes(num_records, num_folds, num_classes)):
      raise ValueError(f'column {printable.quote(name)} has {values} values '
                       f'and {num_bytes} bytes for {num_records} records')


def _decode_texts(table: pa.Table, num_records: int) -> pa.Table:
  """Returns the table with plain strings in place of dictionaries.

  Raises:
    ValueError: the strings are too large, or a value is null.
  """
  for number, name in enumerate(table.column_names):
    column = table.column(number)
    if pa.types.is_dictionary(column.type):
      num_bytes = sum(map(_count_text, column.chunks))
      if num_bytes > max_bytes(num_records, 0, 0):
        raise ValueError(f'column {name} has {num_bytes} bytes of text')
      column = column.cast(pa.string())
      table = table.set_column(number, name, column)
    inside = [chunk.flatten() for chunk in column.chunks] if pa.types.is_list(
        column.type) else []
    if any(each.null_count for each in (column, *inside)):
      raise ValueError(f'column {name} contains a null')
  return table


def _count_text(chunk: pa.DictionaryArray) -> int:
  """Returns the bytes of a chunk's texts as plain strings."""
  lengths = pc.call_function('binary_length', [chunk.dictionary])
  return pc.call_function('sum', [lengths.take(chunk.indices)]).as_py() or 0
