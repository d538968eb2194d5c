"""Finds the file and the record of a shard that TensorFlow failed to read.

TensorFlow's errors name neither. So after an error the shards are checked in
order: sizes, then each frame with checksums, id and image, until an issue is
found.
"""

import os
from typing import Sequence

from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from hpa_records.storage import filesystem

_REMEDY = 'copy or convert the data again, then run the same command to resume.'


def check_frames(records: dataset.Records, names: Sequence[str]) -> None:
  """Checks the record lengths of local shards; later, that they are unchanged.

  TensorFlow allocates memory for the length in a frame and aborts the process
  if there is not enough, and it would not notice a replaced shard. Shards at an
  address are not checked: it would take a request for each record.

  Args:
    records: the dataset.
    names: names of the shards.

  Raises:
    errors.DataError: a shard cannot be read, does not match the index, or has
      changed since it was first checked.
  """
  rows_of = records.index.groupby('shard', sort=False).indices
  entries = {each.name: each for each in records.manifest.shards}
  for name in names:
    if filesystem.is_remote(records.directory):
      continue
    rows = records.index.iloc[rows_of[name]]
    path = os.path.join(records.directory, name)
    before = records.checked_shards.get(name)
    try:
      found = os.stat(path)
      state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
      is_right = state == before if before else tfrecord.has_frames(
          path, rows['record_offset'].tolist(), rows['record_bytes'].tolist())
    except OSError as error:
      raise _describe(path, error) from error
    if not is_right:
      raise _find_in(records, entries[name]) or errors.DataError(
          f'{path} changed while it was read; {_REMEDY}')
    records.checked_shards[name] = state


def check_unchanged(records: dataset.Records) -> None:
  """Checks that the shards of earlier check_frames calls are unchanged.

  Args:
    records: the dataset.

  Raises:
    errors.DataError: one has changed, or cannot be read.
  """
  check_frames(records, list(records.checked_shards))


def _describe(path: str, error: OSError) -> errors.DataError:
  if isinstance(error, FileNotFoundError):
    return errors.DataError(f'{path} does not exist; {_REMEDY}')
  return errors.describe_read(path, error)


def find(records: dataset.Records) -> errors.DataError | None:
  """Returns an error for the first invalid shard; None if all are valid.

  Args:
    records: the dataset.
  """
  issues = (_find_in(records, each) for each in records.manifest.shards)
  return next(filter(None, issues), None)


def _find_in(records: dataset.Records,
             entry: manifest.Shard) -> errors.DataError | None:
  path = os.path.join(records.directory, entry.name)
  try:
    size = filesystem.size(path)
    if size is None:
      raise FileNotFoundError(path)
    issue = _find_damage(records, entry.name, path)
  except OSError as error:
    return _describe(path, error)
  if not issue and size != entry.bytes:
    issue = f'expected {entry.bytes} bytes, received {size}'
  return errors.DataError(f'{path} is damaged: {issue}; '
                          f'{_REMEDY}') if issue else None


def _find_damage(records: dataset.Records, name: str, path: str) -> str:
  """Returns a description of the first invalid record; '' if all are valid."""
  index = records.index[records.index['shard'] == name]
  spec = records.spec
  read, found = 0, 'invalid record'
  try:
    read_frames = tfrecord.read(path, int(index['record_bytes'].max()))
    for wanted, (_, data) in zip(index['id'], read_frames):
      sample = example.decode(data, spec.num_classes)
      if sample.id != wanted:
        found = f'record of {sample.id} instead'
        break
      pixel_codec.decode(sample.image, spec.encoding, spec.image_size,
                         spec.num_channels)
      read += 1
  except errors.DataError:
    pass
  if read == len(index):
    return ''
  row = index.iloc[read]
  return f'{found} of {row["id"]} at byte {row["record_offset"]}'
