"""TFRecord shards: cut points, names, writing, reading and checksums.

Cut points depend only on counts, so all shards are planned before an image is
read. A frame is the length, its masked CRC-32C, the data and their masked
CRC-32C; google-crc32c computes them without TensorFlow.

Source: tensorflow/core/lib/io/record_writer.h for the frame and the mask.
"""

import dataclasses
import functools
import hashlib
import os
import struct
from typing import Iterable, Iterator, Mapping, Sequence

import google_crc32c
import numpy as np

from hpa_records.runtime import errors
from hpa_records.storage import filesystem

FRAME_HEAD_BYTES = 12  # length and its checksum; 4 more follow the data
FRAME_BYTES = 16
_MASK_DELTA = 0xa282ead8


@dataclasses.dataclass(frozen=True)
class Written:
  """A written shard.

  Attributes:
    num_bytes: size of the file.
    sha256: hex digest of the file.
    offsets: [N] int64, start of each record's frame.
    sizes: [N] int64, bytes of each frame.
  """
  num_bytes: int
  sha256: str
  offsets: np.ndarray
  sizes: np.ndarray


def cut(num_records: int, records_per_shard: int) -> list[tuple[int, int]]:
  """Returns (start, stop) of each shard: the fewest shards, of even sizes.

  Args:
    num_records: N, to be cut.
    records_per_shard: most records of a shard.
  """
  count = -(-num_records // records_per_shard)
  return [(num_records * i // count, num_records * (i + 1) // count)
          for i in range(count)]


def file_name(group: str, index: int, count: int) -> str:
  """Returns a shard's file name, such as fold2-00003-of-00012.tfrecord."""
  return f'{group}-{index:05d}-of-{count:05d}.tfrecord'


def group_of(name: str) -> str:
  """Returns the group in a shard's file name, such as fold2."""
  return name.partition('-')[0]


def write(path: str,
          records: Iterable[Sequence[bytes | np.ndarray]],
          temporary_folder: str = '') -> Written:
  """Writes one shard, all or nothing.

  Args:
    path: of the shard.
    records: each record as consecutive pieces, bytes or [n] uint8.
    temporary_folder: as in filesystem.atomic_writer.

  Returns:
    Sizes, offsets and hash of the shard.
  """
  digest, offsets, sizes, position = hashlib.sha256(), [], [], 0
  with filesystem.atomic_writer(path, temporary_folder) as file:
    for pieces in records:
      frame = _frame(pieces)
      for piece in frame:
        file.write(piece)
        digest.update(piece)
      offsets.append(position)
      sizes.append(sum(map(len, frame)))
      position += sizes[-1]
  return Written(position, digest.hexdigest(), np.array(offsets, np.int64),
                 np.array(sizes, np.int64))


def read(path: str,
         most_bytes: int | None = None) -> Iterator[tuple[int, bytes]]:
  """Yields (frame offset, data) of each record; verifies both checksums.

  Args:
    path: of the shard.
    most_bytes: largest allowed frame; None is the size of the file.

  Raises:
    errors.DataError: a frame is damaged, truncated, or too large.
  """
  size, position = filesystem.size(path) or 0, 0
  with filesystem.open_read(path) as file:
    while position < size:
      head = file.read(FRAME_HEAD_BYTES)
      length = struct.unpack('<Q', head[:8])[0] if len(head) >= 8 else 0
      fits = position + FRAME_BYTES + length <= size and (
          most_bytes is None or FRAME_BYTES + length <= most_bytes)
      data = file.read(length) if fits else b''
      if not fits or head[8:] != checksum([head[:8]]) or (file.read(4)
                                                          != checksum([data])):
        raise errors.DataError(f'damaged record at byte {position} of {path}')
      yield position, data
      position += FRAME_BYTES + length


def has_frames(path: str, offsets: Sequence[int], sizes: Sequence[int]) -> bool:
  """Returns whether each frame of a shard declares its expected length.

  Readers allocate memory for the declared length.

  Args:
    path: of the shard.
    offsets: [N] start of each frame.
    sizes: [N] expected bytes of each frame.

  Raises:
    OSError: the shard cannot be read.
  """
  with filesystem.open_read(path, buffered=False) as file:
    for offset, size in zip(offsets, sizes):
      file.seek(offset)
      if file.read(8) != struct.pack('<Q', size - FRAME_BYTES):
        return False
  return True


@functools.lru_cache(256)  # few distinct lengths
def frame_head(num_bytes: int) -> bytes:
  """Returns the first FRAME_HEAD_BYTES of a record's frame."""
  length = struct.pack('<Q', num_bytes)
  return length + checksum([length])


def checksum(pieces: Iterable[bytes | np.ndarray]) -> bytes:
  """Returns the masked CRC-32C, 4 bytes, of data in pieces.

  Args:
    pieces: consecutive, bytes or [n] uint8.
  """
  crc = 0
  for piece in pieces:
    crc = google_crc32c.extend(crc, piece)
  masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xffffffff
  return struct.pack('<I', masked)


def find_issue(pieces: Sequence[np.ndarray]) -> str:
  """Returns why a frame's length or checksums are wrong; '' if they are right.

  Args:
    pieces: consecutive pieces of the frame, each [n] uint8. The first has at
      least FRAME_HEAD_BYTES, the last at least the 4 bytes of the checksum.
  """
  first, *middle, last = pieces
  length = sum(map(len, pieces)) - FRAME_BYTES
  if first[:FRAME_HEAD_BYTES].tobytes() != frame_head(length):
    return f'its frame does not start with the length {length} and its CRC-32C'
  written = last[-4:].tobytes()
  found = checksum([first[FRAME_HEAD_BYTES:], *middle, last[:-4]])
  if found != written:
    return f'its CRC-32C is {_hex(found)}, expected {_hex(written)}'
  return ''


def _hex(crc: bytes) -> str:
  return f'{struct.unpack("<I", crc)[0]:08x}'


def _frame(pieces: Sequence[bytes | np.ndarray]) -> list[bytes | np.ndarray]:
  return [frame_head(sum(map(len, pieces))), *pieces, checksum(pieces)]


def check_sizes(directory: str, sizes: Mapping[str, int]) -> None:
  """Checks that each shard exists and has its size; reads no content.

  Args:
    directory: of the dataset.
    sizes: bytes by name.

  Raises:
    errors.DataError: a shard is missing or of another size.
  """
  for name, expected in sizes.items():
    path = os.path.join(directory, name)
    size = filesystem.size(path)
    if size != expected:
      received = 'no file' if size is None else f'{size} bytes'
      remove = ''
      if size is None and os.path.lexists(path):
        received, remove = 'no regular file', 'remove it and '
      raise errors.DataError(
          f'Expected {expected} bytes, received {received} at {path}; '
          f'{remove}copy that file again, or convert the data again with '
          '--overwrite.')
