"""Pixels of single records: from shards on local disk, from memory, or from
the image files of samples that are no records.

Needed: the payloads of any rows, in any order, straight into a batch, from
many threads at once, as fast as memory goes; and a shard that is cut, changed
or removed meanwhile must stop the run with its name.

preadv reads each payload into its slot of the batch, without the GIL and
without a file position that threads share (BUILD_NOTES.md, "Indexed reader").
"""

from concurrent import futures
import functools
import os
import threading
from typing import Protocol
import weakref

import numpy as np
import pandas as pd

from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import load
from hpa_records.ingest import issue
from hpa_records.reading import dataset
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

  def prefetch(self, rows: np.ndarray) -> None:
    """Begins to read rows that read will soon be called with.

    Arguments and errors are those of read.
    """


class Shards(Payload):
  """Raw records in shards on local disk; what is read is not kept.

  Attributes:
    error: the first that was raised; TensorFlow keeps its text alone.
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
    self.error: errors.DataError | None = None
    self._checks_crc = check == 'crc'
    self._lock = threading.Lock()
    self._open: dict[int, tuple[int, tuple]] = {}  # descriptor, state
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
    files = self._files(rows)
    # This loop holds the GIL except while it reads, so it does little else.
    for j, row, number, at in zip(real.tolist(), rows.tolist(), shards.tolist(),
                                  self._image[rows].tolist()):
      self._fill(files[number], row, at, flat[j])
    for number in files:
      self._check_unchanged(number, rows[shards == number])
    if self._checks_crc:
      for j, row, number in zip(real.tolist(), rows.tolist(), shards.tolist()):
        self._check_crc(files[number], row, flat[j])

  def prefetch(self, rows: np.ndarray) -> None:
    """As Payload.prefetch: the kernel reads them from the disk meanwhile."""
    rows = rows[rows != epoch_plan.BLANK]
    rows = rows[~self._kept[rows]]
    files = self._files(rows)
    if hasattr(os, 'posix_fadvise'):  # macOS has none
      for number, at, num_bytes in zip(self._shard[rows].tolist(),
                                       self._frame[rows].tolist(),
                                       self._frame_bytes[rows].tolist()):
        os.posix_fadvise(files[number], at, num_bytes, os.POSIX_FADV_WILLNEED)
    self._kept[rows] = self._keeps

  def _fill(self, file: int, row: int, at: int, out: np.ndarray) -> None:
    """Fills out, [n] uint8, from byte `at` of the file that holds a row."""
    done = 0
    try:
      while done < len(out):  # one call may read less: at most 2 GiB
        count = os.preadv(file, [out[done:]], at + done)
        if not count:
          self._check_unchanged(int(self._shard[row]), np.array([row]))
          raise self._keep_error(
              row, f'the file ended at byte {at + done} while it was read')
        done += count
    except OSError as error:
      raise self._system_error(row, error) from error

  def _check_crc(self, file: int, row: int, pixels: np.ndarray) -> None:
    """Raises DataError if a record with these pixels has another length or
    checksum."""
    frame, image = int(self._frame[row]), int(self._image[row])
    num_bytes = int(self._frame_bytes[row])
    before = np.empty(image - frame, np.uint8)
    after = np.empty(num_bytes - len(before) - len(pixels), np.uint8)
    self._fill(file, row, frame, before)
    self._fill(file, row, image + len(pixels), after)
    wrong = tfrecord.find_issue([before, pixels, after])
    if wrong:
      raise self._keep_error(row, wrong)

  def _files(self, rows: np.ndarray) -> dict[int, int]:
    """Returns the descriptors of the shards of some rows, by shard number."""
    shards, found = self._shard[rows], {}
    for number in np.unique(shards).tolist():
      with self._lock:
        if number not in self._open:
          self._open_file(number, rows[shards == number])
      found[number] = self._open[number][0]
    return found

  def _open_file(self, number: int, rows: np.ndarray) -> None:
    """Opens a shard; what is wrong with it names one of the rows."""
    state = self._state(number, rows)
    try:
      file = os.open(self._paths[number], os.O_RDONLY)
    except OSError as error:
      raise self._system_error(rows[0], error) from error
    # Not at the end of the process: other threads may be reading then.
    weakref.finalize(self, os.close, file).atexit = False
    self._open[number] = file, state
    self._check_unchanged(number, rows)

  def _check_unchanged(self, number: int, rows: np.ndarray) -> None:
    """Raises DataError if the shard is not the file that was opened."""
    if self._state(number, rows) != self._open[number][1]:
      raise self._keep_error(rows[0], 'the file was changed meanwhile')

  def _state(self, number: int, rows: np.ndarray) -> tuple:
    """What stays the same as long as a shard is not touched."""
    try:
      found = os.stat(self._paths[number])
    except OSError as error:
      raise self._system_error(rows[0], error) from error
    if found.st_size != self._bytes[number]:
      ends = self._frame[rows] + self._frame_bytes[rows]
      raise self._keep_error(
          rows[np.argmax(ends > found.st_size)],
          f'the file has {found.st_size} bytes where the manifest says '
          f'{self._bytes[number]}')
    return found.st_dev, found.st_ino, found.st_mtime_ns

  def _system_error(self, row: int, error: OSError) -> errors.DataError:
    return self._keep_error(row, errors.explain(error, _GO_ON), '')

  def _keep_error(self,
                  row: int,
                  reason: str,
                  remedy: str = f'; {_GO_ON}') -> errors.DataError:
    found = errors.DataError(
        f'Cannot read the record of {self._ids[row]} at byte '
        f'{self._frame[row]} of {self._paths[self._shard[row]]}: {reason}'
        f'{remedy}.')
    self.error = self.error or found
    return found


class Memory(Payload):
  """Pixels that are held in memory."""

  def __init__(self, pixels: np.ndarray):
    """Args: [N, H, W, C] uint8, one row for each of the index."""
    self._pixels = pixels

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read; raises nothing."""
    for row, pixels in zip(rows.tolist(), out):
      pixels[...] = 0 if row == epoch_plan.BLANK else self._pixels[row]


class Files(Payload):
  """Image files of samples, which processes decode as they are asked for.

  Processes, because the decoder for PNG and the filter hold the GIL.

  Attributes:
    issues: of samples whose files hold something else than they should, in no
      order; they are black.
    unread: of samples whose files could not be read just now; the same.
    error: the one that ended the reading; None if none did.
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
    self.issues: list[issue.Issue] = []
    self.unread: list[issue.Issue] = []
    self.error: errors.DataError | None = None
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
    """As Payload.read; what is invalid or unread is noted and black.

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
      self.error = errors.DataError(
          'A process that decodes images was killed, often for lack of '
          'memory; convert the images with '
          'tools/make_records.py --unlabelled --workers=1, and pass --records.')
      raise self.error from error

  def close(self) -> None:
    """Ends the processes; call it in the main thread."""
    process_pool.stop(self._pool)

  def _result(self, row: int, task: futures.Future) -> np.ndarray | None:
    try:
      return task.result()
    except errors.DataError as error:
      told = (self.unread
              if isinstance(error, errors.UnreadError) else self.issues)
      told.append(
          issue.of_image(self._lines[row], self._ids[row], self._images, error))
      return None
