"""Payloads: the pixels of any rows, read into a batch by any thread."""

from typing import Any, Protocol

import numpy as np

from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan


class Payload(Protocol):
  """A source of the pixels of records.

  Attributes:
    ahead_bytes: pixels to begin before they are read; 0 for as many batches as
      are filled at once.
    error: the first error that was raised; TensorFlow keeps only its text.
  """
  ahead_bytes: int = 0
  error: errors.DataError | None = None

  def read(self, rows: np.ndarray, out: np.ndarray, begun: Any = None) -> None:
    """Fills out with pixels.

    Args:
      rows: [n] int64, rows of the index; epoch_plan.BLANK gives black.
      out: [n, H, W, C] uint8, contiguous.
      begun: what prefetch returned for these rows; None if it was not called.

    Raises:
      errors.DataError: a record cannot be read.
    """

  def prefetch(self, rows: np.ndarray) -> Any:
    """Begins to read rows [n] int64 and returns what read needs to go on.

    What was begun stops when the returned object is dropped.

    Raises:
      errors.DataError: a record cannot be read.
    """

  def check_unchanged(self) -> None:
    """Checks that the files that were read have not changed since.

    Raises:
      errors.DataError: one has changed, or was removed.
    """


class Memory(Payload):
  """Pixels in memory."""

  def __init__(self, pixels: np.ndarray):
    """Takes the pixels.

    Args:
      pixels: [N, H, W, C] uint8, one row for each of the index.
    """
    self._pixels = pixels

  def read(self, rows: np.ndarray, out: np.ndarray, begun: Any = None) -> None:
    """As Payload.read: copies rows [n] to out [n, H, W, C]; raises nothing."""
    for row, pixels in zip(rows.tolist(), out):
      pixels[...] = 0 if row == epoch_plan.BLANK else self._pixels[row]
