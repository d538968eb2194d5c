"""Rows of a table, or names of files, to samples, and all invalid rows."""

import dataclasses
import itertools
from typing import NamedTuple

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import joined_table
from hpa_records.ingest import label_reader
from hpa_records.ingest import row_reader
from hpa_records.runtime import errors


class Found(NamedTuple):
  """What a table says.

  Attributes:
    samples: those whose files can be looked up.
    issues: of invalid rows.
    classes: the K names, in order.
    merged: ids of samples whose repeated labels were merged.
    ids: of all samples of a folder, also of invalid ones, sorted.
  """
  samples: list[row_reader.Sample]
  issues: list[issue.Issue]
  classes: tuple[str, ...]
  merged: list[str]
  ids: tuple[str, ...] = ()


def read_table(csv: str, description: layout.Description,
               unlabelled: bool) -> joined_table.Table:
  """Returns a table with those joined to it that are needed.

  Args:
    csv: path or address.
    description: as of parse.
    unlabelled: as of parse.

  Raises:
    errors.DataError: a table cannot be read or is not valid; or the classes
      are folders.
  """
  if description.table.form == 'folders':
    raise errors.DataError(
        'The description takes the classes from the folders of --images '
        '(form = "folders"), not from a table; leave out --csv.')
  needed = None
  if unlabelled:
    needed = row_reader.RowReader(description, (), unlabelled, 0).needed()
  return joined_table.Table(csv, description.table.join, needed)


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
  reader = row_reader.RowReader(description, table.columns, unlabelled,
                                num_folds)
  samples: list[row_reader.Sample] = []
  issues: list[issue.Issue] = []
  for row, values in table.iterate(reader.needed(), limit):
    csv_table.check_count(issues, table.csv)
    if isinstance(values, str):
      issues.append(issue.Issue(row, '', '', values))
      continue
    more, wrong = reader.read(row, values)
    samples += more
    issues += wrong
  if table.num_dropped and not samples and not issues:
    raise errors.DataError(
        f'None of the rows of {table.csv} that were read has a match in a '
        f'joined table (the first: row {table.first_dropped}); correct '
        'table.join in the description.')
  return _finish(samples, issues, description, reader.labels)


def read_valid(csv: str,
               description: layout.Description,
               *,
               unlabelled: bool = False,
               limit: int = 0) -> list[row_reader.Sample]:
  """Returns the samples of a table, all of whose rows are valid.

  Args:
    csv: path or address.
    description: as of parse.
    unlabelled: as of parse.
    limit: as of parse.

  Raises:
    errors.DataError: as of parse; or a row is invalid.
  """
  table = read_table(csv, description, unlabelled)
  found = parse(table, description, unlabelled=unlabelled, limit=limit)
  if found.issues:
    raise errors.DataError(
        issue.describe(f'Invalid rows in {csv}; fix them', found.issues))
  return found.samples


def read_ids(csv: str,
             description: layout.Description) -> list[row_reader.Sample]:
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
         limit: int = 0,
         num_folds: int = 0) -> Found:
  """Returns the samples whose files are in a folder, without a table.

  The result is that of parse for a table of the files' fields, sorted by id.

  Args:
    listing: of the folder.
    description: of the dataset.
    unlabelled: whether labels are not read; else they are the folders' names.
    limit: number of samples to take; 0 takes all.
    num_folds: as of parse.

  Raises:
    errors.DataError: the description needs columns of a table.
  """
  patterns = description.patterns()
  table = description.table
  if not unlabelled and table.form != 'folders':
    raise errors.DataError('--csv is missing; pass --csv=PATH, or --unlabelled '
                           'to take the ids from --images.')
  reader = row_reader.RowReader(description, (), unlabelled, num_folds)
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
    sample_id = reader.name(values)
    rows.append((sample_id, {**dict.fromkeys(table.metadata, ''), **values}))
  rows.sort(key=lambda each: each[0])
  samples, issues = [], []
  for row, (sample_id, values) in enumerate(rows[:limit or None], start=2):
    sample, wrong = reader.read_one(row, values, sample_id,
                                    values.get('id', ''))
    issues += wrong
    samples += sample
  return _finish(samples, issues, description,
                 reader.labels)._replace(ids=tuple(each for each, _ in rows))


def _finish(samples: list[row_reader.Sample], issues: list[issue.Issue],
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
