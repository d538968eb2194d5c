"""CSV + image folder -> one validated table; every fault of the input, at once.

A command that stops at the first bad file of 124,288 is started again for each
of them. So all rows and all file headers are checked before a pixel is
decoded, and the faults are listed together, each with its row and file. Of a
PNG that takes 45 bytes (image_header). What only decoding can find, convert
lists later in the same way, by fault.refuse().
"""

import collections
from concurrent import futures
import dataclasses
import hashlib
import os
from typing import Iterable, Sequence

import numpy as np
import pandas as pd

from hpa_records import csv_table
from hpa_records import fault
from hpa_records import file_pattern
from hpa_records import filesystem
from hpa_records import image_file
from hpa_records import schema

ON_ERROR = ('stop', 'skip')

_MISSING = 'expected this file, received none'
_UNREAD = 'expected a readable file, received:'

# More threads than cores: they wait for the disk, above all for a remote one.
_NUM_THREADS = 16
_FILES_PER_TASK = 256


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """The sound samples, and what was left out.

  Attributes:
    table: one row a sample in CSV order, index 0..N-1: id (str), labels (tuple
      of int, ascending, 0..K-1; empty in an unlabelled set), row (int, as in
      fault.Fault), and red, green, blue, yellow (str, the path of each file);
      where asked for, fold (int, 0..num_folds-1) and group (str).
    sizes: number of samples by the (height, width) of their images.
    csv_sha256: hex digest of the whole CSV file, or of the list of ids that
      stands for it.
    faults: what on_error='skip' left out, by row.
    groups_sha256: hex digest of the whole CSV of groups; '' without one.
  """
  table: pd.DataFrame
  sizes: dict[tuple[int, int], int]
  csv_sha256: str
  faults: tuple[fault.Fault, ...]
  groups_sha256: str = ''


def load(csv: str,
         images: str,
         *,
         pattern: str,
         white_level: int = 0,
         unlabelled: bool = False,
         limit: int = 0,
         fold_column: str = '',
         num_folds: int = 0,
         groups: str = '',
         on_error: str = 'stop') -> SampleTable:
  """Returns the checked samples of a CSV and a folder of images.

  Args:
    csv: path of a UTF-8 file with the columns Id and Target; others may
      follow. An unlabelled set needs Id only, or no CSV: with '' its ids are
      those of the files that fit the pattern, sorted, and stand for a CSV of
      the lines 'Id' and one id each.
    images: folder that holds a file for each id and each of schema.CHANNELS.
      It and csv may be addresses.
    pattern: of the files' names, see file_pattern.check.
    white_level: as in image_file.check.
    unlabelled: every sample's labels are ().
    limit: takes the first so many rows of the CSV, faulty ones included; 0
      takes all.
    fold_column: column of the CSV that holds each sample's fold; '' is none.
    num_folds: how many folds that column has.
    groups: path of a CSV with the columns Id and group, where each sample must
      have a group; '' is none. It may be an address, and may have other Ids.
    on_error: 'stop' refuses faulty samples, 'skip' leaves them out. Of rows
      with the same Id the first is sound, the later ones are faults.

  Raises:
    schema.DataError: a CSV, the folder or the pattern cannot be used; or a
      file cannot be read, or a row of groups is faulty, which skip does not
      forgive; or a sample is faulty and on_error is not 'skip'; or no sample
      is left.
  """
  file_pattern.check(pattern)
  if not csv and not unlabelled:
    raise schema.DataError('Expected a path, received none; pass --csv=PATH, '
                           'or --unlabelled to take the ids from --images.')
  content = csv_table.read(csv) if csv else b''
  group_of, groups_sha256 = _load_groups(groups) if groups else ({}, '')
  if csv:
    samples, row_faults = csv_table.parse(content, csv, unlabelled, limit,
                                          fold_column, num_folds)
    names = _list_names(images, pattern)
  else:
    names = _list_names(images, pattern)
    ids = _find_ids(images, pattern, names)
    content = ''.join(f'{line}\n' for line in ('Id', *ids)).encode()
    samples, row_faults = csv_table.name_rows(ids[:limit] if limit else ids)
  if groups:
    row_faults += _find_groupless(samples, group_of)
  files = _Files(images, pattern, white_level)
  file_faults, size_of = files.check(samples, frozenset(names))
  faults = sorted(row_faults + file_faults, key=lambda each: each.row)
  source = csv or images
  unread = [each for each in faults if each.message.startswith(_UNREAD)]
  if unread:
    fault.refuse_unread(unread, source)
  if file_faults and all(
      each.message == _MISSING for each in file_faults) and (not size_of):
    source += _describe_names(images, pattern, names)
  if faults and on_error != 'skip':
    fault.refuse(faults, source)
  bad_rows = {each.row for each in faults}
  kept = [sample for sample in samples if sample.row not in bad_rows]
  if not kept:
    head = f'Expected a sound sample in {source}, received none; mend them'
    raise schema.DataError(fault.describe(head, faults))
  sizes = collections.Counter(size_of[sample.row] for sample in kept)
  table = files.tabulate(kept)
  if fold_column:
    table['fold'] = [sample.fold for sample in kept]
  if groups:
    table['group'] = [group_of[sample.id] for sample in kept]
  return SampleTable(table, dict(sizes),
                     hashlib.sha256(content).hexdigest(), tuple(faults),
                     groups_sha256)


def multi_hot(labels_column: Iterable[Sequence[int]]) -> np.ndarray:
  """Returns [N, K] uint8, 1 where the sample has the label.

  Args:
    labels_column: for each of N samples its labels, 0..K-1.
  """
  labels = list(labels_column)
  hot = np.zeros([len(labels), schema.NUM_CLASSES], np.uint8)
  for row, classes in enumerate(labels):
    hot[row, list(classes)] = 1
  return hot


def _load_groups(groups: str) -> tuple[dict[str, str], str]:
  """Returns the group of each Id, and the file's sha256."""
  content = csv_table.read(groups)
  group_of, faults = csv_table.parse_groups(content, groups)
  if faults:
    # Not for skip: a sample whose group is in doubt may be in two folds.
    head = f'Expected each Id once, with its group, in {groups}; mend it'
    raise schema.DataError(fault.describe(head, faults))
  return group_of, hashlib.sha256(content).hexdigest()


def _find_groupless(samples: Iterable[csv_table.Sample],
                    group_of: dict[str, str]) -> list[fault.Fault]:
  return [
      fault.Fault(
          sample.row, sample.id, '',
          f'expected a group of {sample.id!r} in --groups, received '
          'none') for sample in samples if sample.id not in group_of
  ]


def _list_names(images: str, pattern: str) -> list[str]:
  # One scan: a stat for each of 124,288 files takes minutes on a remote disk.
  try:
    return filesystem.list_names(images, recursive='/' in pattern)
  except OSError as error:
    raise schema.DataError(f'Expected a folder of images at --images={images}, '
                           f'received: {error.strerror}.') from error


def _find_ids(images: str, pattern: str, names: list[str]) -> list[str]:
  """Returns the ids of a set without a CSV, sorted."""
  ids = file_pattern.find_ids(pattern, names)
  if not ids:
    raise schema.DataError(
        f'Expected files named {pattern} at --images={images}, received none'
        f'{_describe_names(images, pattern, names)}.')
  return ids


def _describe_names(images: str, pattern: str, names: list[str]) -> str:
  """Says which other file is there, where none has the name it should have."""
  try:
    there = names or filesystem.list_names(images, recursive=True)
  except OSError:
    there = []
  if not there:
    return f' (there is no file in {images})'
  return (f' (no file there is named as --pattern={pattern} says, but '
          f'{there[0]!r} is there; --pattern tells how files are named)')


@dataclasses.dataclass(frozen=True)
class _Files:
  """The files of the samples: where they are and how they are named."""
  images: str
  pattern: str
  white_level: int

  def tabulate(self, samples: Sequence[csv_table.Sample]) -> pd.DataFrame:
    """Returns SampleTable.table."""
    table = pd.DataFrame(samples, columns=csv_table.Sample._fields)
    del table['fold']
    for channel in schema.CHANNELS:
      names = [file_pattern.name(self.pattern, s.id, channel) for s in samples]
      table[channel] = [os.path.join(self.images, name) for name in names]
    return table

  def check(
      self, samples: Sequence[csv_table.Sample], names: frozenset[str]
  ) -> tuple[list[fault.Fault], dict[int, tuple[int, int]]]:
    """Returns the faulty files, and the (height, width) of each sound row."""
    wanted = [(file_pattern.name(self.pattern, sample.id, channel), channel)
              for sample in samples
              for channel in schema.CHANNELS]
    present = [file for file in wanted if file[0] in names]
    found = {
        name: size
        for (name, _), size in zip(present, self._read_sizes(present))
    }
    faults, size_of = [], {}
    for i, sample in enumerate(samples):
      start = i * schema.NUM_CHANNELS
      files = [name for name, _ in wanted[start:start + schema.NUM_CHANNELS]]
      size, wrong = _compare(files, found)
      faults += [
          fault.Fault(sample.row, sample.id, name, message)
          for name, message in wrong
      ]
      if size:
        size_of[sample.row] = size
    return faults, size_of

  def _read_sizes(
      self, files: Sequence[tuple[str, str]]) -> list[tuple[int, int] | str]:
    """Returns each file's (height, width), or what is wrong with it."""

    def read(start: int) -> list[tuple[int, int] | str]:
      return [
          self._read_size(*file)
          for file in files[start:start + _FILES_PER_TASK]
      ]

    with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
      tasks = pool.map(read, range(0, len(files), _FILES_PER_TASK))
      return [size for task in tasks for size in task]

  def _read_size(self, name: str, channel: str) -> tuple[int, int] | str:
    try:
      return image_file.check(os.path.join(self.images, name), channel,
                              self.white_level)
    except OSError as error:
      return f'{_UNREAD} {error.strerror or error}'
    except schema.DataError as error:
      return str(error)


def _compare(
    names: Sequence[str], found: dict[str, tuple[int, int] | str]
) -> tuple[tuple[int, int] | None, list[tuple[str, str]]]:
  """Returns a sample's size, None without one, and (name, message) of faults.

  The size is that of most of its files, of equally many the first one's.
  """
  sizes = {
      name: found[name] for name in names if isinstance(found.get(name), tuple)
  }
  counted = collections.Counter(sizes.values()).most_common(1)
  size = counted[0][0] if counted else None
  faults = []
  for name in names:
    received = found.get(name, _MISSING)
    if isinstance(received, str):
      faults.append((name, received))
    elif received != size:
      model = next(other for other in sizes if sizes[other] == size)
      faults.append((name, f'expected {size[0]} x {size[1]} pixels like '
                     f'{os.path.basename(model)}, received {received[0]} x '
                     f'{received[1]} (height x width)'))
  return size, faults
