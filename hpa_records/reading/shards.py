"""Payloads: the pixels of any rows, read directly into a batch by any thread.

They come from shards on local disk, from memory, or from image files. A shard
that is truncated, changed or removed during the run is an error with its name.

preadv reads each payload into its slot of the batch, without the GIL and
without a shared file position (BUILD_NOTES.md, "Indexed reader").
"""

from concurrent import futures
import dataclasses
import os
from typing import Any, Protocol
import weakref

import numpy as np
import pandas as pd

from hpa_records.format import tfrecord
from hpa_records.images import how as how_lib
from hpa_records.images import load
from hpa_records.ingest import issue
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process_pool
from hpa_records.sampling import epoch_plan

# A process takes half a second to start, as long as decoding this many images.
_IMAGES_PER_WORKER = 100
_REMEDY = 'copy or convert the data again, then run the same command to resume'


class Payload(Protocol):
  """A source of the pixels of records."""

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """Fills out with pixels.

    Args:
      rows: [n] int64, rows of the index; epoch_plan.BLANK gives black.
      out: [n, H, W, C] uint8, contiguous.

    Raises:
      errors.DataError: a record cannot be read.
    """

  def prefetch(self, rows: np.ndarray) -> None:
    """Starts to read rows [n] int64 that read will be called with soon.

    Args and errors: as of read.
    """


class Shards(Payload):
  """Raw records in shards on local disk.

  Attributes:
    error: the first error that read raised; TensorFlow keeps only its text.
  """

  def __init__(self, records: dataset.Records, check: str = 'none'):
    """Prepares to read; files are opened when a record of them is read.

    Args:
      records: a dataset of raw records in a local folder.
      check: 'crc' verifies both checksums of each record that is read; 'none'
        does not.
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
    self._open: dict[int, tuple[int, tuple]] = {}  # descriptor, state
    # The kernel keeps what was read, if it fits into memory.
    self._keeps = sum(self._bytes) < host.memory_bytes() / 2
    self._kept = np.zeros(len(index), bool)

  def __getstate__(self) -> dict[str, Any]:
    """Returns the attributes to pickle: a copy opens files of its own."""
    return {**self.__dict__, '_open': {}}

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read: reads rows [n] to out [n, H, W, C].

    Raises:
      errors.DataError: a shard was truncated, changed or removed since it was
        first opened; or a checksum is wrong. Names file and record.
    """
    flat = out.reshape(len(rows), -1)
    flat[rows == epoch_plan.BLANK] = 0
    real = np.flatnonzero(rows != epoch_plan.BLANK)
    rows = rows[real]
    shards = self._shard[rows]
    files = self._files(rows)
    # This loop holds the GIL except in preadv, so it does little else.
    for j, row, number, at in zip(real.tolist(), rows.tolist(), shards.tolist(),
                                  self._image[rows].tolist()):
      self._fill(files[number], row, at, flat[j])
    for number in files:
      self._check_unchanged(number, rows[shards == number])
    if self._checks_crc:
      for j, row, number in zip(real.tolist(), rows.tolist(), shards.tolist()):
        self._check_crc(files[number], row, flat[j])

  def prefetch(self, rows: np.ndarray) -> None:
    """As Payload.prefetch: the kernel reads rows [n] from disk meanwhile."""
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
    """Fills out, [n] uint8, from byte `at` of a row's file."""
    done = 0
    try:
      while done < len(out):  # a call reads at most 2 GiB
        count = os.preadv(file, [out[done:]], at + done)
        if not count:
          self._check_unchanged(int(self._shard[row]), np.array([row]))
          raise self._keep_error(
              row, f'the file ended at byte {at + done} while it was read')
        done += count
    except OSError as error:
      raise self._system_error(row, error) from error

  def _check_crc(self, file: int, row: int, pixels: np.ndarray) -> None:
    """Raises DataError if the record with these pixels has a wrong length or
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
    """Returns the file descriptors of the rows' shards, by shard number."""
    shards, found = self._shard[rows], {}
    for number in np.unique(shards).tolist():
      if number not in self._open:
        self._open_file(number, rows[shards == number])
      found[number] = self._open[number][0]
    return found

  def _open_file(self, number: int, rows: np.ndarray) -> None:
    """Opens a shard; errors name one of the rows."""
    state = self._state(number, rows)
    try:
      file = os.open(self._paths[number], os.O_RDONLY)
    except OSError as error:
      raise self._system_error(rows[0], error) from error
    # No lock: after a fork, the child would have it locked for ever.
    if self._open.setdefault(number, (file, state))[0] != file:
      os.close(file)  # another thread opened it meanwhile
    else:
      # Not at the exit of the process: other threads may be reading then.
      weakref.finalize(self, os.close, file).atexit = False
    self._check_unchanged(number, rows)

  def _check_unchanged(self, number: int, rows: np.ndarray) -> None:
    """Raises DataError if the shard is not the file that was opened."""
    if self._state(number, rows) != self._open[number][1]:
      raise self._keep_error(rows[0], 'the file was changed during the run')

  def _state(self, number: int, rows: np.ndarray) -> tuple:
    """Returns the state of a shard's file, which changes with its content."""
    try:
      found = os.stat(self._paths[number])
    except OSError as error:
      raise self._system_error(rows[0], error) from error
    if found.st_size != self._bytes[number]:
      ends = self._frame[rows] + self._frame_bytes[rows]
      raise self._keep_error(
          rows[np.argmax(ends > found.st_size)],
          f'expected {self._bytes[number]} bytes in the file, received '
          f'{found.st_size}')
    return found.st_dev, found.st_ino, found.st_mtime_ns

  def _system_error(self, row: int, error: OSError) -> errors.DataError:
    return self._keep_error(row, errors.explain(error, _REMEDY), '')

  def _keep_error(self,
                  row: int,
                  reason: str,
                  remedy: str = f'; {_REMEDY}') -> errors.DataError:
    found = errors.DataError(
        f'Cannot read the record of {self._ids[row]} at byte '
        f'{self._frame[row]} of {self._paths[self._shard[row]]}: {reason}'
        f'{remedy}.')
    self.error = self.error or found
    return found


class Memory(Payload):
  """Pixels in memory."""

  def __init__(self, pixels: np.ndarray):
    """Takes the pixels.

    Args:
      pixels: [N, H, W, C] uint8, one row for each of the index.
    """
    self._pixels = pixels

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read: copies rows [n] to out [n, H, W, C]; raises nothing."""
    for row, pixels in zip(rows.tolist(), out):
      pixels[...] = 0 if row == epoch_plan.BLANK else self._pixels[row]


class Files(Payload):
  """Image files of samples, which processes decode on demand.

  Processes, because the PNG decoder and the resize filter hold the GIL. Samples
  with issues are black.

  Attributes:
    issues: of samples with invalid files, in no order.
    unread: issues of samples whose files could not be read, in no order.
    error: the error that stopped reading; None if none did.
  """

  def __init__(self, images: str, table: pd.DataFrame, how: how_lib.How):
    """Starts the processes; call it in the main thread.

    Args:
      images: folder of the files.
      table: as sample_table.load returns it; a row is a sample.
      how: how the files of a sample become one image; the pixel size of its
        files is that of the table.
    """
    self.issues: list[issue.Issue] = []
    self.unread: list[issue.Issue] = []
    self.error: errors.DataError | None = None
    self._images = images
    self._lines, self._ids = table['row'].tolist(), table['id'].tolist()
    self._paths = [
        tuple(os.path.join(images, name)
              for name in files)
        for files in table['files']
    ]
    self._how, self._pixel_um = how, table['pixel_um'].tolist()
    count = min(host.num_cores(), len(table) // _IMAGES_PER_WORKER)
    self._pool = process_pool.start(
        count) if count else futures.ThreadPoolExecutor(1)

  def read(self, rows: np.ndarray, out: np.ndarray) -> None:
    """As Payload.read: decodes rows [n] to out [n, H, W, C].

    Samples with issues are added to the lists and are black.

    Raises:
      errors.DataError: a process was killed.
    """
    try:
      tasks = {
          row: self._pool.submit(load.load, self._paths[row], self._how_of(row))
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
          'hpa-make-records --unlabelled --workers=1, and pass --records.')
      raise self.error from error

  def _how_of(self, row: int) -> how_lib.How:
    if not self._how.stored_um:
      return self._how
    return dataclasses.replace(self._how, image_um=self._pixel_um[row])

  def close(self) -> None:
    """Stops the processes; call it in the main thread."""
    process_pool.stop(self._pool)

  def _result(self, row: int, task: futures.Future) -> np.ndarray | None:
    try:
      return task.result()
    except errors.DataError as error:
      found = (self.unread
               if isinstance(error, errors.UnreadError) else self.issues)
      found.append(
          issue.of_image(self._lines[row], self._ids[row], self._images, error))
      return None
