"""Pixels of single records: from shards on local disk, from memory, or from
the image files of samples that are no records.

Needed: the payloads of any rows, in any order, straight into a batch, from
many threads at once, as fast as memory goes; and a shard that is cut, changed
or removed meanwhile must stop the run with its name.

preadv copies from the page cache into the batch without the GIL. On two cores
it does as many images a second as slices of a memory-mapped shard, and both as
many as copies from memory (BUILD_NOTES.md, "Indexed reader"). But a mapped file
that is cut kills the process with SIGBUS, where a read comes back short and can
be told; so files are read.
"""

from concurrent import futures
import functools
import os
import struct
import threading
import weakref
from typing import Protocol, Sequence

import numpy as np
import pandas as pd

from hpa_records import dataset
from hpa_records import fault as fault_lib
from hpa_records import image as image_lib
from hpa_records import plan
from hpa_records import processor
from hpa_records import schema
from hpa_records import shard
from hpa_records import worker

# A process takes half a second to start, as long as so many images take.
_IMAGES_PER_WORKER = 100


class Payload(Protocol):
  """Where the pixels of records come from."""

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """Fills out with pixels.

    Args:
      rows: [n] int64, rows of the index; plan.BLANK stands for black.
      out: [n, H, W, C] uint8, contiguous.

    Raises:
      schema.DataError: a record cannot be read.
    """


class Shards:
  """Raw records in shards on local disk; what is read is not kept.

  Attributes:
    fault: the first that was raised; TensorFlow keeps its text alone.
  """

  def __init__(self, records: dataset.Records, check: str = 'none'):
    """Takes a dataset; opens no file before a record of it is read.

    Args:
      records: raw, in a local folder.
      check: 'crc' recomputes the checksum of each record that is read.
    """
    index = records.index
    self._ids = index['id'].to_numpy()
    names, self._shard = np.unique(index['shard'].to_numpy(str),
                                   return_inverse=True)
    self._paths = [os.path.join(records.directory, name) for name in names]
    bytes_of = {each.name: each.bytes for each in records.manifest.shards}
    self._bytes = [bytes_of[name] for name in names]
    self._frame, self._frame_bytes, self._image, self._image_bytes = (
        index[name].to_numpy(np.int64)
        for name in ('record_offset', 'record_bytes', 'image_offset',
                     'image_bytes'))
    self.fault: schema.DataError | None = None
    self._checks_crc = check == 'crc'
    self._lock = threading.Lock()
    self._open: dict[int, tuple[int, tuple]] = {}
    weakref.finalize(self, _close, self._open)

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read.

    Raises:
      schema.DataError: a shard was cut, changed or removed since it was first
        read from; or a checksum is wrong. Names file and record.
    """
    flat = out.reshape(len(rows), -1)
    flat[rows == plan.BLANK] = 0
    real = np.flatnonzero(rows != plan.BLANK)
    rows = rows[real]
    numbers, firsts = np.unique(self._shard[rows], return_index=True)
    files = {
        number: self._descriptor(number, int(rows[first]))
        for number, first in zip(numbers.tolist(), firsts)
    }
    # What stands in these loops holds the GIL: as little as can be.
    places = zip(real.tolist(), rows.tolist(), self._shard[rows].tolist())
    if self._checks_crc:
      for j, row, number in places:
        self._read_checked(files[number], row, flat[j])
    else:
      for (j, row, number), at in zip(places, self._image[rows].tolist()):
        self._read_whole(files[number], row, (flat[j],), at, flat.shape[1])
    for number, first in zip(numbers.tolist(), firsts):
      self._check_unchanged(number, int(rows[first]))

  def _read_checked(self, file: int, row: int, pixels: np.ndarray) -> None:
    """Reads the whole frame: what is before the pixels and behind, too."""
    frame, image = int(self._frame[row]), int(self._image[row])
    before = np.empty(image - frame, np.uint8)
    after = np.empty(
        frame + self._frame_bytes[row] - image - self._image_bytes[row],
        np.uint8)
    self._read_whole(file, row, (before, pixels, after), frame,
                     int(self._frame_bytes[row]))
    head = shard.FRAME_HEAD_BYTES
    crc_bytes = shard.FRAME_BYTES - head
    found = shard.checksum([before[head:], pixels, after[:-crc_bytes]])
    if found != after[-crc_bytes:].tobytes():
      raise self._fault(
          row, f'received bytes whose CRC-32C is {_hex(found)}, '
          f'not {_hex(after[-crc_bytes:].tobytes())}')

  def _read_whole(self, file: int, row: int, pieces: Sequence[np.ndarray],
                  offset: int, num_bytes: int) -> None:
    """Fills the pieces; one call does unless the file is cut."""
    try:
      received = os.preadv(file, pieces, offset)
    except OSError as error:
      raise self._fault(row, f'received {error.strerror}') from error
    if received != num_bytes:
      raise self._fault(row, f'received {received} of its {num_bytes} bytes')

  def _descriptor(self, number: int, row: int) -> int:
    """The open file of a shard; row is one of its records."""
    found = self._open.get(number)
    if found is None:
      with self._lock:
        found = self._open.get(number)
        if found is None:
          try:
            file = os.open(self._paths[number], os.O_RDONLY)
          except OSError as error:
            raise self._fault(row, f'received {error.strerror}') from error
          # Records are drawn at random: do not read ahead.
          if hasattr(os, 'posix_fadvise'):
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
          found = self._open[number] = file, _state(os.fstat(file))
    return found[0]

  def _check_unchanged(self, number: int, row: int) -> None:
    """Raises DataError if the shard is not the file that was opened."""
    file, before = self._open[number]
    now = os.fstat(file)
    if now.st_size != self._bytes[number]:
      raise self._fault(
          row, f'received {now.st_size} bytes where the manifest says '
          f'{self._bytes[number]}')
    if _state(now) != before:
      raise self._fault(
          row, 'received a file that was '
          f'{"changed" if now.st_nlink else "removed"} while it was read')

  def _fault(self, row: int, received: str) -> schema.DataError:
    found = schema.DataError(
        f'Expected the whole record of {self._ids[row]} at byte '
        f'{self._frame[row]} of {self._paths[self._shard[row]]}, {received}; '
        'copy or convert the data again, then run the same command to go on.')
    self.fault = self.fault or found
    return found


class Memory:
  """Pixels that are held in memory."""

  def __init__(self, pixels: np.ndarray):
    """Args: [N, H, W, C] uint8, one row for each of the index."""
    self._pixels = pixels

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read; raises nothing."""
    for row, pixels in zip(rows.tolist(), out):
      pixels[...] = 0 if row == plan.BLANK else self._pixels[row]


class Files:
  """Image files of samples, which processes decode as they are asked for.

  Processes, because the decoder for PNG and the filter hold the GIL.

  Attributes:
    faults: of samples whose files hold something else than they should, in no
      order; they are black.
    unread: of samples whose files could not be read just now; the same.
    fault: that ends the reading: the first that was raised.
  """

  def __init__(self, images: str, table: pd.DataFrame, size_px: int,
               resize: str, white_level: int):
    """Starts the processes; call it in the main thread.

    Args:
      images: folder of the files.
      table: as sample_table.load gives it; a row of it is a sample.
      size_px: as of image.load, and so are the next two.
      resize: name of the filter.
      white_level: as there.
    """
    self.faults: list[fault_lib.Fault] = []
    self.unread: list[fault_lib.Fault] = []
    self.fault: schema.DataError | None = None
    self._images = images
    self._lines, self._ids = table['row'].tolist(), table['id'].tolist()
    self._paths = list(zip(*(table[channel] for channel in schema.CHANNELS)))
    self._load = functools.partial(image_lib.load,
                                   size_px=size_px,
                                   name=resize,
                                   white_level=white_level)
    count = min(processor.num_cores(), len(table) // _IMAGES_PER_WORKER)
    self._pool = worker.start(count) if count else futures.ThreadPoolExecutor(1)

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read; what is faulty or unread is noted and black.

    Raises:
      schema.DataError: a process was killed.
    """
    try:
      tasks = {
          row: self._pool.submit(self._load, self._paths[row])
          for row in rows.tolist()
          if row != plan.BLANK
      }
      for row, pixels in zip(rows.tolist(), out):
        found = self._result(row, tasks[row]) if row in tasks else None
        pixels[...] = 0 if found is None else found
    except futures.BrokenExecutor as error:
      self.fault = schema.DataError(
          'Expected the processes that decode images to live, found one '
          'killed, often for lack of memory; convert the images with '
          'tools/make_records.py --unlabelled --workers=1, and pass --records.')
      raise self.fault from error

  def close(self) -> None:
    """Ends the processes; call it in the main thread."""
    worker.stop(self._pool)

  def _result(self, row: int, task: futures.Future) -> np.ndarray | None:
    try:
      return task.result()
    except schema.DataError as error:
      told = (self.unread
              if isinstance(error, image_lib.UnreadError) else self.faults)
      told.append(
          fault_lib.of_image(self._lines[row], self._ids[row], self._images,
                             error))
      return None


def _state(stat: os.stat_result) -> tuple:
  """What stays the same as long as a file is not touched."""
  return stat.st_size, stat.st_mtime_ns, stat.st_nlink


def _hex(crc: bytes) -> str:
  return f'{struct.unpack("<I", crc)[0]:08x}'


def _close(files: dict[int, tuple[int, tuple]]) -> None:
  for file, _ in files.values():
    os.close(file)
