"""Is a dataset whole? Every file against the manifest; records on request.

Sizes, hashes and tables are checked first, which costs one reading of the
files: a flipped byte, a cut, missing, extra or swapped file shows there.
Nothing is decoded for that. `deep` decodes every record and holds each field
to the index and the pixels to the manifest: it finds what a converter at fault
would write, whose hashes are right.

Hashing runs in threads, since hashlib and reading let go of Python's lock;
decoding in processes, spawned ones as in convert.py.

A shard may be a link to a file on another disk: what counts is what is read
through it, as by all readers. Pipes, devices and folders under a file's name
are no such file. What file browsers leave behind, such as .DS_Store, is passed
over.
"""

import concurrent.futures
import dataclasses
import os
from typing import Any, Callable, Container, Iterator, Sequence

import numpy as np
import pandas as pd

from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.ingest import issue
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter

UNFINISHED_FOLDER = '.unfinished'  # of a conversion that was cut off
_DIGITS = 12  # of a sha256, in messages
_UNREAD = 'cannot be read: '  # of faults that say nothing of the data


@dataclasses.dataclass(frozen=True)
class Verified:
  """A dataset in which no fault was found.

  Attributes:
    manifest: of the dataset.
    num_bytes: of all files that the manifest lists.
  """
  manifest: manifest.Manifest
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class _File:
  """A file that the manifest lists, its bytes, at least and at most."""
  path: str
  name: str
  sha256: str
  least_bytes: int
  most_bytes: int


@dataclasses.dataclass(frozen=True)
class _ShardTask:
  """One shard to decode: where it is, its rows of the index, its dataset."""
  path: str
  name: str
  rows: pd.DataFrame
  made: manifest.Manifest


def verify(directory: str, deep: bool = False, workers: int = 0) -> Verified:
  """Returns a dataset's manifest after checking that the dataset is whole.

  Args:
    directory: of the dataset, local or an address.
    deep: also decode every record and check every field.
    workers: threads to hash with and processes to decode with; 0 takes one a
      core.

  Returns:
    What was checked.

  Raises:
    errors.DataError: lists what is wrong, one line a fault, each with its file.
  """
  made = manifest.load(directory)
  workers = workers or host.num_cores()
  num_bytes, wrong = _check_files(directory, made, workers)
  contradictions = manifest_check.check(made)
  if not contradictions and manifest.INDEX_NAME not in wrong:
    try:
      index = manifest.load_index(directory, made)
      contradictions = index_check.check(made, index)
      if deep and not contradictions:
        contradictions = _check_records(directory, made, index, workers)
    except errors.DataError as error:
      contradictions = [str(error)]
  if not contradictions:
    contradictions = _check_metadata(directory, made, wrong)
  faults = [f'{name}: {message}' for name, message in wrong.items()]
  faults += contradictions
  if faults:
    head = f'Invalid dataset at {directory}; copy or convert it again'
    if any(_UNREAD in line for line in faults):
      head = f'Cannot read all of {directory}; the data may be valid'
    raise errors.DataError(issue.describe(head, faults))
  return Verified(made, num_bytes)


def _check_files(directory: str, made: manifest.Manifest,
                 workers: int) -> tuple[int, dict[str, str]]:
  """Returns the bytes of all listed files, and what is wrong by file name."""
  entries = [
      (each.name, each.sha256, each.bytes, each.bytes) for each in made.shards
  ]
  entries += [(name, digest, 0, made.most_bytes(name))
              for name, digest in made.files.items()]
  files = [
      _File(os.path.join(directory, entry[0]), *entry) for entry in entries
  ]
  owners = {file.sha256: file.name for file in files}
  wrong, num_bytes = {}, 0
  pool = concurrent.futures.ThreadPoolExecutor(workers)
  with progress.Bar('hash', len(files), 'files') as shown:
    for file, (size, digest, message) in zip(files, _map(pool, _hash, files)):
      if not message and digest != file.sha256:
        received = owners.get(digest, f'{digest[:_DIGITS]}...')
        message = f'expected sha256 {file.sha256[:_DIGITS]}..., received '
        message += f'that of {received}' if digest in owners else received
      if message:
        wrong[file.name] = message
      num_bytes += size
      shown.advance(1)
  known = {manifest.MANIFEST_NAME, *(file.name for file in files)}
  # http:// has no folders to list: there, extra files stay unseen.
  names = []
  try:
    if filesystem.has_folders(directory):
      names = folders.list_names(directory, recursive=True)
  except OSError as error:
    if isinstance(error, errors.DataError):
      raise  # of an address, told already
    place = os.path.relpath(error.filename or directory, directory)
    wrong[f'{place}/'] = f'{_UNREAD}{errors.explain(error)}'
  for name in names:
    if name.startswith(f'{UNFINISHED_FOLDER}/'):
      wrong[f'{UNFINISHED_FOLDER}/'] = (
          'expected none, received the rest of a conversion that was cut off; '
          'run make_records again to tidy')
    elif name not in known and not litter.is_litter(name):
      wrong[name] = 'expected no such file; remove it'
  return num_bytes, wrong


def _check_metadata(directory: str, made: manifest.Manifest,
                    wrong: Container[str]) -> list[str]:
  """Returns what is wrong with what TensorFlow Datasets reads of the dataset.
  """
  faults = []
  for name in set(tfds_metadata.NAMES).intersection(made.files):
    if name in wrong:
      continue
    try:
      tfds_metadata.check(name,
                          filesystem.read_bytes(os.path.join(directory, name)),
                          made.settings, made.shards)
    except OSError as error:
      faults.append(f'{name}: {_UNREAD}{errors.explain(error)}')
    except ValueError as error:
      faults.append(f'{name}: {error}')
  return faults


def _hash(file: _File) -> tuple[int, str, str]:
  """Returns size and sha256 of a file, or a message why there are none."""
  try:
    size = filesystem.size(file.path)
    if size is None:
      is_other = not filesystem.is_remote(file.path) and os.path.exists(
          file.path)
      received = 'a folder, a pipe or a device' if is_other else 'none'
      return 0, '', f'expected this file, received {received}'
    if not file.least_bytes <= size <= file.most_bytes:
      expected = (f'{file.most_bytes}'
                  if file.least_bytes else f'at most {file.most_bytes}')
      return size, '', f'expected {expected} bytes, received {size}'
    return size, filesystem.sha256(file.path), ''
  except OSError as error:
    return 0, '', f'{_UNREAD}{errors.explain(error)}'


def _check_records(directory: str, made: manifest.Manifest, index: pd.DataFrame,
                   workers: int) -> list[str]:
  """Returns what is wrong with the content of the shards that are there."""
  tasks, row = [], 0
  for each in made.shards:
    path = os.path.join(directory, each.name)
    if filesystem.size(path) is not None:
      rows = index.iloc[row:row + each.records]
      tasks.append(_ShardTask(path, each.name, rows, made))
    row += each.records
  workers = min(workers, len(tasks))
  if workers < 2:
    process.decode_alone()
    results = map(_check_shard, tasks)
  else:
    results = _map(process_pool.start(workers), _check_shard, tasks)
  faults = []
  sums = np.zeros((2, spec.NUM_CHANNELS), np.int64)
  with progress.Bar('decode', made.num_records, 'records') as shown:
    for task, (found, counted) in zip(tasks, results):
      faults += found
      sums += counted
      shown.advance(len(task.rows))
  if not faults and len(tasks) == len(made.shards):
    faults = _check_pixels(
        made,
        manifest.pixel_statistics(made.num_records * made.image_size**2, *sums))
  return faults


def _check_shard(task: _ShardTask) -> tuple[list[str], np.ndarray]:
  """Returns the faults of one shard, and pixel_codec.sums [2, C] of it."""
  sums = np.zeros((2, spec.NUM_CHANNELS), np.int64)
  faults, count = [], 0
  try:
    for offset, data in tfrecord.read(task.path,
                                      int(task.rows['record_bytes'].max())):
      if count == len(task.rows) or (offset
                                     != task.rows['record_offset'].iloc[count]):
        raise errors.DataError(f'expected no record at byte {offset} after '
                               f'{count} records')
      row = task.rows.iloc[count]
      count += 1
      try:
        sums += pixel_codec.sums(_check_record(row, data, task.made))
      except errors.DataError as error:
        faults.append(f'{task.name}: record {count - 1} at byte {offset} '
                      f'({row["id"]}): {error}')
    if count < len(task.rows):
      raise errors.DataError(
          f'expected {len(task.rows)} records, received {count}')
  except errors.DataError as error:
    faults.append(f'{task.name}: {error}')
  except OSError as error:
    faults.append(f'{task.name}: {_UNREAD}{errors.explain(error)}')
  return faults, sums


def _check_record(row: pd.Series, data: bytes,
                  made: manifest.Manifest) -> np.ndarray:
  """Returns a record's image [H, W, C] uint8 if all fields are the index's.

  Args:
    row: of the index.
    data: the record.
    made: the manifest.

  Raises:
    errors.DataError: names the first field that differs.
  """
  sample = example.decode(data)
  labelled = made.is_labelled
  expected = {
      spec.ID: row['id'],
      spec.FOLD: row['fold'] if labelled else None,
      spec.LABELS: spec.multi_hot([row['labels']])[0] if labelled else None,
      spec.REPEATS: row['repeats'] if labelled else None,
  }
  for name, value in expected.items():
    received = getattr(sample, name)
    if not _is_same(received, value):
      raise errors.DataError(f'expected {name} {_show(value)} as in '
                             f'{manifest.INDEX_NAME}, received '
                             f'{_show(received)}')
  start = row['image_offset'] - row['record_offset'] - tfrecord.FRAME_HEAD_BYTES
  if not isinstance(sample.image, memoryview) or (data[start:start +
                                                       row['image_bytes']]
                                                  != bytes(sample.image)):
    raise errors.DataError(
        f'expected its image {row["image_bytes"]} bytes long at byte {start} '
        f'of the record, as in {manifest.INDEX_NAME}, received another there')
  return pixel_codec.decode(sample.image, made.settings['encoding'],
                            made.image_size)


def _is_same(received: Any, expected: Any) -> bool:
  if isinstance(expected, np.ndarray):
    return np.array_equal(received, expected)
  return not isinstance(received, np.ndarray) and received == expected


def _show(value: Any) -> str:
  return (printable.show_list(value.tolist())
          if isinstance(value, np.ndarray) else str(value))


def _check_pixels(made: manifest.Manifest, found: dict[str, Any]) -> list[str]:
  """Returns a fault for the first statistic that differs, or none."""
  # Whole numbers, and quotients and roots of them: equal on every machine.
  return [
      f'{manifest.MANIFEST_NAME}: expected pixels with {name} {found[name]}, '
      f'as in the records, received {made.pixels.get(name)}'
      for name in found
      if made.pixels.get(name) != found[name]
  ][:1]


def _map(pool: concurrent.futures.Executor, function: Callable[[Any], Any],
         tasks: Sequence[Any]) -> Iterator[Any]:
  """Yields what function returns, in the order of tasks."""
  with pool:
    try:
      yield from pool.map(function, tasks)
    except concurrent.futures.BrokenExecutor as error:
      raise errors.DataError(
          'A process that decodes records was killed, often for lack of memory;'
          ' run the same command with --workers=1.') from error
    except BaseException:
      pool.shutdown(wait=True, cancel_futures=True)
      raise
