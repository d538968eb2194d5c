"""The pixels of several datasets, whose rows follow each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpa_records.reading.payload import payload
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan


class Joined(payload.Payload):
  """Reads each row from the payload of its dataset."""

  def __init__(self, parts: Sequence[payload.Payload], counts: Sequence[int]):
    """Joins payloads.

    Args:
      parts: the payloads.
      counts: rows of each.
    """
    self._parts = parts
    self._ends = np.cumsum(counts)
    self._firsts = self._ends - counts
    self.ahead_bytes = max(each.ahead_bytes for each in parts)

  @property
  def error(self) -> errors.DataError | None:
    """The first error of the first payload that has one."""
    return next((each.error for each in self._parts if each.error), None)

  def read(self, rows: np.ndarray, out: np.ndarray, begun: Any = None) -> None:
    """As Payload.read: reads rows [n] to out [n, H, W, C].

    Raises:
      errors.DataError: a record cannot be read.
    """
    out[rows == epoch_plan.BLANK] = 0
    begun = begun or [None] * len(self._parts)
    for number, (part, ahead) in enumerate(zip(self._parts, begun)):
      slots, own = self._select(number, rows)
      if own.size == len(rows):
        part.read(own, out, ahead)
      elif own.size:
        pixels = np.empty((own.size, *out.shape[1:]), np.uint8)
        part.read(own, pixels, ahead)
        out[slots] = pixels

  def prefetch(self, rows: np.ndarray) -> Any:
    """Begins to read rows [n] int64; returns what each payload has begun.

    Raises:
      errors.DataError: a record cannot be read.
    """
    return [
        part.prefetch(self._select(number, rows)[1])
        for number, part in enumerate(self._parts)
    ]

  def check_unchanged(self) -> None:
    """As Payload.check_unchanged, of all payloads.

    Raises:
      errors.DataError: a file has changed, or was removed.
    """
    for each in self._parts:
      each.check_unchanged()

  def _select(self, number: int,
              rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of a dataset's rows among rows, and its own rows."""
    slots = np.flatnonzero((rows >= self._firsts[number]) &
                           (rows < self._ends[number]))
    return slots, rows[slots] - self._firsts[number]
