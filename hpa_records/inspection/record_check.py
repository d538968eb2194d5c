"""Checks the records of a dataset against its index and manifest.

Every record is decoded. Its fields are compared with the index, and the pixel
statistics with the manifest. This finds records that a defective converter
wrote, whose hashes are right. Decoding runs in spawned processes, as in
convert.
"""

import concurrent.futures
import dataclasses
import os
from typing import Any, Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import filesystem

UNREAD = 'cannot be read: '  # marks issues of files whose data may be valid


@dataclasses.dataclass(frozen=True)
class _ShardTask:
  """One shard to decode.

  Attributes:
    path: of the shard.
    name: of its file.
    rows: its rows of the index.
    made: manifest of its dataset.
  """
  path: str
  name: str
  rows: pd.DataFrame
  made: manifest.Manifest


def check(directory: str, made: manifest.Manifest, index: pd.DataFrame,
          workers: int) -> list[str]:
  """Returns the issues of the records in the shards that exist.

  Args:
    directory: of the dataset, local or an address.
    made: its manifest.
    index: its index, valid for index_check.
    workers: number of processes that decode.

  Returns:
    One line an issue, which begins with the name of a file.

  Raises:
    errors.DataError: a worker process was killed.
  """
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
    results = map_in_order(process_pool.start(workers), _check_shard, tasks)
  issues = []
  sums = np.zeros((made.num_folds, 2, made.num_channels), np.int64)
  counts = [0] * made.num_folds
  with progress.Bar('decode', made.num_records, 'records') as shown:
    for task, (found, counted) in zip(tasks, results):
      issues += found
      fold = task.rows['fold'].iloc[0] if made.is_labelled else 0
      sums[fold] += counted
      counts[fold] += len(task.rows) * made.image_size**2
      shown.advance(len(task.rows))
  if not issues and len(tasks) == len(made.shards):
    issues = _check_pixels(made, pixel_codec.describe_folds(counts, sums))
  return issues


def _check_shard(task: _ShardTask) -> tuple[list[str], np.ndarray]:
  """Returns the issues of one shard and its pixel_codec.sums [2, C] int64."""
  sums = np.zeros((2, task.made.num_channels), np.int64)
  issues, count = [], 0
  try:
    for offset, data in tfrecord.read(task.path,
                                      int(task.rows['record_bytes'].max())):
      if count == len(task.rows) or (offset
                                     != task.rows['record_offset'].iloc[count]):
        raise errors.DataError(f'unexpected record at byte {offset} after '
                               f'{count} records')
      row = task.rows.iloc[count]
      count += 1
      try:
        sums += pixel_codec.sums(_check_record(row, data, task.made))
      except errors.DataError as error:
        issues.append(f'{task.name}: record {count - 1} at byte {offset} '
                      f'({row["id"]}): {error}')
    if count < len(task.rows):
      raise errors.DataError(
          f'expected {len(task.rows)} records, received {count}')
  except errors.DataError as error:
    issues.append(f'{task.name}: {error}')
  except OSError as error:
    issues.append(f'{task.name}: {UNREAD}{errors.explain(error)}')
  return issues, sums


def _check_record(row: pd.Series, data: bytes,
                  made: manifest.Manifest) -> np.ndarray:
  """Returns a record's image [H, W, C] uint8 if its fields match the index.

  Args:
    row: of the index.
    data: the serialized record.
    made: the manifest.

  Raises:
    errors.DataError: names the first field that differs.
  """
  sample = example.decode(data, made.num_classes)
  labelled = made.is_labelled
  hot = np.zeros(made.num_classes, np.int64)
  hot[list(row['labels']) if labelled else []] = 1
  expected = {
      spec.ID: row['id'],
      spec.FOLD: row['fold'] if labelled else None,
      spec.LABELS: hot if labelled else None,
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
        f'expected an image of {row["image_bytes"]} bytes at byte {start} of '
        f'the record as in {manifest.INDEX_NAME}, received other bytes')
  return pixel_codec.decode(sample.image, made.settings['encoding'],
                            made.image_size, made.num_channels)


def _is_same(received: Any, expected: Any) -> bool:
  if isinstance(expected, np.ndarray):
    return np.array_equal(received, expected)
  return not isinstance(received, np.ndarray) and received == expected


def _show(value: Any) -> str:
  return (printable.show_list(value.tolist())
          if isinstance(value, np.ndarray) else str(value))


def _check_pixels(made: manifest.Manifest, found: dict[str, Any]) -> list[str]:
  """Returns an issue for the first statistic that differs; [] if none does."""
  folds = found.pop('folds')
  pairs = [('', found, made.pixels)]
  if 'folds' in made.pixels:
    pairs += [(f' of fold {number}', *pair)
              for number, pair in enumerate(zip(folds, made.pixels['folds']))]
  # Functions of whole numbers: equal on every machine.
  return [
      f'{manifest.MANIFEST_NAME}: expected pixels{where} with {name} '
      f'{expected[name]}, as in the records, received {received.get(name)}'
      for where, expected, received in pairs
      for name in expected
      if received.get(name) != expected[name]
  ][:1]


def map_in_order(pool: concurrent.futures.Executor, function: Callable[[Any],
                                                                       Any],
                 tasks: Sequence[Any]) -> Iterator[Any]:
  """Yields function(task) in the order of tasks, then shuts the pool down.

  Args:
    pool: processes or threads.
    function: called with a task.
    tasks: its arguments.

  Raises:
    errors.DataError: a process of the pool was killed.
  """
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
