"""Records in shards on local disk.

A shard that is truncated, changed or removed during the run is an error with
its name. preadv reads the pixels of each raw record into their slot of the
batch, without the GIL and without a shared file position (BUILD_NOTES.md,
"Indexed reader").
"""

import os
import threading
from typing import Any
import weakref

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading.payload import payload
from hpa_records.reading.payload import record_places
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.sampling import epoch_plan


class Shards(payload.Payload):
  """Records in shards on local disk."""

  def __init__(self, records: dataset.Records, check: str = 'none'):
    """Prepares to read; files are opened when a record of them is read.

    Args:
      records: a dataset in a local folder.
      check: 'crc' verifies both checksums of each record that is read; 'none'
        does not.
    """
    self._places = record_places.RecordPlaces(records)
    self._shard, self._frame = self._places.shard, self._places.frame
    self._frame_bytes, self._image = (self._places.frame_bytes,
                                      self._places.image)
    self._paths, self._bytes = self._places.paths, self._places.shard_bytes
    self._checks_crc = check == 'crc'
    self._lock = threading.Lock()
    self._open: dict[int, tuple[int, tuple]] = {}  # descriptor, state
    # The kernel keeps what was read, if it fits into memory.
    self._keeps = sum(self._bytes) < host.memory_bytes() / 2
    self._kept = np.zeros(len(records.index), bool)

  def read(self, rows: np.ndarray, out: np.ndarray, begun: Any = None) -> None:
    """As Payload.read: reads rows [n] to out [n, H, W, C].

    Raises:
      errors.DataError: a shard was truncated, changed or removed since it was
        first opened; a checksum is wrong; or a PNG is not as it was stored.
        Names file and record.
    """
    # The interpreter's time counts here: a batch is some dozens of small reads.
    slots = list(out.reshape(len(out), -1) if self._places.is_raw else out)
    is_blank = rows == epoch_plan.BLANK
    if is_blank.any():
      out[is_blank] = 0
      slots = [slots[j] for j in np.flatnonzero(~is_blank).tolist()]
      rows = rows[~is_blank]
    numbers = self._shard[rows].tolist()
    files = self._files(rows, numbers)
    stored = slots if self._places.is_raw else [
        np.empty(size, np.uint8)
        for size in self._places.image_bytes[rows].tolist()
    ]
    for image, row, number, at in zip(stored, rows.tolist(), numbers,
                                      self._image[rows].tolist()):
      self._fill(files[number], row, at, image)
    for number in files:
      self._check_unchanged(number, rows)
    if self._checks_crc:
      for image, row, number in zip(stored, rows.tolist(), numbers):
        self._check_crc(files[number], row, image)
    if not self._places.is_raw:
      self._places.decode(zip(rows.tolist(), stored, slots))

  def prefetch(self, rows: np.ndarray) -> None:
    """As Payload.prefetch: the kernel reads rows [n] from disk meanwhile."""
    rows = rows[rows != epoch_plan.BLANK]
    rows = rows[~self._kept[rows]]
    numbers = self._shard[rows].tolist()
    files = self._files(rows, numbers)
    if hasattr(os, 'posix_fadvise'):  # macOS has none
      for number, at, num_bytes in zip(numbers, self._frame[rows].tolist(),
                                       self._frame_bytes[rows].tolist()):
        os.posix_fadvise(files[number], at, num_bytes, os.POSIX_FADV_WILLNEED)
    self._kept[rows] = self._keeps

  @property
  def error(self) -> errors.DataError | None:
    """As of Payload."""
    return self._places.error

  def check_unchanged(self) -> None:
    """As Payload.check_unchanged; read checks each file itself."""

  def _fill(self, file: int, row: int, at: int, out: np.ndarray) -> None:
    """Fills out, [n] uint8, from byte `at` of a row's file."""
    try:
      # A call reads at most 2 GiB.
      while (count := os.preadv(file, [out], at)) < len(out):
        at += count
        out = out[count:]
        if not count:
          self._check_unchanged(int(self._shard[row]), np.array([row]))
          raise self._places.describe(
              row, f'the file ended at byte {at} while it was read')
    except OSError as error:
      raise self._system_error(row, error) from error

  def _check_crc(self, file: int, row: int, stored: np.ndarray) -> None:
    """Raises DataError if the record with this stored image has a wrong length
    or checksum, or another id."""
    frame, image = int(self._frame[row]), int(self._image[row])
    num_bytes = int(self._frame_bytes[row])
    before = np.empty(image - frame, np.uint8)
    after = np.empty(num_bytes - len(before) - len(stored), np.uint8)
    self._fill(file, row, frame, before)
    self._fill(file, row, image + len(stored), after)
    wrong = self._places.find_issue(row, before, stored, after)
    if wrong:
      raise self._places.describe(row, wrong)

  def _files(self, rows: np.ndarray, numbers: list[int]) -> dict[int, int]:
    """Returns the file descriptors of the rows' shards, by shard number."""
    found = {}
    for number in sorted(set(numbers)):
      if number not in self._open:
        with self._lock:
          if number not in self._open:
            self._open_file(number, rows)
      found[number] = self._open[number][0]
    return found

  def _open_file(self, number: int, rows: np.ndarray) -> None:
    """Opens a shard; errors name one of its rows."""
    state = self._state(number, rows)
    try:
      file = os.open(self._paths[number], os.O_RDONLY)
    except OSError as error:
      raise self._system_error(self._first(number, rows), error) from error
    # Not at the exit of the process: other threads may be reading then.
    weakref.finalize(self, os.close, file).atexit = False
    self._open[number] = file, state
    self._check_unchanged(number, rows)

  def _check_unchanged(self, number: int, rows: np.ndarray) -> None:
    """Raises DataError if the shard is not the file that was opened."""
    if self._state(number, rows) != self._open[number][1]:
      raise self._places.describe(self._first(number, rows),
                                  'the file was changed during the run')

  def _state(self, number: int, rows: np.ndarray) -> tuple:
    """Returns the state of a shard's file, which changes with its content."""
    try:
      found = os.stat(self._paths[number])
    except OSError as error:
      raise self._system_error(self._first(number, rows), error) from error
    if found.st_size != self._bytes[number]:
      rows = rows[self._shard[rows] == number]
      ends = self._frame[rows] + self._frame_bytes[rows]
      raise self._places.describe(
          rows[np.argmax(ends > found.st_size)],
          f'expected {self._bytes[number]} bytes in the file, received '
          f'{found.st_size}')
    return found.st_dev, found.st_ino, found.st_mtime_ns

  def _first(self, number: int, rows: np.ndarray) -> int:
    """Returns the first of the rows that is in a shard."""
    return int(rows[self._shard[rows] == number][0])

  def _system_error(self, row: int, error: OSError) -> errors.DataError:
    return self._places.describe(row, errors.explain(error,
                                                     record_places.REMEDY), '')
