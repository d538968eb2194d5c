"""index.parquet: a table as bytes, and back.

Parquet packs a billion equal values into some bytes, so what the file says of
itself is held to the number of records before a column is read; types and
nulls are checked before pandas, which has its own idea of both.
"""

import io
import struct

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from hpa_records.format import parquet_page
from hpa_records.format import spec
from hpa_records.runtime import printable

_SCHEMA = pa.schema([
    ('id', pa.string()),
    ('fold', pa.int32()),
    ('shard', pa.string()),
    ('record_offset', pa.int64()),
    ('record_bytes', pa.int64()),
    ('image_offset', pa.int64()),
    ('image_bytes', pa.int64()),
    ('labels', pa.list_(pa.int32())),
    ('repeats', pa.list_(pa.float32())),
    ('group', pa.string()),
    ('row', pa.int32()),
])
_TEXTS = ['id', 'shard', 'group']

# Text of a record on average, beside some for small sets: ids, shards, groups.
_TEXT_BYTES = 2**10
_MIN_BYTES = 2**24
_FOOTER_BYTES = 2**16  # for each million of records: what the file is made of


def encode(index: pd.DataFrame) -> bytes:
  """Returns the content of the file of an index, some columns of _SCHEMA."""
  fields = [field for field in _SCHEMA if field.name in index]
  table = pa.Table.from_pandas(index, pa.schema(fields),
                               preserve_index=False).replace_schema_metadata()
  content = io.BytesIO()
  parquet.write_table(table, content)
  return content.getvalue()


def max_bytes(num_records: int, num_folds: int) -> int:
  """Returns how large the file of such an index, or any column, may be."""
  return _MIN_BYTES + num_records * (_TEXT_BYTES + 4 * spec.NUM_CLASSES +
                                     8 * num_folds)


def decode(data: bytes, num_records: int, num_folds: int) -> pd.DataFrame:
  """Returns the table that a file's content is, in time and memory of what it
  should hold.

  Args:
    data: the content.
    num_records: N, rows that it should have.
    num_folds: F, repeats that each row should have.

  Raises:
    ValueError: it is no such table; says why.
  """
  try:
    _check_footer(data, num_records)
    said = parquet.read_metadata(io.BytesIO(data))
    _check_columns(said.schema.to_arrow_schema())
    _check_sizes(data, said, num_records, num_folds)
    texts = [name for name in _TEXTS if name in said.schema.names]
    file = parquet.ParquetFile(io.BytesIO(data),
                               metadata=said,
                               read_dictionary=texts)
    table = file.read()
    if table.num_rows != num_records:
      raise ValueError(f'{table.num_rows} rows of {num_records}')
    table = _decode_texts(table, num_records)
    table.validate(full=True)  # UTF-8 too
  except (pa.ArrowException, OSError, MemoryError) as error:
    reason = printable.join_lines(str(error))
    raise ValueError(f'no parquet that can be read: {reason}') from error
  # What a file says of pandas' types is a stranger's, too.
  return table.replace_schema_metadata().to_pandas()


def _check_footer(data: bytes, num_records: int) -> None:
  """Checks the size of what the file says of itself: it may nest."""
  if num_records > len(data):
    raise ValueError(f'{len(data)} bytes for {num_records} records')
  length = struct.unpack('<I', data[-8:-4])[0] if len(data) > 8 else 0
  if length > _FOOTER_BYTES * (1 + num_records // 2**20):
    raise ValueError(f'a parquet footer of {length} bytes')


def _check_columns(found: pa.Schema) -> None:
  """Checks that the columns are some of _SCHEMA, each once."""
  if len(set(found.names)) < len(found.names):
    raise ValueError('a column twice')
  for field in found:
    wanted = _SCHEMA.field(
        field.name).type if field.name in _SCHEMA.names else None
    kind = field.type
    # Two lists may name what is in them differently.
    is_list = wanted and pa.types.is_list(wanted) and pa.types.is_list(kind)
    if wanted is None or (kind.value_type != wanted.value_type
                          if is_list else kind != wanted):
      raise ValueError(
          f'the column {printable.quote(field.name)} of type '
          f'{str(kind):.80}, expected {wanted or "no such column"}')


def _check_sizes(data: bytes, made: parquet.FileMetaData, num_records: int,
                 num_folds: int) -> None:
  """Checks rows, values and bytes that the file declares."""
  if made.num_rows != num_records:
    raise ValueError(f'{made.num_rows} rows, expected {num_records}')
  if num_records * num_folds > spec.MAX_REPEATS:
    raise ValueError(f'{num_records} records in {num_folds} folds: more than '
                     f'{spec.MAX_REPEATS:,} repeats')
  most = {
      'labels': num_records * spec.NUM_CLASSES,
      'repeats': num_records * num_folds
  }
  for name, (values, num_bytes) in parquet_page.count(data).items():
    if (values > most.get(name, num_records) or
        num_bytes > max_bytes(num_records, num_folds)):
      raise ValueError(f'{values} values and {num_bytes} bytes in the column '
                       f'{printable.quote(name)} of {num_records} records')


def _decode_texts(table: pa.Table, num_records: int) -> pa.Table:
  """Returns the table with plain strings and without a null.

  A dictionary holds a long text once, however many rows have it.
  """
  for number, name in enumerate(table.column_names):
    column = table.column(number)
    if pa.types.is_dictionary(column.type):
      num_bytes = sum(map(_count_text, column.chunks))
      if num_bytes > max_bytes(num_records, 0):
        raise ValueError(f'{num_bytes} bytes of text in the column {name}')
      column = column.cast(pa.string())
      table = table.set_column(number, name, column)
    inside = [chunk.flatten() for chunk in column.chunks] if pa.types.is_list(
        column.type) else []
    if any(each.null_count for each in (column, *inside)):
      raise ValueError(f'a null in the column {name}')
  return table


def _count_text(chunk: pa.DictionaryArray) -> int:
  """Bytes of the texts of a chunk when they are no dictionary any more."""
  lengths = pc.call_function('binary_length', [chunk.dictionary])
  return pc.call_function('sum', [lengths.take(chunk.indices)]).as_py() or 0
