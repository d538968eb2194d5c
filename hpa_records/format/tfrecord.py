"""Order, cut points, names and bytes of shards; sees keys and bytes only.

Records are ordered by a salted hash of their key (the way of TensorFlow
Datasets), so the bytes on disk depend on the data and the settings alone. Cut
points depend on counts alone, so the plan of shards is known before a pixel is
read. Frames are TFRecord's: length, its masked CRC-32C, data, its masked
CRC-32C; google-crc32c does that without TensorFlow.

Source: tensorflow/core/lib/io/record_writer.h for the frame and the mask.
"""

import dataclasses
import functools
import hashlib
import struct
from typing import Iterable, Iterator, Sequence

import google_crc32c
import numpy as np

from hpa_records.runtime import errors
from hpa_records.storage import filesystem

FRAME_HEAD_BYTES = 12  # length and its checksum; a frame ends with 4 more
FRAME_BYTES = 16
_MASK_DELTA = 0xa282ead8


@dataclasses.dataclass(frozen=True)
class Written:
  """What a shard is made of.

  Attributes:
    num_bytes: size of the file.
    sha256: hex digest of the file.
    offsets: [N] int64, where each record's frame begins.
    sizes: [N] int64, bytes of each frame.
  """
  num_bytes: int
  sha256: str
  offsets: np.ndarray
  sizes: np.ndarray


def cut(num_records: int, records_per_shard: int) -> list[tuple[int, int]]:
  """Returns (start, stop) of each shard: as few as fit, as even as can be."""
  count = -(-num_records // records_per_shard)
  return [(num_records * i // count, num_records * (i + 1) // count)
          for i in range(count)]


def file_name(group: str, index: int, count: int) -> str:
  """Returns for example fold2-00003-of-00012.tfrecord."""
  return f'{group}-{index:05d}-of-{count:05d}.tfrecord'


def group_of(name: str) -> str:
  """Returns the group in a name that file_name gave."""
  return name.partition('-')[0]


def write(path: str,
          records: Iterable[Sequence[bytes | np.ndarray]],
          temporary_folder: str = '') -> Written:
  """Writes one shard, whole or not at all.

  Args:
    path: of the shard.
    records: each record as its pieces, in order: bytes or [n] uint8.
    temporary_folder: as filesystem.atomic_writer takes it.

  Returns:
    The sizes and hash of what was written.
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
  """Yields (frame offset, data) of every record; checks both checksums.

  Args:
    path: of the shard.
    most_bytes: of a frame; a larger one is not read. None: of the file.

  Raises:
    errors.DataError: a frame is damaged, cut short, or larger.
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
  """Returns whether the frames of a shard say that they are that long.

  Where they are, and the first begins the file and each of the others where
  the one before it ends, no reader of the file takes memory for another length.

  Args:
    path: of the shard.
    offsets: [N] where each frame begins.
    sizes: [N] bytes of each frame.

  Raises:
    OSError: it cannot be read.
  """
  with filesystem.open_read(path, buffered=False) as file:
    for offset, size in zip(offsets, sizes):
      file.seek(offset)
      if file.read(8) != struct.pack('<Q', size - FRAME_BYTES):
        return False
  return True


@functools.lru_cache(256)  # lengths hardly differ from record to record
def frame_head(num_bytes: int) -> bytes:
  """Returns the first FRAME_HEAD_BYTES of a record's frame."""
  length = struct.pack('<Q', num_bytes)
  return length + checksum([length])


def checksum(pieces: Iterable[bytes | np.ndarray]) -> bytes:
  """Returns the masked CRC-32C, 4 bytes, of pieces of one whole."""
  crc = 0
  for piece in pieces:
    crc = google_crc32c.extend(crc, piece)
  masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xffffffff
  return struct.pack('<I', masked)


def find_issue(pieces: Sequence[np.ndarray]) -> str:
  """Returns what is wrong with a frame's length or checksums; '' if nothing.

  Args:
    pieces: of the frame, each [n] uint8; the first has at least
      FRAME_HEAD_BYTES, the last at least the 4 bytes of the checksum.
  """
  first, *middle, last = pieces
  length = sum(map(len, pieces)) - FRAME_BYTES
  if first[:FRAME_HEAD_BYTES].tobytes() != frame_head(length):
    return (f'its frame does not begin with the length {length} and its '
            'CRC-32C')
  written = last[-4:].tobytes()
  found = checksum([first[FRAME_HEAD_BYTES:], *middle, last[:-4]])
  if found != written:
    return f'its bytes have the CRC-32C {_hex(found)}, not {_hex(written)}'
  return ''


def _hex(crc: bytes) -> str:
  return f'{struct.unpack("<I", crc)[0]:08x}'


def _frame(pieces: Sequence[bytes | np.ndarray]) -> list[bytes | np.ndarray]:
  return [frame_head(sum(map(len, pieces))), *pieces, checksum(pieces)]
