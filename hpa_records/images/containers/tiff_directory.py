"""Parser of a TIFF's directory; sizes are checked before memory is allocated.

Pillow's parser copies the content of each tag (300 tags that share one MiB take
300 MiB; 65,535 are allowed), and reports guessed values as warnings, which can
only be silenced for the whole process.

Source: TIFF 6.0 (Adobe), section 2; "The BigTIFF File Format" (libtiff).
"""

import dataclasses
import struct
from typing import BinaryIO, Iterator, NamedTuple

from hpa_records.runtime import errors

ASCII, SHORT, LONG = 2, 3, 4
# Types of integers, BYTE to LONG8: letter of struct, and bytes.
_NUMBERS = {1: ('B', 1), SHORT: ('H', 2), LONG: ('I', 4), 16: ('Q', 8)}
_SINGLE = {SHORT: 'H', LONG: 'I'}  # fit in an entry
_MAX_TAG_BYTES = 2**21  # 8192 x 8192 pixels in tiles of 16 x 16, as LONG8
_MAX_ENTRIES = 2**16  # a BigTIFF may declare 2**64


class Entry(NamedTuple):
  """One entry of a directory.

  Attributes:
    tag: number of the tag.
    kind: type of the values, such as ASCII, SHORT or LONG.
    count: number of values.
    content: the values if they fit, else their offset.
  """
  tag: int
  kind: int
  count: int
  content: bytes


@dataclasses.dataclass(frozen=True)
class Directory:
  """A directory of a file.

  Attributes:
    file: of the directory.
    num_bytes: size of the file.
    order: byte order, '<' or '>'.
    offset: struct format of an offset, with the byte order.
    entries: in file order.
    following: offset of the next directory; 0 if there is none.
  """
  file: BinaryIO
  num_bytes: int
  order: str
  offset: str
  entries: tuple[Entry, ...]
  following: int

  def read_numbers(self, entry: Entry) -> tuple[int, ...]:
    """Returns the integers of an entry, at least one.

    Raises:
      errors.DataError: the values are not integers, none, or too many.
      struct.error: the file is truncated.
    """
    if entry.count == 1 and entry.kind in _SINGLE:  # nearly all
      letter = _SINGLE[entry.kind]
      return struct.unpack_from(self.order + letter, entry.content)
    if entry.kind not in _NUMBERS:
      raise errors.DataError(f'expected integers in tag {entry.tag} of a TIFF, '
                             f'received type {entry.kind}')
    letter, value_bytes = _NUMBERS[entry.kind]
    layout = f'{self.order}{entry.count}{letter}'
    length = entry.count * value_bytes
    if not 0 < length <= _MAX_TAG_BYTES:
      raise errors.DataError(
          f'invalid number of values in tag {entry.tag} of a '
          f'TIFF: {entry.count:,}')
    return struct.unpack(layout, self._read_content(entry, length))

  def read_text(self, entry: Entry, most_bytes: int) -> str:
    """Returns the first most_bytes of an entry's text, as Latin-1.

    Raises:
      struct.error: the file is truncated.
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

  Args and errors: as of walk.
  """
  return next(walk(file, num_bytes))


def walk(file: BinaryIO, num_bytes: int) -> Iterator[Directory]:
  """Yields the directories of a TIFF or BigTIFF, one an image.

  The chain may be circular, so it is up to the caller to end it.

  Args:
    file: with the signature of a TIFF.
    num_bytes: its size.

  Raises:
    struct.error: a directory is truncated.
  """
  head = _read_at(file, num_bytes, 0, 8)
  order = '<' if head[:2] == b'II' else '>'
  offset, count, entry = f'{order}I', f'{order}H', f'{order}HHI4s'
  if b'+' in head[2:4]:
    offset, count, entry = f'{order}Q', f'{order}Q', f'{order}HHQ8s'
    head += _read_at(file, num_bytes, 8, 8)
  offset_bytes, count_bytes = struct.calcsize(offset), struct.calcsize(count)
  start, = struct.unpack(offset, head[-offset_bytes:])
  is_first = True
  while start or is_first:
    declared, = struct.unpack(count,
                              _read_at(file, num_bytes, start, count_bytes))
    length = min(declared, _MAX_ENTRIES) * struct.calcsize(entry)
    listed = _read_at(file, num_bytes, start + count_bytes,
                      length + offset_bytes)
    entries = tuple(map(Entry._make, struct.iter_unpack(entry,
                                                        listed[:length])))
    start, = struct.unpack(offset, listed[length:])
    yield Directory(file, num_bytes, order, offset, entries, start)
    is_first = False


def _read_at(file: BinaryIO, num_bytes: int, start: int, length: int) -> bytes:
  if start + length > num_bytes:
    raise struct.error(f'{length} bytes at {start}')
  file.seek(start)
  return file.read(length)
