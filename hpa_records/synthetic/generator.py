"""Synthetic samples in the layout of any description: tables and image files.

For the demo and for tests without the real data. In Kaggle's layout, label sets
are drawn with the frequencies of the real table; images have about the same
fraction of black pixels, intensities and file sizes (BUILD_NOTES.md, "Sample
data"). Sample i depends only on (seed, i, size, min_per_class) and the
description, not on the number of samples or processes. The CSV is written last:
a folder without it is unfinished.
"""

import functools
import os
from typing import Sequence

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import path_check
from hpa_records.synthetic import field
from hpa_records.synthetic import image_file
from hpa_records.synthetic import label_table
from hpa_records.synthetic import sample_layout
from hpa_records.synthetic import structure

IMAGES_NAME = 'train'
_SAMPLES_PER_TASK = 8
_LOCK_NAME = '.make_sample_data.lock'


def make(output: str,
         num_samples: int,
         seed: int = 0,
         size_px: int = 512,
         min_per_class: int = 0,
         workers: int = 0,
         found: layout.Description | None = None) -> int:
  """Writes output/train.csv, the tables it is joined with, and output/train/.

  Args:
    output: a folder without train.csv; created if missing.
    num_samples: 1..10^7. Where a row is several samples, all of the last row's
      are made.
    seed: 0..2^31-1; another seed draws other samples.
    size_px: height and width of the images, 64..1024.
    min_per_class: least rows of each class; see label_table.
    workers: processes; 0 is one a core.
    found: description of the dataset; None is Kaggle's of 2018.

  Returns:
    The number of samples.

  Raises:
    errors.DataError: a value is out of range; as of sample_layout.lay_out;
      output has a train.csv or other files in train/; output cannot be written
      or another process is writing to it; or a worker was killed.
  """
  found = found or description.default()
  num_rows = -(-num_samples // sample_layout.samples_per_row(found))
  classes = sample_layout.find_classes(found)
  _check(num_samples, seed, size_px, min_per_class, workers,
         num_rows // len(classes))
  labels = _draw_labels(found, classes, num_rows, seed, min_per_class)
  made = sample_layout.lay_out(found, labels, seed)
  task = functools.partial(_write_samples, os.path.join(output,
                                                        IMAGES_NAME), found,
                           structure.find_look(found.channels, classes), seed,
                           size_px)
  lock = os.path.join(output, _LOCK_NAME)
  with path_check.translate_write_errors(output), file_lock.hold(
      lock, f'Another process is making sample data in {output}; wait until it '
      'has finished, or choose another --output'):
    try:
      _make(output, made, task, workers)
    finally:
      filesystem.remove(lock)
  return len(made.samples)


def _draw_labels(found, classes, num_rows, seed, min_per_class):
  if found.classes == description.default().classes and not found.table.single:
    return label_table.draw_labels(num_rows, seed, min_per_class)
  is_single = found.table.single or found.table.form == 'folders'
  return label_table.draw_any(num_rows, seed, min_per_class, len(classes),
                              is_single)


def _make(output, made, task, workers) -> None:
  """As make, in a locked folder."""
  images = os.path.join(output, IMAGES_NAME)
  for table, content in made.tables.items():
    csv = os.path.join(output, table)
    # An interrupted call leaves tables that are joined, but no first one.
    if os.path.lexists(csv) and (table == sample_layout.TABLE_NAME or
                                 not _has(csv, content)):
      raise errors.DataError(f'{csv} exists; remove it or choose another '
                             '--output.')
  names = {name for each in made.samples for name in each.files}
  _check_folder(images, names)
  for folder in {'', *(os.path.dirname(name) for name in names)}:
    folders.make(os.path.join(images, folder))
  num_samples = len(made.samples)
  tasks = [(start, made.samples[start:start + _SAMPLES_PER_TASK])
           for start in range(0, num_samples, _SAMPLES_PER_TASK)]
  workers = min(workers or host.num_cores(), len(tasks))
  with process_pool.translate_errors(), progress.Bar('sample data', num_samples,
                                                     'samples') as shown:
    for count in _map(task, tasks, workers):
      shown.advance(count)
  for name, content in made.tables.items():
    folders.make(os.path.dirname(os.path.join(output, name)))
    filesystem.write_atomically(os.path.join(output, name), content)


def _has(path: str, content: bytes) -> bool:
  if not os.path.isfile(path) or os.path.islink(path):
    return False
  with filesystem.open_read(path) as file:
    return file.read(len(content) + 1) == content


def _check(num_samples, seed, size_px, min_per_class, workers, most_per_class):
  for name, value, least, most in (
      ('num_samples', num_samples, 1, 10**7),
      ('seed', seed, 0, 2**31 - 1),
      ('size_px', size_px, 64, 1024),
      ('min_per_class', min_per_class, 0, most_per_class),
      ('workers', workers, 0, 1024),
  ):
    if not least <= value <= most:
      raise errors.DataError(f'Expected --{name} from {least} to {most}, '
                             f'received {value}.')


def _check_folder(images: str, names: set[str]) -> None:
  """Checks that a folder has only files of an interrupted call of this kind."""
  if os.path.lexists(images) and not os.path.isdir(images):
    raise errors.DataError(
        f'{images} is not a folder; choose another --output.')
  for folder, _, files in os.walk(images):
    for file in files:
      name = os.path.relpath(os.path.join(folder, file), images)
      if name.replace(os.sep, '/') not in names:
        raise errors.DataError(f'{images} contains other files, such as {name};'
                               ' choose another --output.')


def _write_samples(images: str, found: layout.Description, look: structure.Look,
                   seed: int, size_px: int,
                   task: tuple[int, Sequence[sample_layout.Sample]]) -> int:
  """Draws and writes samples from a number on; returns how many."""
  start, samples = task
  for number, sample in enumerate(samples, start):
    planes = field.draw(look, sample.labels, seed, number, size_px)
    contents = image_file.encode(planes, found, sample.files)
    for name, content in zip(sample.files, contents):
      _write(os.path.join(images, name), content)
  return len(samples)


def _write(path: str, data: bytes) -> None:
  """Writes a file; replaces one that an interrupted call left unfinished."""
  if os.path.lexists(path):
    is_plain = os.path.isfile(path) and not os.path.islink(path)
    if not (is_plain and os.path.getsize(path) <= len(data) and
            data.startswith(filesystem.read_bytes(path))):
      raise errors.DataError(
          f'{path} exists with other content; choose another '
          '--output.')
    filesystem.remove(path)
  with open(path, 'xb') as file:  # 'x': a link of that name is not followed
    file.write(data)


def _map(task, items, workers):
  if workers == 1:
    process.decode_alone()
    yield from map(task, items)
    return
  pool = process_pool.start(workers)
  try:
    yield from pool.map(task, items)
  finally:
    process_pool.stop(pool)
