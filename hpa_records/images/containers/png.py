"""The chunks of a PNG: size, colors, orientation and end.

Source: PNG specification (W3C), 5.3 chunk layout, 11.2.1 IHDR, 11.2.5 IEND.
"""

import io
import itertools
import struct
from typing import BinaryIO, Iterable, Iterator, Sequence
import zlib

from hpa_records.images.containers import orientation
from hpa_records.runtime import errors
from hpa_records.runtime import printable

_HEADER_BYTES = 33
_CHUNK = struct.Struct('>I4s')
_STORED_CHUNKS = (b'IHDR', b'IDAT', b'IEND')
END = b'\0\0\0\0IEND\xaeB`\x82'
Chunk = tuple[bytes, int, int]  # name, start of the content, its length
_COLORS = {0: 'gray', 2: 'RGB', 3: 'palette', 4: 'gray+alpha', 6: 'RGBA'}
_XMP = b'XML:com.adobe.xmp'
_PROFILES = (_XMP, b'Raw profile type exif', b'Raw profile type APP1')
_TEXTS = (b'tEXt', b'zTXt', b'iTXt')
# Further text chunks are ignored.
_MAX_TEXTS = 100
# A limit, since each chunk takes a read.
_MAX_CHUNKS = 100_000


def find_stored_issue(data: bytes | memoryview) -> str:
  """Returns why the chunks of a stored PNG are invalid; '' if they are valid.

  Only the chunks that the converter writes are allowed. OpenCV allocates the
  length that a chunk declares, up to 4 GB, before it reads the data, and may
  unpack compressed text for seconds.

  Args:
    data: with the signature of a PNG.
  """
  try:
    chunks = list(walk(io.BytesIO(data), len(data)))
  except errors.DataError as error:  # too many chunks
    return str(error)
  for kind, _, _ in chunks:
    if kind not in _STORED_CHUNKS:
      return f'unexpected chunk {printable.quote(kind.decode("latin-1"))}'
  if find_end(chunks) != len(data):
    return 'truncated, or data after its end'
  return ''


def find_rotation(file: BinaryIO, chunks: Sequence[Chunk]) -> str:
  """Returns the rotation that a PNG's chunks declare; '' if it is upright.

  Args:
    file: the PNG.
    chunks: of the file, some or all.
  """
  seen = set()  # each profile is unpacked once
  texts = [each for each in chunks if each[0] in _TEXTS][:_MAX_TEXTS]
  for kind, start, length in texts:
    file.seek(start)
    name, _, text = file.read(min(length,
                                  orientation.MAX_BYTES)).partition(b'\0')
    if name in _PROFILES and name not in seen:
      seen.add(name)
      found = _find_in_text(kind, name, text)
      if found:
        return found
  for kind, start, length in chunks:
    if kind == b'eXIf':
      file.seek(start)
      found = orientation.describe(
          orientation.find_in_exif(file.read(min(length,
                                                 orientation.MAX_BYTES))),
          'PNG')
      if found:
        return found
  return ''


def _find_in_text(kind: bytes, name: bytes, text: bytes) -> str:
  """Returns the rotation that a profile in a text chunk declares, or ''.

  Older ImageMagick versions write Exif like this, Adobe's programs XMP.

  Source: PNG specification (W3C), 11.3.3; ImageMagick, coders/png.c; XMP
  specification part 3 (Adobe), 1.1.5.
  """
  is_packed = kind == b'zTXt' or (kind == b'iTXt' and text[:1] == b'\1')
  if kind == b'iTXt':  # flag, method, language, translated name
    text = text[2:].split(b'\0', 2)[-1]
  elif is_packed:
    text = text[1:]
  try:
    if is_packed:
      text = zlib.decompressobj().decompress(text, orientation.MAX_BYTES)
    if name == _XMP:
      return orientation.describe(orientation.find_in_xmp(text), 'PNG', 'XMP')
    exif = bytes.fromhex(b''.join(text.split()[2:]).decode('ascii'))
  except (zlib.error, ValueError):
    return ''
  return orientation.describe(
      orientation.find_in_exif(exif.removeprefix(orientation.EXIF)), 'PNG')


def find_end(chunks: Iterable[Chunk]) -> int:
  """Returns the position after the PNG's end; 0 if IEND is missing."""
  for kind, start, length in chunks:
    if kind == b'IEND':
      return start + length + 4
  return 0


def walk(file: BinaryIO, num_bytes: int) -> Iterator[Chunk]:
  """Yields each complete chunk up to IEND.

  Args:
    file: the PNG.
    num_bytes: its size.

  Raises:
    errors.DataError: there are too many chunks.
  """
  position = 8
  for _ in range(_MAX_CHUNKS):
    file.seek(position)
    head = file.read(8)
    if len(head) < 8:
      return
    length, kind = _CHUNK.unpack(head)
    if position + 12 + length > num_bytes:
      return
    yield kind, position + 8, length
    if kind == b'IEND':
      return
    position += 12 + length
  raise errors.DataError(
      f'expected at most {_MAX_CHUNKS:,} chunks, received more')


def read(file: BinaryIO,
         num_bytes: int) -> tuple[tuple[int, int, int, int], str]:
  """Returns (height, width, bits, colors) and the unsupported kind or ''.

  Args:
    file: the PNG.
    num_bytes: its size.

  Raises:
    errors.DataError: it has too many chunks.
    struct.error: its header is truncated.
  """
  file.seek(0)
  head = file.read(_HEADER_BYTES)
  if len(head) < _HEADER_BYTES or head[12:16] != b'IHDR':
    raise struct.error('IHDR is missing')
  width, height, bits, color = struct.unpack('>IIBB', head[16:26])
  shape = height, width, bits, {2: 3, 6: 4}.get(color, 1)
  if color not in (0, 2, 6) or bits not in (8, 16):
    return shape, f'{bits}-bit {_COLORS.get(color, f"color type {color}")}'
  chunks = list(
      itertools.takewhile(lambda each: each[0] != b'IDAT',
                          walk(file, num_bytes)))
  if any(kind == b'acTL' for kind, _, _ in chunks):
    return shape, 'a PNG of several images (animated)'
  return shape, find_rotation(file, chunks)
