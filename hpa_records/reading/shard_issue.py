"""What is wrong with shards that TensorFlow failed to read: file and record.

TensorFlow's errors name neither. So after one, the shards are looked at: their
sizes, then frame by frame with checksums, ids and images, until an issue is
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
from hpa_records.storage import address
from hpa_records.storage import filesystem

_GO_ON = 'copy or convert the data again, then run the same command to go on.'


def check_frames(records: dataset.Records, names: Sequence[str]) -> None:
  """Checks local shards: the length of each record, and later for changes.

  TensorFlow takes memory for the length that a frame says, and ends the process
  if there is none; and it reads on where another dataset takes the place of
  this one. At an address it would be a request for each record.

  Args:
    records: the dataset.
    names: of the shards; none is opened at an address.

  Raises:
    errors.DataError: a shard cannot be read, is not what the index says, or has
      changed since it was first checked.
  """
  rows_of = records.index.groupby('shard', sort=False).indices
  entries = {each.name: each for each in records.manifest.shards}
  for name in names:
    if address.is_address(records.directory):
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
          f'{path} changed while it was read; {_GO_ON}')
    records.checked_shards[name] = state


def check_unchanged(records: dataset.Records) -> None:
  """Checks that the shards that check_frames has seen are the same files.

  Raises:
    errors.DataError: one has changed, or cannot be read.
  """
  check_frames(records, list(records.checked_shards))


def _describe(path: str, error: OSError) -> errors.DataError:
  if isinstance(error, FileNotFoundError):
    return errors.DataError(f'{path} does not exist; {_GO_ON}')
  return errors.describe_read(path, error)


def find(records: dataset.Records) -> errors.DataError | None:
  """Returns the first issue of the dataset's shards; None if all are valid."""
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
    issue = f'it has {size} bytes where the manifest says {entry.bytes}'
  return errors.DataError(f'{path} is damaged: {issue}; '
                          f'{_GO_ON}') if issue else None


def _find_damage(records: dataset.Records, name: str, path: str) -> str:
  """Which record of a shard is the first that is not right; '' if none is."""
  index = records.index[records.index['shard'] == name]
  made = records.manifest
  read, found = 0, 'no valid record'
  try:
    read_frames = tfrecord.read(path, int(index['record_bytes'].max()))
    for wanted, (_, data) in zip(index['id'], read_frames):
      sample = example.decode(data)
      if sample.id != wanted:
        found = f'the record of {sample.id} in place'
        break
      pixel_codec.decode(sample.image, made.settings['encoding'],
                         made.image_size)
      read += 1
  except errors.DataError:
    pass
  if read == len(index):
    return ''
  row = index.iloc[read]
  return f'{found} of {row["id"]} at byte {row["record_offset"]}'
