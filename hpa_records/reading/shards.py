"""Pixels of single records: from shards on local disk, from memory, or from
the image files of samples that are no records.

Needed: the payloads of any rows, in any order, straight into a batch, from
many threads at once, as fast as memory goes; and a shard that is cut, changed
or removed meanwhile must stop the run with its name.

Shards are mapped into memory and copied from without the GIL: as fast as from
memory, where reads take longer (BUILD_NOTES.md, "Indexed reader").
"""

from concurrent import futures
import functools
import os
import struct
import threading
from typing import Protocol

import numpy as np
import pandas as pd

from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import load
from hpa_records.ingest import issue
from hpa_records.reading import dataset
from hpa_records.reading import mapped_file
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process_pool
from hpa_records.sampling import epoch_plan

# A process takes half a second to start, as long as so many images take.
_IMAGES_PER_WORKER = 100
_GO_ON = 'copy or convert the data again, then run the same command to go on'


class Payload(Protocol):
  """Where the pixels of records come from."""

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """Fills out with pixels.

    Args:
      rows: [n] int64, rows of the index; epoch_plan.BLANK stands for black.
      out: [n, H, W, C] uint8, contiguous.

    Raises:
      errors.DataError: a record cannot be read.
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
      check: 'crc' recomputes both checksums of each record that is read.
    """
    index = records.index
    self._ids = index['id'].to_numpy()
    names, self._shard = np.unique(index['shard'].to_numpy(str),
                                   return_inverse=True)
    self._paths = [os.path.join(records.directory, name) for name in names]
    bytes_of = {each.name: each.bytes for each in records.manifest.shards}
    self._bytes = [bytes_of[name] for name in names]
    self._frame, self._frame_bytes, self._image = (index[name].to_numpy(
        np.int64) for name in ('record_offset', 'record_bytes', 'image_offset'))
    self.fault: errors.DataError | None = None
    self._checks_crc = check == 'crc'
    self._lock = threading.Lock()
    self._open: dict[int, tuple[mapped_file.MappedFile, tuple]] = {}
    # What was read once the kernel keeps, if there is room for it.
    self._keeps = sum(self._bytes) < host.memory_bytes() / 2
    self._kept = np.zeros(len(index), bool)

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read.

    Raises:
      errors.DataError: a shard was cut, changed or removed since it was first
        read from; or a checksum is wrong. Names file and record.
    """
    flat = out.reshape(len(rows), -1)
    flat[rows == epoch_plan.BLANK] = 0
    real = np.flatnonzero(rows != epoch_plan.BLANK)
    rows = rows[real]
    shards = self._shard[rows]
    files = {
        number: self._file(number, rows[shards == number])
        for number in np.unique(shards).tolist()
    }
    self._prefetch(files, rows)
    # What stands in this loop holds the GIL, but for the copy: as little as can
    # be.
    num_bytes = flat.shape[1]
    for j, number, at in zip(real.tolist(), shards.tolist(),
                             self._image[rows].tolist()):
      flat[j] = files[number].content[at:at + num_bytes]
    for number in files:
      self._check_unchanged(number, rows[shards == number])
    if self._checks_crc:
      for j, row in zip(real.tolist(), rows.tolist()):
        self._check_crc(files[int(self._shard[row])].content, row, flat[j])

  def _prefetch(self, files: dict[int, mapped_file.MappedFile],
                rows: np.ndarray) -> None:
    """Asks for a whole batch at once, so that the disk has enough to do."""
    rows = rows[~self._kept[rows]]
    for number, at, num_bytes in zip(self._shard[rows].tolist(),
                                     self._frame[rows].tolist(),
                                     self._frame_bytes[rows].tolist()):
      files[number].prefetch(at, num_bytes)
    self._kept[rows] = self._keeps

  def _check_crc(self, content: np.ndarray, row: int,
                 pixels: np.ndarray) -> None:
    """Raises DataError if a record with these pixels has another length or
    checksum."""
    frame, num_bytes = int(self._frame[row]), int(self._frame_bytes[row])
    start = frame + tfrecord.FRAME_HEAD_BYTES
    stop = frame + num_bytes - (tfrecord.FRAME_BYTES -
                                tfrecord.FRAME_HEAD_BYTES)
    if content[frame:start].tobytes() != tfrecord.frame_head(
        num_bytes - tfrecord.FRAME_BYTES):
      raise self._fault(
          row, f'its frame does not begin with the length '
          f'{num_bytes - tfrecord.FRAME_BYTES} and its CRC-32C')
    image = int(self._image[row])
    found = tfrecord.checksum(
        [content[start:image], pixels, content[image + len(pixels):stop]])
    written = content[stop:stop + len(found)].tobytes()
    if found != written:
      raise self._fault(
          row, f'its bytes have the CRC-32C {_hex(found)}, '
          f'not {_hex(written)}')

  def _file(self, number: int, rows: np.ndarray) -> mapped_file.MappedFile:
    """The open file of a shard; what is wrong with it names one of the rows."""
    found = self._open.get(number)
    if found is None:
      with self._lock:
        found = self._open.get(number)
        if found is None:
          # First its size: what is empty cannot be mapped.
          state = self._state(number, rows)
          try:
            file = mapped_file.MappedFile(self._paths[number])
          except OSError as error:
            raise self._system_fault(rows[0], error) from error
          found = self._open[number] = file, state
          self._check_unchanged(number, rows)
    return found[0]

  def _check_unchanged(self, number: int, rows: np.ndarray) -> None:
    """Raises DataError if the shard is not the file that was opened."""
    file, before = self._open[number]
    if self._state(number, rows) != before:
      raise self._fault(rows[0], 'the file was changed meanwhile')
    if file.is_torn:
      raise self._fault(rows[0], 'the disk failed, or the file was cut')

  def _state(self, number: int, rows: np.ndarray) -> tuple:
    """What stays the same as long as a shard is not touched."""
    try:
      found = os.stat(self._paths[number])
    except OSError as error:
      raise self._system_fault(rows[0], error) from error
    if found.st_size != self._bytes[number]:
      ends = self._frame[rows] + self._frame_bytes[rows]
      raise self._fault(
          rows[np.argmax(ends > found.st_size)],
          f'the file has {found.st_size} bytes where the manifest says '
          f'{self._bytes[number]}')
    return found.st_dev, found.st_ino, found.st_mtime_ns

  def _system_fault(self, row: int, error: OSError) -> errors.DataError:
    return self._fault(row, errors.explain(error, _GO_ON), '')

  def _fault(self,
             row: int,
             reason: str,
             remedy: str = f'; {_GO_ON}') -> errors.DataError:
    found = errors.DataError(
        f'Cannot read the record of {self._ids[row]} at byte '
        f'{self._frame[row]} of {self._paths[self._shard[row]]}: {reason}'
        f'{remedy}.')
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
      pixels[...] = 0 if row == epoch_plan.BLANK else self._pixels[row]


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
      size_px: as of load.load, and so are the next two.
      resize: name of the filter.
      white_level: as there.
    """
    self.faults: list[issue.Fault] = []
    self.unread: list[issue.Fault] = []
    self.fault: errors.DataError | None = None
    self._images = images
    self._lines, self._ids = table['row'].tolist(), table['id'].tolist()
    self._paths = list(zip(*(table[channel] for channel in spec.CHANNELS)))
    self._load = functools.partial(load.load,
                                   size_px=size_px,
                                   name=resize,
                                   white_level=white_level)
    count = min(host.num_cores(), len(table) // _IMAGES_PER_WORKER)
    self._pool = process_pool.start(
        count) if count else futures.ThreadPoolExecutor(1)

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read; what is faulty or unread is noted and black.

    Raises:
      errors.DataError: a process was killed.
    """
    try:
      tasks = {
          row: self._pool.submit(self._load, self._paths[row])
          for row in rows.tolist()
          if row != epoch_plan.BLANK
      }
      for row, pixels in zip(rows.tolist(), out):
        found = self._result(row, tasks[row]) if row in tasks else None
        pixels[...] = 0 if found is None else found
    except futures.BrokenExecutor as error:
      self.fault = errors.DataError(
          'A process that decodes images was killed, often for lack of '
          'memory; convert the images with '
          'tools/make_records.py --unlabelled --workers=1, and pass --records.')
      raise self.fault from error

  def close(self) -> None:
    """Ends the processes; call it in the main thread."""
    process_pool.stop(self._pool)

  def _result(self, row: int, task: futures.Future) -> np.ndarray | None:
    try:
      return task.result()
    except errors.DataError as error:
      told = (self.unread
              if isinstance(error, errors.UnreadError) else self.faults)
      told.append(
          issue.of_image(self._lines[row], self._ids[row], self._images, error))
      return None


def _state(stat: os.stat_result) -> tuple:
  """What stays the same as long as a file is not touched."""
  return stat.st_size, stat.st_mtime_ns, stat.st_nlink


def _hex(crc: bytes) -> str:
  return f'{struct.unpack("<I", crc)[0]:08x}'
