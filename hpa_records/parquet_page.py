"""How much is in the pages of a parquet file, by what stands before each.

The footer of a file says how many values a column has, but its reader unpacks
as many as the pages say, and a page of some bytes may say two billion. So the
headers of the pages are read, which is Thrift's compact protocol.

Source: parquet-format 2.12, parquet.thrift (PageHeader = 2 and 3 sizes, 5, 7
and 8 headers of kinds of pages, each with 1 num_values); Thrift's compact
protocol.
"""

from typing import Any

from pyarrow import parquet

_STOP, _TRUE, _FALSE, _BYTE, _I64, _BINARY, _STRUCT = 0, 1, 2, 3, 6, 8, 12
_MAX_DEPTH = 4
_SIZES = (2, 3)  # uncompressed, compressed
_DATA_PAGES = (5, 8)


def count(data: bytes, part: parquet.ColumnChunkMetaData) -> tuple[int, int]:
  """Returns the values and the unpacked bytes of one column of a row group.

  Args:
    data: the file.
    part: what its footer says of the column there.

  Raises:
    ValueError: there are no pages where it says.
  """
  position = part.data_page_offset
  if part.has_dictionary_page:
    position = min(position, part.dictionary_page_offset or position)
  end = position + part.total_compressed_size
  if not 0 <= position <= end <= len(data):
    raise ValueError('a column outside of the file')
  values = num_bytes = 0
  while position < end:
    header, position = _read_struct(data, position)
    sizes = [header.get(field) for field in _SIZES]
    numbers = [
        header[each].get(1) if isinstance(header[each], dict) else None
        for each in _DATA_PAGES
        if each in header
    ]
    if not all(isinstance(each, int) and each >= 0 for each in sizes + numbers):
      raise ValueError('a page with sizes that are none')
    values += sum(numbers)
    num_bytes += sizes[0]
    position += sizes[1]
  return values, num_bytes


def _read_struct(data: bytes,
                 position: int,
                 depth: int = 0) -> tuple[dict[int, Any], int]:
  """Returns a struct's fields by number, binary ones as None, and its end."""
  fields, number = {}, 0
  while True:
    head, position = _read_bytes(data, position, 1)
    delta, kind = head[0] >> 4, head[0] & 15
    if kind == _STOP:
      return fields, position
    if not delta:
      number, position = _read_integer(data, position)
    number += delta
    value = None
    if _BYTE < kind <= _I64:
      value, position = _read_integer(data, position)
    elif kind == _BINARY:
      length, position = _read_varint(data, position)
      _, position = _read_bytes(data, position, length)
    elif kind == _STRUCT and depth < _MAX_DEPTH:
      value, position = _read_struct(data, position, depth + 1)
    elif kind not in (_TRUE, _FALSE):
      raise ValueError('a page whose header is none')
    fields[number] = value


def _read_bytes(data: bytes, position: int, length: int) -> tuple[bytes, int]:
  if position + length > len(data):
    raise ValueError('a page beyond the end of the file')
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
  raise ValueError('a page whose header is none')
