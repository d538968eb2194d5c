"""What is wrong with shards that TensorFlow failed to read: file and record.

TensorFlow's errors name neither. So after one, the shards are looked at: their
sizes, then frame by frame with checksums and ids, until a fault is found.
"""

import os

from hpa_records import dataset
from hpa_records import filesystem
from hpa_records import record
from hpa_records import schema
from hpa_records import shard

_GO_ON = 'copy or convert the data again, then run the same command to go on.'


def find(records: dataset.Records) -> schema.DataError | None:
  """Returns the first fault of the dataset's shards; None if all are sound."""
  for each in records.manifest.shards:
    path = os.path.join(records.directory, each.name)
    size = filesystem.size(path)
    if size is None:
      return schema.DataError(f'Expected {path}, received no such file; '
                              f'{_GO_ON}')
    fault = _find_damage(records, each.name, path)
    if fault is None and size != each.bytes:
      fault = f'received {size} bytes where the manifest says {each.bytes}'
    if fault:
      return schema.DataError(f'Expected whole records at {path}, {fault}; '
                              f'{_GO_ON}')
  return None


def _find_damage(records: dataset.Records, name: str, path: str) -> str:
  """Which record of a shard is the first that is not right; '' if none is."""
  index = records.index[records.index['shard'] == name]
  read, found = 0, 'a damaged or no record'
  try:
    for wanted, (_, data) in zip(index['id'], shard.read(path)):
      name_found = record.decode(data).id
      if name_found != wanted:
        found = f'the record of {name_found} in place of that'
        break
      read += 1
  except schema.DataError:
    pass
  if read == len(index):
    return ''
  row = index.iloc[read]
  return f'received {found} of {row["id"]} at byte {row["record_offset"]}'
