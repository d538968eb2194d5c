"""A TIFF's directory: its entries and their values, each checked before memory.

Pillow's own parser copies the content of every tag before anyone can look at
one (300 tags that share one MiB take 300 MiB; 65,535 are allowed), and tells
what it makes up in warnings, which only the whole process can silence.

Source: TIFF 6.0 (Adobe), section 2; "The BigTIFF File Format" (libtiff).
"""

import dataclasses
import struct
from typing import BinaryIO, NamedTuple

from hpa_records.runtime import errors

ASCII, SHORT, LONG = 2, 3, 4
_NUMBERS = {1: 'B', SHORT: 'H', LONG: 'I', 16: 'Q'}  # BYTE, ..., LONG8
_MAX_TAG_BYTES = 2**21  # 8192 x 8192 pixels in tiles of 16 x 16, as LONG8
_MAX_ENTRIES = 2**16  # BigTIFF could declare 2**64


class Entry(NamedTuple):
  """One entry: a tag, type and number of its values, and where they are.

  `content` holds the offset of the values, or the values where they fit.
  """
  tag: int
  kind: int
  count: int
  content: bytes


@dataclasses.dataclass(frozen=True)
class Directory:
  """The first directory of a file.

  Attributes:
    file: that holds it.
    num_bytes: size of the file.
    order: '<' or '>', of bytes.
    offset: format of an offset for struct, with the order.
    entries: as they stand there.
    following: where the next directory is; 0 is none.
  """
  file: BinaryIO
  num_bytes: int
  order: str
  offset: str
  entries: tuple[Entry, ...]
  following: int

  def read_numbers(self, entry: Entry) -> tuple[int, ...]:
    """Returns the values of an entry, at least one.

    Raises:
      errors.DataError: they are no whole numbers, none, or too many.
      struct.error: they are not in the file.
    """
    if entry.kind not in _NUMBERS:
      raise errors.DataError(f'expected whole numbers in tag {entry.tag} of a '
                             f'TIFF, received type {entry.kind}')
    layout = f'{self.order}{entry.count}{_NUMBERS[entry.kind]}'
    length = entry.count * struct.calcsize(_NUMBERS[entry.kind])
    if not 0 < length <= _MAX_TAG_BYTES:
      raise errors.DataError(f'expected another number of values in tag '
                             f'{entry.tag} of a TIFF, received {entry.count:,}')
    return struct.unpack(layout, self._read_content(entry, length))

  def read_text(self, entry: Entry, most_bytes: int) -> str:
    """Returns the first bytes of an entry of text as Latin-1.

    Raises:
      struct.error: they are not in the file.
    """
    return self._read_content(entry, min(entry.count,
                                         most_bytes)).decode('latin-1')

  def _read_content(self, entry: Entry, length: int) -> bytes:
    if length <= len(entry.content):
      return entry.content[:length]
    start, = struct.unpack(self.offset, entry.content)
    return _read_at(self.file, self.num_bytes, start, length)


def read(file: BinaryIO, num_bytes: int) -> Directory:
  """Returns the first directory of a TIFF or BigTIFF.

  Args:
    file: whose first bytes are those of a TIFF.
    num_bytes: its size.

  Raises:
    struct.error: it is not all in the file.
  """
  head = _read_at(file, num_bytes, 0, 8)
  order = '<' if head[:2] == b'II' else '>'
  offset, count, entry = f'{order}I', f'{order}H', f'{order}HHI4s'
  if b'+' in head[2:4]:
    offset, count, entry = f'{order}Q', f'{order}Q', f'{order}HHQ8s'
    head += _read_at(file, num_bytes, 8, 8)
  offset_bytes, count_bytes = struct.calcsize(offset), struct.calcsize(count)
  start, = struct.unpack(offset, head[-offset_bytes:])
  declared, = struct.unpack(count, _read_at(file, num_bytes, start,
                                            count_bytes))
  length = min(declared, _MAX_ENTRIES) * struct.calcsize(entry)
  listed = _read_at(file, num_bytes, start + count_bytes, length + offset_bytes)
  following, = struct.unpack(offset, listed[length:])
  return Directory(
      file, num_bytes, order, offset,
      tuple(
          Entry(*each) for each in struct.iter_unpack(entry, listed[:length])),
      following)


def _read_at(file: BinaryIO, num_bytes: int, start: int, length: int) -> bytes:
  if start + length > num_bytes:
    raise struct.error(f'{length} bytes at {start}')
  file.seek(start)
  return file.read(length)
