"""Parts of a table of descriptors, made by several processes.

Each part is a Parquet file in a folder beside the table until that is complete.
A part is taken from a run that was killed only if it says that it has these
rows of this dataset and these descriptors (find_about), so a part of another
dataset is never taken.
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
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import filesystem
from trainer.descriptors import catalog
from trainer.descriptors import table_file

LOCK_NAME = 'lock'
_PACKAGES = ('mahotas', 'scikit-image')
_ROWS = 64  # of a part: some seconds of work
_NO_FOLD = -1
# A part, or the temporary file of one or of the table.
_OWN = re.compile(r'part-[0-9]{6}\.parquet|.+\.parquet\.[0-9a-f]{8}\.tmp')


def describe() -> str:
  """Returns what decides the descriptors of an image, as text."""
  packages = (
      f'{each} {importlib.metadata.version(each)}' for each in _PACKAGES)
  return f'version {catalog.VERSION}, {", ".join(packages)}'


def find_about(records: dataset.Records, rows: range | None = None) -> str:
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


@dataclasses.dataclass(frozen=True)
class Plan:
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
  def of(cls, folder: str, records: dataset.Records) -> 'Plan':
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


def compute(plan: Plan, records: dataset.Records, workers: int) -> None:
  """Makes the parts that are missing.

  Args:
    plan: of the table.
    records: the dataset.
    workers: as of process_pool.run.

  Raises:
    errors.DataError: a record is damaged, the dataset was replaced meanwhile, a
      worker was killed, or memory ran out.
  """
  missing = [
      part for part in range(plan.num_parts)
      if not _is_made(plan.locate(part), records, plan.rows(part))
  ]
  with progress.Bar('descriptors', plan.num_records, 'images') as shown:
    shown.advance(plan.num_records -
                  sum(len(plan.rows(part)) for part in missing))
    for part, _ in process_pool.run(functools.partial(_make_part, plan),
                                    missing, workers):
      shown.advance(len(plan.rows(part)))


def _is_made(path: str, records: dataset.Records, rows: range) -> bool:
  """Returns whether a file is a part of these rows, with all its values."""
  try:
    load(path, records, rows)
    return True
  except errors.DataError:
    return False


def load(path: str, records: dataset.Records, rows: range) -> np.ndarray:
  """Returns the descriptors of a part; see table_file.load."""
  return table_file.load(path, find_about(records, rows), records, rows)


def _make_part(plan: Plan, part: int) -> None:
  """Computes and writes a part."""
  records, source = _open(plan.records, plan.fingerprint)
  rows = plan.rows(part)
  images = source[rows.start:rows.stop][spec_lib.IMAGE]
  source.check_unchanged()
  values = np.stack([catalog.compute(image) for image in images])
  with filesystem.atomic_writer(plan.locate(part)) as file:
    parquet.write_table(
        tabulate(records, rows, values, find_about(records, rows)), file)


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


def tabulate(records: dataset.Records, rows: range, values: np.ndarray,
             about: str) -> pa.Table:
  """Returns the table of some records: id, fold, group, labels, descriptors.

  Args:
    records: the dataset.
    rows: of it.
    values: [n, D] float32, the descriptors of these rows.
    about: of find_about.
  """
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
  return pa.table(columns).replace_schema_metadata({table_file.ABOUT: about})


def remove(folder: str) -> None:
  """Removes the parts; the folder, too, if it has no other files."""
  for name in os.listdir(folder):
    if _OWN.fullmatch(name):
      filesystem.remove(os.path.join(folder, name))
  with contextlib.suppress(OSError):
    os.remove(os.path.join(folder, LOCK_NAME))
    os.rmdir(folder)
