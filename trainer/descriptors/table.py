"""The descriptors of all records of a dataset, as a table in a file.

Parts of the table are computed by several processes. Each part is a file in a
folder beside the output until the table is complete. A part is taken from a run
that was killed only if it says that it has these rows of this dataset and these
descriptors (_find_about), so a part of another dataset is never taken.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import re

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hpa_records.format import spec as spec_lib
from hpa_records.reading import dataset
from hpa_records.reading import source as source_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.descriptors import catalog

FLAG = 'features'  # that names the output
_ABOUT = 'hpa_descriptors'  # names what a file is
_PACKAGES = ('mahotas', 'scikit-image')
_ROWS = 64  # of a part: some seconds of work
_NO_FOLD = -1
_PARTS_ENDING, _LOCK_NAME = '.parts', 'lock'
_OWN = re.compile(r'part-[0-9]{6}\.parquet(\.[0-9a-f]{8}\.tmp)?')


def describe() -> str:
  """Returns what decides the descriptors of an image, as text."""
  packages = (
      f'{each} {importlib.metadata.version(each)}' for each in _PACKAGES)
  return f'version {catalog.VERSION}, {", ".join(packages)}'


def prepare(path: str, records: dataset.Records) -> None:
  """Checks that a table can be written, or is the one of these records.

  Args:
    path: of the table.
    records: the dataset.

  Raises:
    errors.DataError: the path is not writable, or has another file or table; or
      the images are too small.
  """
  size_px = records.spec.image_size
  if size_px < catalog.SMALLEST_PX:
    raise errors.DataError(
        f'Expected images of at least {catalog.SMALLEST_PX} px for '
        f'descriptors, received {size_px} px at {records.directory}.')
  path_check.prepare_output(path, FLAG)
  if filesystem.size(path) is not None and not _is_of(path, records):
    raise errors.DataError(
        f'{path} exists, and is not the table of the descriptors of '
        f'{records.directory} ({describe()}); move or remove it, or choose '
        f'another --{FLAG}.')


def make(path: str, records: dataset.Records, workers: int) -> np.ndarray:
  """Returns the descriptors of all records, computed if the file has them not.

  Args:
    path: of the table, as prepare accepted it.
    records: the dataset.
    workers: as of process_pool.run.

  Returns:
    [N, D] float32, in the order of the index and of catalog.name_all.

  Raises:
    errors.DataError: a record is damaged, the dataset was replaced meanwhile,
      the output cannot be written, or another process makes this table.
  """
  if not _is_of(path, records):
    folder = path + _PARTS_ENDING
    with path_check.translate_write_errors(path, FLAG), file_lock.hold(
        os.path.join(folder, _LOCK_NAME),
        f'{path} is being made by another process; wait until it ends, or '
        f'choose another --{FLAG}'):
      plan = _Plan.of(folder, records)
      _compute(plan, records, workers)
      _join(path, plan, records)
      _remove_parts(folder)
  found = _read(path)
  names = catalog.name_all(records.spec.channel_names)
  return np.stack([found[name].to_numpy() for name in names], axis=1)


@dataclasses.dataclass(frozen=True)
class _Plan:
  """What a process needs to make parts of a table.

  Attributes:
    folder: of the parts.
    records: address of the dataset.
    fingerprint: of the dataset.
    num_records: N.
  """
  folder: str
  records: str
  fingerprint: str
  num_records: int

  @classmethod
  def of(cls, folder: str, records: dataset.Records) -> '_Plan':
    """Returns the plan of a dataset's table."""
    return cls(folder, records.directory, records.manifest.fingerprint,
               len(records.index))

  @property
  def num_parts(self) -> int:
    """The number of parts."""
    return -(-self.num_records // _ROWS)

  def rows(self, part: int) -> range:
    """Returns the rows of the index that a part has."""
    return range(part * _ROWS, min((part + 1) * _ROWS, self.num_records))

  def locate(self, part: int) -> str:
    """Returns the path of a part."""
    return os.path.join(self.folder, f'part-{part:06d}.parquet')


def _find_about(records: dataset.Records, rows: range | None = None) -> str:
  """Returns what the table of a dataset is, or its part of some rows, as JSON.

  Args:
    records: the dataset.
    rows: of the part; None for the whole table.
  """
  return json.dumps({
      'descriptors': describe(),
      'records_sha256': records.manifest.fingerprint,
      'classes': records.spec.classes,
      'channels': records.spec.channel_names,
      **({
          'rows': [rows.start, rows.stop]
      } if rows else {}),
  })


def _compute(plan: _Plan, records: dataset.Records, workers: int) -> None:
  """Makes the parts that are missing."""
  missing = [
      part for part in range(plan.num_parts) if
      not _has_about(plan.locate(part), _find_about(records, plan.rows(part)))
  ]
  with progress.Bar('descriptors', plan.num_records, 'images') as shown:
    shown.advance(plan.num_records -
                  sum(len(plan.rows(part)) for part in missing))
    for part, _ in process_pool.run(functools.partial(_make_part, plan),
                                    missing, workers):
      shown.advance(len(plan.rows(part)))


def _make_part(plan: _Plan, part: int) -> None:
  """Computes and writes a part."""
  records, source = _open(plan.records, plan.fingerprint)
  rows = plan.rows(part)
  images = source[rows.start:rows.stop][spec_lib.IMAGE]
  source.check_unchanged()
  values = np.stack([catalog.compute(image) for image in images])
  with filesystem.atomic_writer(plan.locate(part)) as file:
    parquet.write_table(_tabulate(records, rows, values), file)


@functools.lru_cache(1)
def _open(address: str,
          fingerprint: str) -> tuple[dataset.Records, source_lib.Source]:
  """Returns the dataset, opened once in a process.

  Raises:
    errors.DataError: it is another one now.
  """
  records = dataset.load(address, allow_unlabelled=True)
  if records.manifest.fingerprint != fingerprint:
    raise errors.DataError(
        f'The dataset at {address} was replaced while its descriptors were '
        'computed; run the same command again.')
  return records, source_lib.open_source(address)


def _tabulate(records: dataset.Records, rows: range,
              values: np.ndarray) -> pa.Table:
  """Returns the table of some records: id, fold, group, labels, descriptors."""
  index = records.index.iloc[rows.start:rows.stop]
  is_labelled = records.manifest.is_labelled
  folds = index['fold'] if is_labelled else np.full(len(index), _NO_FOLD)
  labels = ([
      np.flatnonzero(each) for each in records.labels[rows.start:rows.stop]
  ] if is_labelled else [None] * len(index))
  columns = {
      'id':
          pa.array(index['id'], pa.string()),
      'fold':
          pa.array(folds, pa.int32()),
      **({
          'group': pa.array(index['group'], pa.string())
      } if 'group' in index else {}),
      'labels':
          pa.array(labels, pa.list_(pa.int32())),
  }
  names = catalog.name_all(records.spec.channel_names)
  columns |= {
      name: pa.array(np.ascontiguousarray(each))
      for name, each in zip(names, values.T)
  }
  return pa.table(columns).replace_schema_metadata(
      {_ABOUT: _find_about(records, rows)})


def _join(path: str, plan: _Plan, records: dataset.Records) -> None:
  """Writes the table from its parts; it has its name once it is complete."""
  joined = pa.concat_tables(
      [_read(plan.locate(part)) for part in range(plan.num_parts)])
  joined = joined.replace_schema_metadata({_ABOUT: _find_about(records)})
  with filesystem.atomic_writer(path) as file:
    parquet.write_table(joined, file)


def _read(path: str) -> pa.Table:
  """Returns a table or a part.

  Raises:
    errors.DataError: it is damaged.
  """
  try:
    with parquet.ParquetFile(path) as file:
      return file.read(use_threads=False)
  except (pa.ArrowException, OSError) as error:
    raise errors.DataError(
        f'{path} is damaged ({printable.join_lines(str(error))}); remove it, '
        'then run the same command again.') from error


def _is_of(path: str, records: dataset.Records) -> bool:
  """Returns whether a file is the complete table of a dataset."""
  return _has_about(path, _find_about(records))


def _has_about(path: str, about: str) -> bool:
  """Returns whether a file is a table, or a part, of what about says.

  The footer of a Parquet file is written last, so the file is whole.
  """
  if filesystem.size(path) is None:
    return False
  try:
    metadata = parquet.read_schema(path).metadata or {}
  except (pa.ArrowException, OSError):
    return False
  return metadata.get(_ABOUT.encode()) == about.encode()


def _remove_parts(folder: str) -> None:
  """Removes the parts; the folder, too, if it has no other files."""
  for name in os.listdir(folder):
    if _OWN.fullmatch(name):
      filesystem.remove(os.path.join(folder, name))
  with contextlib.suppress(OSError):
    os.remove(os.path.join(folder, _LOCK_NAME))
    os.rmdir(folder)
