"""Where each record is: shard, offsets, sizes; and what an error says of it."""

from concurrent import futures
import os
from typing import Iterable

import numpy as np

from hpa_records.format import example
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import host

REMEDY = 'copy or convert the data again, then run the same command to resume'


class RecordPlaces:
  """The index as arrays, one value for each row.

  Attributes:
    ids: [N] str.
    shard: [N] int64, numbers of shards.
    names: of the shards, by number.
    paths: of the shards, by number.
    shard_bytes: sizes of the shards, by number.
    frame, frame_bytes: [N] int64, the record's frame in its shard.
    image, image_bytes: [N] int64, the stored image in its shard.
    error: the first error that describe returned.
  """

  def __init__(self, records: dataset.Records):
    index = records.index
    self.ids = index['id'].to_numpy()
    names, self.shard = np.unique(index['shard'].to_numpy(str),
                                  return_inverse=True)
    self.names = names.tolist()
    self.paths = [os.path.join(records.directory, name) for name in self.names]
    self.shard_bytes = [
        records.manifest.shard_bytes[name] for name in self.names
    ]
    self.frame, self.frame_bytes, self.image, self.image_bytes = (
        index[name].to_numpy(np.int64)
        for name in ('record_offset', 'record_bytes', 'image_offset',
                     'image_bytes'))
    self.error: errors.DataError | None = None
    self._spec = records.spec
    # There OpenCV decodes, without the GIL.
    self._in_threads = host.num_cores() > pixel_codec.GIL_CORES
    self._pool = futures.ThreadPoolExecutor(host.num_cores())

  @property
  def is_raw(self) -> bool:
    """Whether the stored images are pixels."""
    return self._spec.encoding == 'raw'

  def decode(self, images: Iterable[tuple[int, np.ndarray,
                                          np.ndarray]]) -> None:
    """Fills arrays with the pixels of stored images; on many cores, PNGs on all
    of them.

    Args:
      images: row, stored bytes [n] uint8, and the array to fill, [H, W, C]
        uint8.

    Raises:
      errors.DataError: one is not an image of the dataset's encoding and size.
    """
    if self.is_raw or not self._in_threads:
      for each in images:
        self._decode(*each)
      return
    for done in [self._pool.submit(self._decode, *each) for each in images]:
      done.result()

  def _decode(self, row: int, stored: np.ndarray, out: np.ndarray) -> None:
    try:
      out[...] = pixel_codec.decode(stored, self._spec.encoding,
                                    self._spec.image_size,
                                    self._spec.num_channels, self._in_threads)
    except errors.DataError as error:
      raise self.describe(row, str(error)) from error

  def find_issue(self, row: int, head: np.ndarray, *rest: np.ndarray) -> str:
    """Returns why a frame is not that of the row; '' if it is.

    Its length, both checksums and its id are compared.

    Args:
      row: of the record.
      head: its frame up to the image, [n] uint8.
      *rest: the rest of the frame, in parts.
    """
    wrong = tfrecord.find_issue([head, *rest])
    entry = example.encode_id(self.ids[row])
    if not wrong and entry not in head.tobytes():
      return 'another record is in its place'
    return wrong

  def describe(self,
               row: int,
               reason: str,
               remedy: str = f'; {REMEDY}') -> errors.DataError:
    """Returns the error of a record that cannot be read.

    Args:
      row: of the record.
      reason: why.
      remedy: what to do; '' if the reason says it.
    """
    found = errors.DataError(
        f'Cannot read the record of {self.ids[row]} at byte '
        f'{self.frame[row]} of {self.paths[self.shard[row]]}: {reason}'
        f'{remedy}.')
    self.error = self.error or found
    return found
