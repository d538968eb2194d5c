"""Rows of a table, or names of files, to samples, and all invalid rows."""

import dataclasses
import itertools
import math
import re
from typing import Mapping, NamedTuple, Sequence

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.ingest import csv_table
from hpa_records.ingest import group_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import joined_table
from hpa_records.ingest import label_reader
from hpa_records.runtime import errors
from hpa_records.runtime import printable

# Between the values of several columns that are one group; not in a file name.
_BETWEEN = '|'
_MAX_TEXT = 1000  # characters of a metadata column
_FILE_FIELDS = ('id', 'channel', 'class')


class Sample(NamedTuple):
  """One sample of a table.

  Attributes:
    id: of the sample.
    labels: 0..K-1, ascending; () without labels.
    row: as in issue.Issue.
    files: names of its files in the folder, one a channel, or one; see
      image_folder.Listing.find_file.
    fold: of the table; None without a fold column.
    group: '' without groups.
    plate: '' if no intensity of plates is needed.
    pixel_um: size of a pixel in micrometers; 0 if unknown.
    metadata: values of the columns to copy.
  """
  id: str
  labels: tuple[int, ...]
  row: int
  files: tuple[str, ...] = ()
  fold: int | None = None
  group: str = ''
  plate: str = ''
  pixel_um: float = 0.0
  metadata: tuple[str, ...] = ()


class Found(NamedTuple):
  """What a table says.

  Attributes:
    samples: those whose files can be looked up.
    issues: of invalid rows.
    classes: the K names, in order.
    merged: ids of samples whose repeated labels were merged.
    ids: of all samples of a folder, also of invalid ones, sorted.
  """
  samples: list[Sample]
  issues: list[issue.Issue]
  classes: tuple[str, ...]
  merged: list[str]
  ids: tuple[str, ...] = ()


class _Reader:
  """Makes samples of the values of rows."""

  def __init__(self, description: layout.Description, columns: Sequence[str],
               unlabelled: bool, num_folds: int):
    self._description, self._table = description, description.table
    self._num_folds = num_folds
    self._plate = description.table.plate if description.needs_plates else ()
    self._patterns = description.patterns()
    self._first_rows: dict[str, int] = {}
    self._groups = group_table.Names()
    self.labels = None
    if not unlabelled:
      self.labels = label_reader.LabelReader(description, columns)

  def needed(self) -> list[str]:
    """Returns the columns that are read, without those of `each`."""
    table, names = self._table, []
    names += (template_lib.find_fields(table.id)
              if '{' in table.id else [table.id])
    if self.labels:
      names += [*self.labels.columns, *table.group]
      names += filter(None, [table.fold])
    names += [*self._plate, *table.metadata]
    if isinstance(self._description.images.pixel_um, str):
      names.append(self._description.images.pixel_um)
    for pattern in self._patterns:
      names += [
          each for each in template_lib.find_fields(pattern)
          if each not in _FILE_FIELDS
      ]
    made = {name for name, _ in table.each}
    return [each for each in dict.fromkeys(names) if each not in made]

  def read(self, row: int,
           values: dict[str, str]) -> tuple[list[Sample], list[issue.Issue]]:
    """Returns the samples of a row of a table, and its issues.

    Args:
      row: as of issue.Issue.
      values: texts by column.
    """
    samples, issues = [], []
    names = [name for name, _ in self._table.each]
    for chosen in itertools.product(*(each for _, each in self._table.each)):
      more, wrong = self.read_one(row, {**values, **dict(zip(names, chosen))})
      samples += more
      issues += wrong
    return samples, issues

  def read_one(
      self, row: int,
      values: dict[str, str]) -> tuple[list[Sample], list[issue.Issue]]:
    """As read, of one sample; values include the fields of its files."""
    sample, wrong = self._read(row, values)
    issues = [
        issue.Issue(row, sample.id, '', message) for message in wrong if message
    ]
    return [] if wrong[0] else [sample], issues

  def name(self, values: Mapping[str, str]) -> str:
    """Returns the id of a sample."""
    if 'id' in values:
      return values['id']
    template = self._table.id
    return (template_lib.fill(template, values)
            if '{' in template else values[template])

  def _read(self, row: int, values: dict[str, str]) -> tuple[Sample, list[str]]:
    """Returns a sample, and messages; the first is of its id or its files."""
    table, sample_id = self._table, self.name(values)
    wrong = [issue.find_id_issue(sample_id, row, self._first_rows)]
    labels, fold, group = (), None, ''
    if self.labels:
      labels, message = (self.labels.read_name(values['class'], sample_id)
                         if table.form == 'folders' else self.labels.read(
                             values, sample_id))
      wrong.append(message)
      if table.fold:
        fold, message = _parse_fold(values[table.fold], table.fold,
                                    self._num_folds)
        wrong.append(message)
      if table.group:
        group = _BETWEEN.join(values[each].strip() for each in table.group)
        wrong.append(self._groups.find_issue(group, row))
    files, message = self._name_files({**values, 'id': sample_id})
    wrong[0] = wrong[0] or message
    pixel_um, message = self._read_pixel_um(values)
    wrong.append(message)
    metadata = tuple(values[each] for each in table.metadata)
    wrong += [
        f'more than {_MAX_TEXT:,} characters in {name}'
        for name, text in zip(table.metadata, metadata)
        if len(text) > _MAX_TEXT
    ]
    plate = _BETWEEN.join(values[each].strip() for each in self._plate)
    return Sample(sample_id, labels, row, files, fold, group, plate, pixel_um,
                  metadata), wrong

  def _name_files(self, values: Mapping[str,
                                        str]) -> tuple[tuple[str, ...], str]:
    names = []
    for pattern in self._patterns:
      for field in template_lib.find_fields(pattern):
        if not values[field].strip():
          return (), f'empty cell in {field}, which names a file'
      name = template_lib.fill(pattern, values)
      if (not name.isprintable() or '\\' in name or
          set(name.split('/')) & {'', '.', '..'}):
        return (), ('expected the name of a file in the folder of images, '
                    f'received {printable.quote(name)}')
      names.append(template_lib.fill_pattern(pattern, values))
    if len(set(names)) < len(names):
      return (
      ), f'two channels have the same file: {printable.show_list(names)}'
    return tuple(names), ''

  def _read_pixel_um(self, values: Mapping[str, str]) -> tuple[float, str]:
    wanted = self._description.images.pixel_um
    if not isinstance(wanted, str):
      return wanted, ''
    try:
      found = float(values[wanted])
    except ValueError:
      found = math.nan
    if 0 < found < layout.MAX_UM:
      return found, ''
    return 0.0, (f'expected the size of a pixel in micrometers, above 0, in '
                 f'{wanted}, received {printable.quote(values[wanted])}')


def parse(table: joined_table.Table,
          description: layout.Description,
          *,
          unlabelled: bool = False,
          limit: int = 0,
          num_folds: int = 0) -> Found:
  """Returns the samples of a table.

  Args:
    table: the rows.
    description: of the dataset.
    unlabelled: whether labels, groups and folds are not read.
    limit: number of rows to read, invalid ones included; 0 reads all.
    num_folds: number of folds in the fold column, if there is one.

  Raises:
    errors.DataError: a table is not valid, lacks a column, has no rows, or has
      more than 100,000 issues.
  """
  reader = _Reader(description, table.columns, unlabelled, num_folds)
  samples: list[Sample] = []
  issues: list[issue.Issue] = []
  for row, values in table.iterate(reader.needed(), limit):
    csv_table.check_count(issues, table.csv)
    if isinstance(values, str):
      issues.append(issue.Issue(row, '', '', values))
      continue
    more, wrong = reader.read(row, values)
    samples += more
    issues += wrong
  return _finish(samples, issues, description, reader.labels)


def read_valid(csv: str,
               description: layout.Description,
               *,
               unlabelled: bool = False,
               limit: int = 0) -> list[Sample]:
  """Returns the samples of a table, all of whose rows are valid.

  Args:
    csv: path or address.
    description: as of parse.
    unlabelled: as of parse.
    limit: as of parse.

  Raises:
    errors.DataError: as of parse; or a row is invalid.
  """
  table = joined_table.Table(csv, description.table.join)
  found = parse(table, description, unlabelled=unlabelled, limit=limit)
  if found.issues:
    raise errors.DataError(
        issue.describe(f'Invalid rows in {csv}; fix them', found.issues))
  return found.samples


def read_ids(csv: str, description: layout.Description) -> list[Sample]:
  """Returns the samples of a table, of which only the id and row are read.

  Args and errors: as of read_valid.
  """
  table = layout.Table(id=description.table.id, each=description.table.each)
  images = layout.Images(pattern='{id}', stacked='planes')
  return read_valid(csv,
                    dataclasses.replace(description, table=table,
                                        images=images),
                    unlabelled=True)


def find(listing: image_folder.Listing,
         description: layout.Description,
         *,
         unlabelled: bool = False,
         limit: int = 0) -> Found:
  """Returns the samples whose files are in a folder, without a table.

  The result is that of parse for a table of the files' fields, sorted by id.

  Args:
    listing: of the folder.
    description: of the dataset.
    unlabelled: whether labels are not read; else they are the folders' names.
    limit: number of samples to take; 0 takes all.

  Raises:
    errors.DataError: the description needs columns of a table.
  """
  patterns = description.patterns()
  table = description.table
  if not unlabelled and table.form != 'folders':
    raise errors.DataError('--csv is missing; pass --csv=PATH, or --unlabelled '
                           'to take the ids from --images.')
  reader = _Reader(description, (), unlabelled, 0)
  fields = set(itertools.chain(*map(template_lib.find_fields, patterns)))
  missing = set(reader.needed()) - fields - set(table.metadata)
  if 'id' in fields:
    missing -= {*template_lib.find_fields(table.id), table.id}
  if missing or any(map(template_lib.has_modifier, patterns)):
    names = f' ({", ".join(sorted(missing))})' if missing else ''
    raise errors.DataError(f'The names of the files in --images need a table'
                           f'{names}; pass --csv=PATH.')
  rows = []
  for values in listing.find_values(patterns):
    values = {**dict.fromkeys(table.metadata, ''), **values}
    rows.append((reader.name(values), values))
  rows.sort(key=lambda each: each[0])
  samples, issues = [], []
  for row, (_, values) in enumerate(rows[:limit or None], start=2):
    sample, wrong = reader.read_one(row, values)
    issues += wrong
    samples += sample
  return _finish(samples, issues, description,
                 reader.labels)._replace(ids=tuple(each for each, _ in rows))


def _finish(samples: list[Sample], issues: list[issue.Issue],
            description: layout.Description,
            labels: label_reader.LabelReader | None) -> Found:
  classes = tuple(each.name for each in description.classes)
  if labels and labels.from_table and (labels.has_classes or not issues):
    classes = labels.classes
    renumbered = labels.renumber(each.labels for each in samples)
    samples = [
        each._replace(labels=numbers)
        for each, numbers in zip(samples, renumbered)
    ]
  return Found(samples, issues, classes, labels.merged if labels else [])


def _parse_fold(text: str, name: str, num_folds: int) -> tuple[int, str]:
  """Returns the fold and '', or 0 and the message of an issue."""
  if re.fullmatch(r'\s*[0-9]{1,9}\s*', text) and int(text) < num_folds:
    return int(text), ''
  return 0, (f'expected a fold 0..{num_folds - 1} in {name}, received '
             f'{printable.quote(text)}')
