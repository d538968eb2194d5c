"""Pixels of image files, which processes decode on demand."""

from concurrent import futures
import dataclasses
import os
from typing import Any

import numpy as np
import pandas as pd

from hpa_records.images import how as how_lib
from hpa_records.images import load
from hpa_records.ingest import issue
from hpa_records.reading.payload import payload
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process_pool
from hpa_records.sampling import epoch_plan
from hpa_records.storage import driver

# A process takes half a second to start, as long as decoding this many images.
_IMAGES_PER_WORKER = 100


class Files(payload.Payload):
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
    count = (0 if driver.is_in_process(images) else min(
        host.num_cores(),
        len(table) // _IMAGES_PER_WORKER))
    self._pool = process_pool.start(
        count) if count else futures.ThreadPoolExecutor(1)

  def read(self, rows: np.ndarray, out: np.ndarray, begun: Any = None) -> None:
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
