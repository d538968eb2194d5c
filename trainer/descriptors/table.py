"""The descriptors of all records of a dataset, as a table in a file."""

import os

import numpy as np
from pyarrow import parquet

from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.descriptors import catalog
from trainer.descriptors import part as part_lib
from trainer.descriptors import table_file

FLAG = 'features'  # that names the output
_PARTS_ENDING = '.parts'


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
        f'{records.directory} ({part_lib.describe()}); move or remove it, or '
        f'choose another --{FLAG}.')


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
    if os.path.islink(folder):  # its files may be of the user
      raise errors.DataError(f'{folder} is a link; remove it, or choose '
                             f'another --{FLAG}.')
    with path_check.translate_write_errors(path, FLAG), file_lock.hold(
        os.path.join(folder, part_lib.LOCK_NAME),
        f'{path} is being made by another process; wait until it ends, or '
        f'choose another --{FLAG}'):
      plan = part_lib.Plan.of(folder, records)
      part_lib.compute(plan, records, workers)
      _join(path, plan, records)
      part_lib.remove(folder)
  return table_file.load(path, part_lib.find_about(records), records,
                         range(len(records.index)))


def _join(path: str, plan: part_lib.Plan, records: dataset.Records) -> None:
  """Writes the table from its parts; it has its name once it is complete."""
  values = np.concatenate([
      part_lib.load(plan.locate(part), records, plan.rows(part))
      for part in range(plan.num_parts)
  ])
  joined = part_lib.tabulate(records, range(len(values)), values,
                             part_lib.find_about(records))
  # Among the parts, where a run that was killed leaves nothing behind.
  with filesystem.atomic_writer(path, plan.folder) as file:
    parquet.write_table(joined, file)


def _is_of(path: str, records: dataset.Records) -> bool:
  """Returns whether a file is the complete table of a dataset."""
  return table_file.has_about(path, part_lib.find_about(records), records)
