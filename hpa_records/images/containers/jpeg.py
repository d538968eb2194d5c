"""The markers of a JPEG: size, colors, orientation and end.

Source: ITU-T T.81, B.1 and B.2; Exif 2.32 (CIPA), 4.5.4.
"""

import struct
from typing import BinaryIO, Iterator

from hpa_records.images.containers import orientation
from hpa_records.runtime import errors

END = b'\xff\xd9'
_XMP = b'http://ns.adobe.com/xap/1.0/\0'
_TAIL_BYTES = 2**22
# A limit, since each marker takes a read.
_MAX_MARKERS = 100_000


def find_end(file: BinaryIO, num_bytes: int) -> int:
  """Returns the position after the JPEG's end; 0 if not in the last 4 MiB."""
  start = max(0, num_bytes - _TAIL_BYTES)
  for marker, position, _ in walk(file, num_bytes):
    if marker == 0xda:  # a preview before it has an end of its own
      start = max(start, position)
  file.seek(start)
  found = file.read(_TAIL_BYTES).rfind(END)
  return 0 if found < 0 else start + found + len(END)


def walk(file: BinaryIO, num_bytes: int) -> Iterator[tuple[int, int, int]]:
  """Yields (marker, start and length of its content) up to the pixels.

  Raises:
    errors.DataError: there are too many markers.
  """
  position = 2
  for _ in range(_MAX_MARKERS):
    if position >= num_bytes:
      return
    file.seek(position)
    head = file.read(4)
    if head[:1] != b'\xff' or head[:2] == END:
      return
    marker, length = struct.unpack('>xBH', head)
    if marker == 0xff:  # fill bytes before a marker
      position += 1
    elif marker == 0x01 or 0xd0 <= marker <= 0xd8:
      position += 2
    else:
      yield marker, position + 4, length - 2
      if marker == 0xda:
        return
      position += 2 + length
  raise errors.DataError(
      f'expected at most {_MAX_MARKERS:,} markers, received more')


def read(file: BinaryIO,
         num_bytes: int) -> tuple[tuple[int, int, int, int], str]:
  """Returns (height, width, bits, colors) and the unsupported kind or ''.

  Args:
    file: the JPEG.
    num_bytes: its size.

  Raises:
    errors.DataError: it has no frame header, or too many markers.
    struct.error: its header is truncated.
  """
  shape, received = None, ''
  for marker, start, length in walk(file, num_bytes):
    if marker == 0xe1:
      received = received or _find_rotation(file, start, length)
    elif 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):
      file.seek(start)
      bits, height, width, colors = struct.unpack('>BHHB', file.read(6))
      shape = shape or (height, width, bits, colors)
      if marker > 0xc2:
        received = f'a JPEG of the unsupported kind SOF{marker - 0xc0}'
      elif bits != 8 or colors not in (1, 3):
        received = 'a CMYK JPEG' if colors == 4 else (
            f'a JPEG of {colors} colors of {bits} bits')
  if shape:
    return shape, received
  raise errors.DataError('expected a JPEG, received one without a frame header')


def _find_rotation(file: BinaryIO, start: int, length: int) -> str:
  """Returns the rotation that an APP1 segment (Exif or XMP) declares, or ''."""
  file.seek(start)
  content = file.read(min(max(0, length), orientation.MAX_BYTES))
  if content.startswith(orientation.EXIF):
    return orientation.describe(
        orientation.find_in_exif(content[len(orientation.EXIF):]), 'JPEG')
  if content.startswith(_XMP):
    return orientation.describe(orientation.find_in_xmp(content), 'JPEG', 'XMP')
  return ''
