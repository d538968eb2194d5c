"""Counts the values and bytes of a parquet file from its page headers.

The footer declares how many values a column has, but pyarrow unpacks as many as
the pages declare, and a page of a few bytes may declare two billion. So the
page headers (Thrift's compact protocol) are read first. The pages' positions
are read from the footer here too: pyarrow's own column metadata aborts the
process where the footer contradicts itself (pyarrow 25, "Definition level
histogram size mismatch").

Fields are kept by number and type, since pyarrow skips a field of another type.
Only files written by pyarrow are read, since for some other writers it reads
beyond the end of a column.

Source: parquet-format 2.12, parquet.thrift (FileMetaData: 4 row groups, each
with 1 columns, each with 3 meta data: 3 path, 7 compressed size, 9 and 11
offsets of the first data and dictionary page; PageHeader = 2 and 3 sizes, 5, 7
and 8 headers of kinds of pages, each with 1 num_values, and 2 or, in 8, 4
encoding; Encoding); Thrift's compact protocol.
"""

import struct
from typing import Any, Iterator

_STOP, _TRUE, _FALSE, _BYTE, _I32, _I64, _DOUBLE = 0, 1, 2, 3, 5, 6, 7
_BINARY, _LIST, _SET, _STRUCT = 8, 9, 10, 12
_MAX_DEPTH = 12
_HEAD_BYTES = 2**16  # most bytes of a page header; usually some dozens

# A field's number and type. Of a footer, a row group, a column:
_ROW_GROUPS, _WRITER = (4, _LIST), (6, _BINARY)
_COLUMNS, _META_DATA, _PATH = (1, _LIST), (3, _STRUCT), (3, _LIST)
_PART_BYTES, _DATA_PAGE, _DICTIONARY_PAGE = (7, _I64), (9, _I64), (11, _I64)
# Of a page header:
_SIZES = ((2, _I32), (3, _I32))  # uncompressed, compressed
_VALUES = (1, _I32)
# Page types with values, and the field of each that names the encoding.
_DATA_PAGES = {(5, _STRUCT): (2, _I32), (8, _STRUCT): (4, _I32)}
# Plain and dictionary; other encodings have their own counts inside the page.
_ENCODINGS = {0, 2, 8}
_OWN_WRITER = b'parquet-cpp-arrow '
_Fields = dict[tuple[int, int], Any]


def count(data: bytes) -> dict[str, tuple[int, int]]:
  """Returns the number of values and of unpacked bytes of each column by name.

  Args:
    data: the file, at least 8 bytes.

  Raises:
    ValueError: the footer or a page header is invalid, or pyarrow did not
      write the file.
  """
  length, = struct.unpack('<I', data[-8:-4])
  footer, _ = _read_struct(data, len(data) - 8 - length)
  writer = footer.get(_WRITER)
  if not (isinstance(writer, bytes) and writer.startswith(_OWN_WRITER)):
    raise ValueError('not written by pyarrow')
  found: dict[str, tuple[int, int]] = {}
  parts = list(_list_parts(footer))
  # Columns that share bytes would be read over and over.
  if sum(part[_PART_BYTES] for part in parts) > len(data):
    raise ValueError('columns larger than the file')
  for part in parts:
    values, num_bytes = _count_part(data, part)
    name = part[_PATH][0].decode()
    before = found.get(name, (0, 0))
    found[name] = before[0] + values, before[1] + num_bytes
  return found


def _list_parts(footer: _Fields) -> Iterator[_Fields]:
  """Yields the footer's metadata of each column of each row group."""
  try:
    for group in footer.get(_ROW_GROUPS, ()):
      for column in group[_COLUMNS]:
        part = column[_META_DATA]
        if not (isinstance(part[_PATH][0], bytes) and
                isinstance(part[_DATA_PAGE], int) and
                isinstance(part.get(_DICTIONARY_PAGE, 0), int) and
                isinstance(part[_PART_BYTES], int)):
          raise TypeError
        yield part
  except (KeyError, IndexError, TypeError, AttributeError) as error:
    raise ValueError('footer without positions of columns') from error


def _count_part(data: bytes, part: _Fields) -> tuple[int, int]:
  """Returns the values and the unpacked bytes of one column of a row group."""
  position = part[_DATA_PAGE]
  position = min(position, part.get(_DICTIONARY_PAGE) or position)
  end = position + part[_PART_BYTES]
  if not 0 <= position <= end <= len(data):
    raise ValueError('column outside of the file')
  values = num_bytes = 0
  while position < end:
    head = data[position:min(end, position + _HEAD_BYTES)]
    header, length = _read_struct(head, 0)
    position += length
    sizes = [header.get(field) for field in _SIZES]
    pages = {each: header[each] for each in _DATA_PAGES if each in header}
    encodings = [each.get(_DATA_PAGES[kind]) for kind, each in pages.items()]
    if not all(
        isinstance(each, int) and each in _ENCODINGS for each in encodings):
      raise ValueError('page encoding is not plain or dictionary')
    numbers = [each.get(_VALUES) for each in pages.values()]
    if not all(isinstance(each, int) and each >= 0 for each in sizes + numbers):
      raise ValueError('page with invalid sizes')
    values += sum(numbers)
    num_bytes += sizes[0]
    position += sizes[1]
  return values, num_bytes


def _read_struct(data: bytes,
                 position: int,
                 depth: int = 0) -> tuple[_Fields, int]:
  """Returns a struct's fields by number and type, and its end."""
  if depth > _MAX_DEPTH:
    raise ValueError('footer or page header nested too deeply')
  fields, number = {}, 0
  while True:
    head, position = _read_bytes(data, position, 1)
    delta, kind = head[0] >> 4, head[0] & 15
    if kind == _STOP:
      return fields, position
    if not delta:
      number, position = _read_integer(data, position)
    number += delta
    if kind not in (_TRUE, _FALSE):  # the type is the value
      fields[number, kind], position = _read_value(data, position, kind, depth)


def _read_value(data: bytes, position: int, kind: int,
                depth: int) -> tuple[Any, int]:
  """Returns a value of a type, and its end."""
  if _BYTE < kind <= _I64:
    return _read_integer(data, position)
  if kind == _BYTE or kind in (_TRUE, _FALSE):  # booleans of a list
    return _read_bytes(data, position, 1)
  if kind == _DOUBLE:
    return _read_bytes(data, position, 8)
  if kind == _BINARY:
    length, position = _read_varint(data, position)
    return _read_bytes(data, position, length)
  if kind in (_LIST, _SET):
    return _read_list(data, position, depth + 1)
  if kind == _STRUCT:
    return _read_struct(data, position, depth + 1)
  raise ValueError('invalid page header')


def _read_list(data: bytes, position: int, depth: int) -> tuple[list, int]:
  """Returns the values of a list, and its end."""
  head, position = _read_bytes(data, position, 1)
  size, kind = head[0] >> 4, head[0] & 15
  if size == 15:
    size, position = _read_varint(data, position)
  # An item has at least one byte.
  if depth > _MAX_DEPTH or size > len(data) - position:
    raise ValueError('list longer than the file, or nested too deeply')
  values = []
  for _ in range(size):
    value, position = _read_value(data, position, kind, depth)
    values.append(value)
  return values, position


def _read_bytes(data: bytes, position: int, length: int) -> tuple[bytes, int]:
  if position + length > len(data):
    raise ValueError('page beyond the end of the file')
  return data[position:position + length], position + length


def _read_integer(data: bytes, position: int) -> tuple[int, int]:
  value, position = _read_varint(data, position)
  return value >> 1 ^ -(value & 1), position


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
  value = 0
  for i, byte in enumerate(data[position:position + 10]):
    value |= (byte & 0x7f) << 7 * i
    if byte < 0x80:
      return value, position + i + 1
  raise ValueError('invalid page header')
