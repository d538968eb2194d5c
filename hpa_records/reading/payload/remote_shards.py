"""Records in shards at an address, read by byte ranges.

The records of a batch are requested together, some batches ahead. Each is
checked as it comes: length and checksums of its frame, and its id. A shard that
is replaced by another with the same records, but other pixels, is noticed by
check_unchanged, if the server tells an ETag or a time of change; with a cache
also by its sha256.
"""

from concurrent import futures
import dataclasses
from typing import Iterator

import numpy as np

from hpa_records.reading.payload import payload
from hpa_records.reading.payload import record_places
from hpa_records.reading.payload import shard_cache
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from hpa_records.storage import byte_ranges
from hpa_records.storage import remote_file

_AHEAD_BYTES = 256 * 2**20  # of pixels, requested before they are read
_THREADS = 16  # that ask for the state of shards


@dataclasses.dataclass(frozen=True)
class Begun:
  """A batch whose records are on their way.

  Attributes:
    kept: rows to read from the cache.
    rows: rows that were requested, each once.
    fetch: their frames.
  """
  kept: np.ndarray
  rows: np.ndarray
  fetch: byte_ranges.Fetch


class RemoteShards(payload.Payload):
  """Records in shards at an address."""
  ahead_bytes = _AHEAD_BYTES

  def __init__(self,
               places: record_places.RecordPlaces,
               cache: shard_cache.ShardCache | None = None):
    """Prepares to read; nothing is requested yet.

    Args:
      places: of the records of a dataset at an address.
      cache: keeps the records that came; None keeps none.
    """
    self._places = places
    self._cache = cache
    self._pool = futures.ThreadPoolExecutor(_THREADS)
    self._states: dict[int, futures.Future] = {}  # by shard number

  @property
  def error(self) -> errors.DataError | None:
    """As of Payload."""
    return self._places.error

  def prefetch(self, rows: np.ndarray) -> Begun:
    """As Payload.prefetch: requests rows [n], blanks and copies left out."""
    rows, first = np.unique(rows, return_index=True)
    rows = rows[np.argsort(first)]
    rows = rows[rows != epoch_plan.BLANK]
    is_kept = self._find_kept(rows)
    kept, rows = rows[is_kept], rows[~is_kept]
    for number in np.unique(self._places.shard[rows]).tolist():
      if number not in self._states:
        self._states[number] = self._pool.submit(remote_file.stamp,
                                                 self._places.paths[number])
    return Begun(kept, rows, self._request(rows))

  def _find_kept(self, rows: np.ndarray) -> np.ndarray:
    """Returns which of the rows [n] the cache holds, [n] bool."""
    if not self._cache:
      return np.zeros(len(rows), bool)
    try:
      return self._cache.holds(rows)
    except errors.DataError as error:
      self._places.error = self._places.error or error
      raise

  def read(self,
           rows: np.ndarray,
           out: np.ndarray,
           begun: Begun | None = None) -> None:
    """As Payload.read: waits for rows [n] and fills out [n, H, W, C].

    Raises:
      errors.DataError: a record cannot be read, is damaged, or is another one.
        Names file and record.
    """
    begun = begun or self.prefetch(rows)
    slots: dict[int, list[int]] = {}
    for j, row in enumerate(rows.tolist()):
      slots.setdefault(row, []).append(j)
    out[slots.pop(epoch_plan.BLANK, [])] = 0
    self._places.decode((row, stored, out[slots[row][0]])
                        for row, stored in self._stored(begun))
    for first, *others in slots.values():
      for j in others:
        out[j] = out[first]

  def _stored(self, begun: Begun) -> Iterator[tuple[int, np.ndarray]]:
    """Yields row and stored image, [n] uint8, of each record, in any order."""
    damaged = []
    for row in begun.kept.tolist():
      frame = self._cache.read(row)
      if frame is None or self._find_issue(row, frame):
        damaged.append(row)
      else:
        yield row, self._image(row, frame)
    yield from self._fetched(begun.rows, begun.fetch)
    if damaged:
      yield from self._fetched(np.array(damaged),
                               self._request(np.array(damaged)))

  def _fetched(self, rows: np.ndarray,
               fetch: byte_ranges.Fetch) -> Iterator[tuple[int, np.ndarray]]:
    for place, frame, error in fetch.results():
      row = int(rows[place])
      if error:
        raise self._places.describe(row, str(error).rstrip('.'), '') from error
      wrong = self._find_issue(row, frame)
      if wrong:
        raise self._places.describe(row, wrong)
      if self._cache:
        self._cache.keep(row, frame)
      yield row, self._image(row, frame)

  def _request(self, rows: np.ndarray) -> byte_ranges.Fetch:
    places = self._places
    starts = places.frame[rows]
    return byte_ranges.Fetch(
        [places.paths[number] for number in places.shard[rows].tolist()],
        starts.tolist(), (starts + places.frame_bytes[rows]).tolist())

  def _find_issue(self, row: int, frame: np.ndarray) -> str:
    """Returns why a frame, [n] uint8, is not the row's; '' if it is."""
    head = int(self._places.image[row] - self._places.frame[row])
    return self._places.find_issue(row, frame[:head], frame[head:])

  def _image(self, row: int, frame: np.ndarray) -> np.ndarray:
    head = int(self._places.image[row] - self._places.frame[row])
    return frame[head:head + int(self._places.image_bytes[row])]

  def check_unchanged(self) -> None:
    """As Payload.check_unchanged, by size, ETag and time of change.

    Raises:
      errors.DataError: a shard was changed since its first record was
        requested, or was removed.
    """
    numbers = list(self._states)
    paths = [self._places.paths[number] for number in numbers]
    for number, path, now in zip(numbers, paths,
                                 self._pool.map(remote_file.stamp, paths)):
      if now != self._states[number].result():
        raise errors.DataError(f'{path} was changed during the run; '
                               f'{record_places.REMEDY}.')
