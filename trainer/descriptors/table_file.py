"""Files of descriptors, which may be of a stranger: read with checks.

A Parquet file of a few bytes can declare billions of values. So its columns,
and the values and bytes of its pages, are compared with the dataset before they
are read, as those of index.parquet.
"""

from collections.abc import Sequence
import io
import struct

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hpa_records.format import parquet_page
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from trainer.descriptors import catalog

ABOUT = 'hpa_descriptors'  # names what a file is
_TEXTS = ('id', 'group')
_OTHERS = {*_TEXTS, 'fold', 'labels'}  # columns beside the descriptors
_VALUE_BYTES = 8  # most of a number, with its place in a dictionary
_TEXT_BYTES = 2**10  # most of an id or group
_COLUMN_BYTES = 2**12  # most of a column in the footer, and of a small one
_GROUP_ROWS = 2**20  # of a row group of pyarrow


def has_about(path: str, about: str, records: dataset.Records) -> bool:
  """Returns whether a file says to be a table, or a part, of what about says.

  The footer of a Parquet file is written last, so the file is whole.

  Args:
    path: of the file, which may be missing.
    about: of part.find_about.
    records: the dataset.
  """
  if filesystem.size(path) is None:
    return False
  try:
    with filesystem.open_read(path) as file:
      file.seek(-8, io.SEEK_END)
      _check_footer(file.read(), records)
      found = parquet.read_schema(file).metadata or {}
  except (pa.ArrowException, OSError, ValueError):
    return False
  return found.get(ABOUT.encode()) == about.encode()


def load(path: str, about: str, records: dataset.Records,
         rows: range) -> np.ndarray:
  """Returns the descriptors of a table or a part.

  Args:
    path: of the file.
    about: of part.find_about, which the file must have.
    records: the dataset.
    rows: of it that the file has.

  Returns:
    [n, D] float32, finite.

  Raises:
    errors.DataError: it is missing or damaged, or has other columns or rows.
  """
  columns = len(catalog.name_all(records.spec.channel_names)) + len(_OTHERS)
  most_bytes = (columns * _COLUMN_BYTES + len(rows) *
                (columns * _VALUE_BYTES + 2 * _TEXT_BYTES +
                 _VALUE_BYTES * records.spec.num_classes))
  try:
    data = filesystem.read_bytes(path, most_bytes)
    _check_footer(data[-8:], records)
    return _read(data, about, records, rows)
  except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
    raise errors.DataError(
        f'{path} is damaged ({printable.join_lines(str(error))}); remove it, '
        'then run the same command again.') from error


def _check_footer(end: bytes, records: dataset.Records) -> None:
  """Checks the size of the footer, which may be nested, by the last 8 bytes."""
  columns = len(catalog.name_all(records.spec.channel_names)) + len(_OTHERS)
  groups = 1 + len(records.index) // _GROUP_ROWS
  length, = struct.unpack('<I', end[:4].rjust(4, b'\0'))
  if len(end) < 8 or length > columns * _COLUMN_BYTES * groups:
    raise ValueError(f'a footer of {length:,} bytes')


def _read(data: bytes, about: str, records: dataset.Records,
          rows: range) -> np.ndarray:
  """Returns the descriptors; raises ValueError for another content."""
  names = catalog.name_all(records.spec.channel_names)
  schema = parquet.read_schema(io.BytesIO(data))
  if (schema.metadata or {}).get(ABOUT.encode()) != about.encode():
    raise ValueError('of other images or descriptors')
  _check_columns(schema, names)
  _check_sizes(data, len(rows), records.spec.num_classes)
  texts = [name for name in _TEXTS if name in schema.names]
  with parquet.ParquetFile(io.BytesIO(data), read_dictionary=texts) as file:
    table = file.read(use_threads=False)
  table.validate(full=True)
  if table.num_rows != len(rows):
    raise ValueError(f'expected {len(rows)} rows, received {table.num_rows}')
  found = table['id'].combine_chunks()
  longest = max(map(len, found.dictionary.to_pylist()), default=0)
  if longest > _TEXT_BYTES:
    raise ValueError('an id that is too long')
  ids = records.index['id'].iloc[rows.start:rows.stop].tolist()
  if found.to_pylist() != ids:
    raise ValueError('the ids are not those of the records, in their order')
  found = np.stack([table[name].to_numpy() for name in names], axis=1)
  if not np.isfinite(found).all():
    raise ValueError('a value that is missing or not finite')
  return found


def _check_columns(schema: pa.Schema, names: Sequence[str]) -> None:
  """Checks names and types; fold and labels are those of the records."""
  if (len(set(schema.names)) < len(schema.names) or
      not {'id', *names} <= set(schema.names) <= _OTHERS | set(names)):
    raise ValueError('expected other columns')
  for name in ('id', *names):
    wanted = pa.string() if name == 'id' else pa.float32()
    if schema.field(name).type != wanted:
      raise ValueError(f'{printable.quote(name)}: expected {wanted}, received '
                       f'{str(schema.field(name).type):.80}')


def _check_sizes(data: bytes, rows: int, num_classes: int) -> None:
  """Checks the values and bytes that the pages declare."""
  for name, (values, num_bytes) in parquet_page.count(data).items():
    most = rows * (max(1, num_classes) if name == 'labels' else 1)
    each = _TEXT_BYTES if name in _TEXTS else _VALUE_BYTES
    if values > most or num_bytes > _COLUMN_BYTES + most * each:
      raise ValueError(f'{printable.quote(name)}: {values:,} values and '
                       f'{num_bytes:,} bytes for {rows:,} images')
