"""CSV + image folder -> one validated table; every fault of the input, at once.

A command that stops at the first bad file of 124,288 is started again for each
of them. So all rows and all file headers are checked before a pixel is
decoded, and the faults are listed together, each with its row and file.

pandas.read_csv turns the id 001 into 1 and NA into nothing, and does not say
in which line a quote stays open; the csv module, given one line at a time,
does. A record is one line, and its row is the line number that an editor
shows: the header is row 1, blank lines are passed over but counted.

Of a PNG only the first 33 bytes (signature, IHDR) and the last 12 (IEND) are
read: they tell depth, colour type, size and a file cut short. What only
decoding can find, convert lists later in the same way, by fault.refuse().
"""

import collections
from concurrent import futures
import csv as csv_module
import dataclasses
import hashlib
import io
import os
import re
from typing import Iterable, NamedTuple, Sequence

import numpy as np
import pandas as pd

from hpa_records import fault
from hpa_records import image_file
from hpa_records import schema

COLUMNS = ('Id', 'Target')
ON_ERROR = ('stop', 'skip')

# Source: PNG specification (W3C), 11.2.5: the last chunk is these 12 bytes.
_END = b'\0\0\0\0IEND\xaeB`\x82'

# More threads than cores: they wait for the disk, above all for a remote one.
_NUM_THREADS = 16
_FILES_PER_TASK = 256


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """The sound samples, and what was left out.

  Attributes:
    table: one row a sample in CSV order, index 0..N-1: id (str), labels (tuple
      of int, ascending, 0..K-1), row (int, as in fault.Fault), and red, green,
      blue, yellow (str, the path of each PNG).
    size_px: (height, width) of every image.
    csv_sha256: hex digest of the whole CSV file.
    faults: what on_error='skip' left out, by row.
  """
  table: pd.DataFrame
  sizes: dict
  csv_sha256: str
  faults: tuple[fault.Fault, ...]


class _Sample(NamedTuple):
  id: str
  labels: tuple[int, ...]
  row: int


def load(csv: str,
         images: str,
         *,
         pattern='',
         white_level=0,
         unlabelled=False,
         limit: int = 0,
         on_error: str = 'stop') -> SampleTable:
  """Returns the checked samples of a CSV and a folder of PNGs.

  Args:
    csv: path of a UTF-8 file with the columns Id and Target; others may follow.
    images: folder that holds <Id>_<channel>.png for each of schema.CHANNELS.
    limit: reads the first so many rows of the CSV, faulty ones included; 0
      reads all.
    on_error: 'stop' refuses faulty samples, 'skip' leaves them out. Of rows
      with the same Id the first is sound, the later ones are faults.

  Raises:
    schema.DataError: the CSV or the folder cannot be read; or a sample is
      faulty and on_error is not 'skip'; or no sample is left.
  """
  content = _read_bytes(csv)
  columns, lines = _split_table(content, csv, limit)
  names = _list_names(images)
  samples, row_faults = _parse_rows(lines, columns)
  file_faults, size_px = _check_files(samples, images, names)
  faults = sorted(row_faults + file_faults, key=lambda each: each.row)
  if faults and on_error != 'skip':
    fault.refuse(faults, csv)
  table = _tabulate(samples, {each.row for each in faults}, images)
  if table.empty:
    head = f'Expected a sound sample in {csv}, received none; mend them'
    raise schema.DataError(fault.describe(head, faults))
  return SampleTable(table, {size_px: len(table)},
                     hashlib.sha256(content).hexdigest(), tuple(faults))


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


def _shorten(text: str) -> str:
  return repr(text if len(text) <= 80 else f'{text[:77]}...')


def _read_bytes(csv: str) -> bytes:
  try:
    with open(csv, 'rb') as file:
      return file.read()
  except OSError as error:
    raise schema.DataError(
        f'Expected a CSV file at {csv}, received: {error.strerror}.') from error


def _split_table(content: bytes, csv: str,
                 limit: int) -> tuple[list[str], list[tuple[int, str]]]:
  """Returns the columns, and (row, text) of the first lines under them."""
  header, *lines = _split_lines(content, csv) or [(1, '')]
  columns = _parse_header(*header, csv)
  if not lines:
    raise schema.DataError(
        f'Expected samples in {csv}, received only a header.')
  return columns, lines[:limit] if limit else lines


def _split_lines(content: bytes, csv: str) -> list[tuple[int, str]]:
  """Returns (row, text) of every line that is not blank."""
  try:
    text = content.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    row = error.object.count(b'\n', 0, error.start) + 1
    byte = error.object[error.start]
    raise schema.DataError(
        f'Expected UTF-8 text in {csv}, received byte '
        f'0x{byte:02x} in row {row}; save it as UTF-8.') from error
  # Not splitlines(), which also cuts at form feeds and U+2028: no editor does.
  lines = enumerate(io.StringIO(text, newline=None), start=1)
  return [(row, line.rstrip('\n')) for row, line in lines if line.strip()]


def _parse_header(row: int, line: str, csv: str) -> list[str]:
  try:
    columns = _split_fields(line)
  except schema.DataError:
    columns = []
  once = len(set(columns)) == len(columns)
  if not once or not set(COLUMNS) <= set(columns):
    raise schema.DataError(
        f'Expected the columns {",".join(COLUMNS)} in row {row} of {csv}, '
        f'separated by commas and each once, received {_shorten(line)}.')
  return columns


def _parse_rows(lines: Iterable[tuple[int, str]],
                columns: list[str]) -> tuple[list[_Sample], list[fault.Fault]]:
  """Returns the samples whose files can be looked up, and all faulty rows."""
  samples, faults, first_rows = [], [], {}
  for row, line in lines:
    try:
      sample_id, target = _pick_fields(line, columns)
    except schema.DataError as error:
      faults.append(fault.Fault(row, '', '', str(error)))
      continue
    labels, wrong_labels = _parse_target(target)
    wrong_id = _check_id(sample_id, row, first_rows)
    faults += [
        fault.Fault(row, sample_id, '', message)
        for message in (wrong_id, wrong_labels)
        if message
    ]
    if not wrong_id:
      samples.append(_Sample(sample_id, labels, row))
  return samples, faults


def _split_fields(line: str) -> list[str]:
  try:
    return next(csv_module.reader([line], strict=True))
  except csv_module.Error as error:
    raise schema.DataError(
        f'expected CSV, received {_shorten(line)} ({error})') from error


def _pick_fields(line: str, columns: list[str]) -> tuple[str, str]:
  fields = _split_fields(line)
  if len(fields) != len(columns):
    raise schema.DataError(f'expected {len(columns)} fields, received '
                           f'{len(fields)}: {_shorten(line)}')
  return fields[columns.index('Id')], fields[columns.index('Target')]


def _check_id(sample_id: str, row: int, first_rows: dict[str, int]) -> str:
  """Returns why an id is refused; empty for a sound one, which is noted."""
  if (not sample_id.isprintable() or sample_id != sample_id.strip() or
      sample_id in ('', '.', '..') or set('/\\') & set(sample_id)):
    return ('expected an Id that is a plain name without path parts, received '
            f'{_shorten(sample_id)}')
  first_row = first_rows.setdefault(sample_id, row)
  return '' if first_row == row else (
      f'expected each Id once, received {_shorten(sample_id)} again, first in '
      f'row {first_row}')


def _parse_target(target: str) -> tuple[tuple[int, ...], str]:
  """Returns the labels and '', or () and why they are refused."""
  # [0-9], since int() also takes '1_0', '+1' and digits of other scripts.
  if re.fullmatch(r'\s*([0-9]{1,9}\s+)*[0-9]{1,9}\s*', target):
    labels = tuple(sorted(map(int, target.split())))
    if len(set(labels)) < len(labels):
      return (), f'expected each label once, received {_shorten(target)}'
    if labels[-1] < schema.NUM_CLASSES:
      return labels, ''
  return (), (f'expected whole numbers 0..{schema.NUM_CLASSES - 1}, separated '
              f'by spaces, in Target, received {_shorten(target)}')


def _list_names(images: str) -> frozenset[str]:
  # One scan: a stat for each of 124,288 files takes minutes on a remote disk.
  try:
    with os.scandir(images) as entries:
      return frozenset(entry.name for entry in entries if entry.is_file())
  except OSError as error:
    raise schema.DataError(f'Expected a folder of PNGs at --images={images}, '
                           f'received: {error.strerror}.') from error


def _check_files(
    samples: Sequence[_Sample], images: str,
    names: frozenset[str]) -> tuple[list[fault.Fault], tuple[int, int]]:
  """Returns the faulty files and the commonest (height, width)."""
  wanted = [(sample.row, sample.id, f'{sample.id}_{channel}.png')
            for sample in samples
            for channel in schema.CHANNELS]
  present = [name for _, _, name in wanted if name in names]
  found = dict(zip(present, _read_sizes(present, images)))
  sizes = [size for size in found.values() if isinstance(size, tuple)]
  # Of equally common sizes the first in the CSV, so timing decides nothing.
  expected = (collections.Counter(sizes).most_common(1) or [((0, 0), 0)])[0][0]
  faults = []
  for file in wanted:
    size = found.get(file[-1], 'expected this file, received none')
    if isinstance(size, str):
      faults.append(fault.Fault(*file, size))
    elif size != expected:
      message = (f'expected {expected[0]} x {expected[1]} pixels as most files '
                 f'have, received {size[0]} x {size[1]} (height x width)')
      faults.append(fault.Fault(*file, message))
  return faults, expected


def _read_sizes(names: Sequence[str],
                images: str) -> list[tuple[int, int] | str]:
  """Returns each file's (height, width), or what is wrong with it."""

  def read(start: int) -> list[tuple[int, int] | str]:
    task = names[start:start + _FILES_PER_TASK]
    return [_read_size(os.path.join(images, name)) for name in task]

  with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    tasks = pool.map(read, range(0, len(names), _FILES_PER_TASK))
    return [size for task in tasks for size in task]


def _read_size(path: str) -> tuple[int, int] | str:
  try:
    with open(path, 'rb', buffering=0) as file:
      head = file.read(image_file.HEADER_BYTES)
      file_bytes = file.seek(0, os.SEEK_END)
      file.seek(max(0, file_bytes - len(_END)))
      tail = file.read(len(_END))
    size = image_file.read_header(head)
  except OSError as error:
    return f'expected a readable file, received: {error.strerror}'
  except schema.DataError as error:
    return str(error)
  return size if tail == _END else (
      'expected a PNG that ends with its IEND chunk, received '
      f'{file_bytes:,} bytes without it: the file was cut short')


def _tabulate(samples: Iterable[_Sample], faulty_rows: set[int],
              images: str) -> pd.DataFrame:
  kept = [sample for sample in samples if sample.row not in faulty_rows]
  table = pd.DataFrame(kept, columns=_Sample._fields)
  for channel in schema.CHANNELS:
    names = [f'{sample.id}_{channel}.png' for sample in kept]
    table[channel] = [os.path.join(images, name) for name in names]
  return table
