"""Converts planned shards: CSV and images to a dataset folder.

convert_shard(task) is all the work and a pure function of its task; processes
only map it, so their number and timing change nothing. Shards appear under a
temporary name and are renamed; the manifest is written last, and only if no
sample was at fault.

Spawned processes, not forked ones: pyarrow starts threads, and forking a
process with threads may hang the child.
"""

import concurrent.futures
import contextlib
import dataclasses
import importlib.metadata
import multiprocessing
import os
import re
from typing import Iterator, Sequence

import cv2
import kornia_rs
import numpy as np
import pandas as pd
import PIL
import pyarrow as pa

from hpa_records import fault
from hpa_records import file_pattern
from hpa_records import image
from hpa_records import manifest
from hpa_records import progress
from hpa_records import record
from hpa_records import sample_table
from hpa_records import schema
from hpa_records import shard
from hpa_records import shard_plan
from hpa_records import tfds_metadata

SKIPPED_NAME = 'skipped.csv'
_OWN_FILE = re.compile(
    r'((fold\d+|test)-\d{5}-of-\d{5}\.tfrecord|index\.parquet|manifest\.json|'
    r'features\.json|dataset_info\.json|skipped\.csv)(\.tmp)?')


@dataclasses.dataclass(frozen=True)
class ShardResult:
  """What came of one shard.

  Attributes:
    shard: the manifest's entry.
    index: the shard's rows of the index.
    histogram: [C, 256] int64 intensity counts over its images.
  """
  shard: manifest.Shard
  index: pd.DataFrame
  histogram: np.ndarray


class _Unreadable(Exception):
  """Samples of a shard whose pixels could not be read: args[0], faults."""


@dataclasses.dataclass
class _Pass:
  """What accumulates while the records of one shard stream by."""
  histogram: np.ndarray
  heads: list[int] = dataclasses.field(default_factory=list)
  payloads: list[int] = dataclasses.field(default_factory=list)


def convert(csv: str,
            images: str,
            output: str,
            settings: shard_plan.Settings,
            workers: int = 0,
            on_error: str = 'stop',
            overwrite: bool = False) -> manifest.Manifest:
  """Converts a CSV and its images to a dataset folder.

  Args:
    csv: path of the table, columns Id and Target; of an unlabelled set Id, or
      '' to take the ids from the folder.
    images: folder of the image files, named as settings.pattern says.
    output: folder of the dataset; made if missing.
    settings: what to make.
    workers: processes; 0 takes one a core.
    on_error: 'stop' refuses input with any fault, 'skip' leaves the faulty
      samples out and lists them in skipped.csv.
    overwrite: replace a dataset with other settings.

  Returns:
    The manifest of the dataset, new or found finished with these settings.

  Raises:
    schema.DataError: the input is wrong, or the folder holds something else.
  """
  loaded = sample_table.load(csv,
                             images,
                             pattern=settings.pattern,
                             white_level=settings.white_level,
                             unlabelled=settings.unlabelled,
                             limit=settings.limit,
                             on_error=on_error)
  done = _prepare_output(output, settings, loaded.csv_sha256, overwrite)
  if done is not None:
    return done
  table, skipped = loaded.table, list(loaded.faults)
  while True:
    tasks = shard_plan.plan(table, output, settings)
    results, faults = _run(tasks, workers)
    if not faults:
      break
    if on_error == 'stop':
      fault.refuse(faults, csv or images)
    # Without these samples every fold and cut point may change.
    skipped += faults
    table = table[~table['id'].isin({each.id for each in faults})]
    _remove_own_files(output)
  return _finish(output, settings, loaded.csv_sha256, results, skipped)


def convert_shard(
    task: shard_plan.ShardTask) -> ShardResult | tuple[fault.Fault, ...]:
  """Writes one shard; returns what it is, or the faults that stopped it.

  With a fault no file is left, but every sample of the shard has been looked
  at, so that all faults can be listed together.
  """
  cv2.setNumThreads(1)  # the other cores have shards of their own
  done = _Pass(np.zeros((schema.NUM_CHANNELS, 256), np.int64))
  path = os.path.join(task.directory, task.name)
  try:
    written = shard.write(path, _records(task, done))
  except _Unreadable as error:
    return error.args[0]
  heads = np.array(done.heads, np.int64)
  index = pd.DataFrame({
      'id': task.ids,
      'shard': task.name,
      'record_offset': written.offsets,
      'record_bytes': written.sizes,
      'image_offset': written.offsets + shard.FRAME_HEAD_BYTES + heads,
      'image_bytes': np.array(done.payloads, np.int64),
  })
  if task.labels is not None:
    index = index.assign(fold=task.fold,
                         labels=[np.flatnonzero(row) for row in task.labels],
                         repeats=list(task.repeats))
  entry = manifest.Shard(task.name, len(index), written.num_bytes,
                         written.sha256)
  return ShardResult(entry, index, done.histogram)


def _records(task: shard_plan.ShardTask,
             done: _Pass) -> Iterator[tuple[bytes, np.ndarray]]:
  """Yields (head, image bytes) of each sample; raises _Unreadable at the end.
  """
  faults = []
  for i, sample_id in enumerate(task.ids):
    try:
      pixels = image.load(task.files[i], task.settings.image_size,
                          task.settings.white_level)
    except schema.DataError as error:
      faults.append(_fault(task, i, error))
      continue
    payload = image.encode(pixels, task.settings.encoding)
    labelled = () if task.labels is None else (task.fold, task.labels[i],
                                               task.repeats[i])
    head = record.encode_head(record.Sample(sample_id, payload, *labelled))
    done.histogram += image.histogram(pixels)
    done.heads.append(len(head))
    done.payloads.append(len(payload))
    yield head, payload
  if faults:
    raise _Unreadable(tuple(faults))


def _fault(task: shard_plan.ShardTask, i: int,
           error: schema.DataError) -> fault.Fault:
  message, path = error.args
  channel = schema.CHANNELS[task.files[i].index(path)]
  name = file_pattern.name(task.settings.pattern, task.ids[i], channel)
  return fault.Fault(task.rows[i], task.ids[i], name, message)


def _run(tasks: Sequence[shard_plan.ShardTask],
         workers: int) -> tuple[list[ShardResult], list[fault.Fault]]:
  """Returns the results in file order, and all faults in order of rows."""
  results: list[ShardResult | None] = [None] * len(tasks)
  faults: list[fault.Fault] = []
  total = sum(len(task.ids) for task in tasks)
  with progress.Bar('convert', total, 'samples') as shown:
    for number, outcome in _map(tasks, workers or os.cpu_count() or 1):
      if isinstance(outcome, ShardResult):
        results[number] = outcome
      else:
        faults += outcome
      shown.advance(len(tasks[number].ids))
  return results, sorted(faults, key=lambda each: each.row)


def _map(tasks: Sequence[shard_plan.ShardTask], workers: int):
  """Yields (number of the task, its outcome) in order of completion."""
  if min(workers, len(tasks)) == 1:
    yield from ((i, convert_shard(task)) for i, task in enumerate(tasks))
    return
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(min(workers, len(tasks)),
                                              mp_context=context) as pool:
    numbers = {pool.submit(convert_shard, t): i for i, t in enumerate(tasks)}
    try:
      for future in concurrent.futures.as_completed(numbers):
        yield numbers[future], future.result()
    except BaseException:
      pool.shutdown(wait=True, cancel_futures=True)
      raise


def _prepare_output(output: str, settings: shard_plan.Settings, csv_sha256: str,
                    overwrite: bool) -> manifest.Manifest | None:
  """Makes the folder ready; returns the manifest if all is done already."""
  os.makedirs(output, exist_ok=True)
  foreign = [
      name for name in os.listdir(output) if not _OWN_FILE.fullmatch(name)
  ]
  if foreign:
    raise schema.DataError(
        f'Expected an empty folder or a dataset, received {output} with '
        f'{sorted(foreign)[0]!r} in it; choose another --output.')
  if manifest.exists(output) and not overwrite:
    found = manifest.load(output)
    asked = {**dataclasses.asdict(settings), 'csv_sha256': csv_sha256}
    have = {**found.settings, 'csv_sha256': found.csv_sha256}
    differ = [
        f'{name} {have.get(name)!r}, asked {asked[name]!r}' for name in asked
        if have.get(name) != asked[name]
    ]
    if not differ:
      return found
    raise schema.DataError(
        f'Expected the settings of the dataset at {output}, received others: '
        f'{"; ".join(differ)}. Choose another --output, or pass --overwrite.')
  _remove_own_files(output)
  return None


def _remove_own_files(output: str) -> None:
  """Removes what a conversion writes, the manifest first."""
  with contextlib.suppress(FileNotFoundError):
    os.remove(os.path.join(output, manifest.MANIFEST_NAME))
  for name in os.listdir(output):
    if _OWN_FILE.fullmatch(name):
      os.remove(os.path.join(output, name))


def _finish(output: str, settings: shard_plan.Settings, csv_sha256: str,
            results: Sequence[ShardResult],
            skipped: Sequence[fault.Fault]) -> manifest.Manifest:
  """Writes skipped.csv, the index and, last, the manifest."""
  index = pd.concat([result.index for result in results], ignore_index=True)
  shards = tuple(result.shard for result in results)
  files = {
      manifest.INDEX_NAME: manifest.write_index(output, index),
      **tfds_metadata.write(output, dataclasses.asdict(settings), shards)
  }
  if skipped:
    path = os.path.join(output, SKIPPED_NAME)
    fault.write(skipped, path)
    files[SKIPPED_NAME] = manifest.file_sha256(path)
  counts = []
  if not settings.unlabelled:
    labels = sample_table.multi_hot(index['labels'])
    counts = [
        labels[index['fold'] == fold].sum(axis=0, dtype=int).tolist()
        for fold in range(settings.num_folds)
    ]
  made = manifest.Manifest(settings=dataclasses.asdict(settings),
                           csv_sha256=csv_sha256,
                           num_records=len(index),
                           num_skipped=len({each.row for each in skipped}),
                           shards=shards,
                           class_counts=counts,
                           pixels=manifest.pixel_statistics(
                               sum(result.histogram for result in results)),
                           files=files,
                           versions=_versions())
  manifest.write(output, made)
  return made


def _versions() -> dict[str, str]:
  """Versions of what decides the bytes."""
  versions = {
      module.__name__: module.__version__
      for module in (cv2, kornia_rs, np, PIL, pa)
  }
  versions['iterstrat'] = importlib.metadata.version('iterative-stratification')
  return versions
