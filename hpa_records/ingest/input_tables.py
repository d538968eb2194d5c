"""Reads a user's tables and lists the folder of images.

No image file is opened. The result is cheap, so it tells whether an earlier
check of the files is still valid (conversion.checked_table).
"""

import dataclasses
import hashlib
import sys
from typing import Iterable, NoReturn, Sequence

from hpa_records.datasets import layout
from hpa_records.ingest import csv_table
from hpa_records.ingest import group_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import joined_table
from hpa_records.ingest import row_reader
from hpa_records.ingest import sample_files
from hpa_records.ingest import samples as samples_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable


@dataclasses.dataclass(frozen=True)
class How:
  """How samples are read.

  Attributes:
    description: of the dataset.
    unlabelled: whether labels are not read; they are () then.
    limit: number of rows of the CSV to read, invalid ones included; 0 reads
      all.
    num_folds: number of folds in the description's fold column, if it has one.
    on_error: 'stop' refuses invalid samples, 'skip' leaves them out. Of rows
      with the same Id only the first is valid.
    on_doubt: one of doubt.ON_DOUBT, for samples that look wrong: 'count' prints
      their number to stderr, 'refuse' treats them as invalid.
  """
  description: layout.Description
  unlabelled: bool = False
  limit: int = 0
  num_folds: int = 0
  on_error: str = 'stop'
  on_doubt: str = 'count'


@dataclasses.dataclass(frozen=True)
class Tables:
  """What the tables and the listing of the folder say; no file was opened.

  Attributes:
    csv: path of the table, or ''.
    images: folder of the image files.
    samples: in the order of the table, or of their ids.
    issues: of rows and names.
    classes: the K names, in order.
    listing: of the folder.
    csv_sha256: hex digest of the tables, or of the list of ids if there are
      none.
    groups_sha256: hex digest of the CSV of groups; '' without one.
  """
  csv: str
  images: str
  samples: list[row_reader.Sample]
  issues: list[issue.Issue]
  classes: tuple[str, ...]
  listing: image_folder.Listing
  csv_sha256: str
  groups_sha256: str

  @property
  def source(self) -> str:
    """The table, or the folder if there is none, for messages."""
    return self.csv or self.images


def read(csv: str, images: str, how: How, groups: str = '') -> Tables:
  """Returns the samples of a CSV and a folder of images, not yet checked.

  Args:
    csv: path or address of a UTF-8 file with the columns that the description
      names, in any order, among others. '' takes the samples from the files
      that match the pattern, sorted, and prints the number of the other files
      to stderr.
    images: folder or address of the files.
    how: how to read.
    groups: path or address of a CSV with the columns Id and group and a row
      for each sample; other Ids are ignored. '' reads none.

  Raises:
    errors.DataError: a CSV or the folder is invalid, or a row of groups is.
  """
  description = how.description
  if csv:
    table = samples_lib.read_table(csv, description, how.unlabelled)
    found = samples_lib.parse(table,
                              description,
                              unlabelled=how.unlabelled,
                              limit=how.limit,
                              num_folds=how.num_folds)
    _print_dropped(table)
    digest = table.sha256
    listing = image_folder.scan(
        images, {name for each in found.samples for name in each.files})
  else:
    listing = image_folder.scan_pattern(images, description.patterns())
    found = samples_lib.find(listing,
                             description,
                             unlabelled=how.unlabelled,
                             limit=how.limit,
                             num_folds=how.num_folds)
    if not found.samples and not found.issues:
      _refuse_empty(images, description, listing)
    digest = _digest_ids(found)
    _print_unfit(listing.find_unfit(description.patterns()), images,
                 description)
  _print_merged(found.merged)
  samples, issues = sample_files.resolve(found.samples, listing)
  issues = found.issues + issues
  groups_sha256 = ''
  if groups:
    group_of, groups_sha256 = _load_groups(groups)
    issues += _find_groupless(samples, group_of)
    samples = [
        each._replace(group=group_of.get(each.id, '')) for each in samples
    ]
  return Tables(csv, images, samples, issues, found.classes, listing, digest,
                groups_sha256)


def describe_names(images: str, description: layout.Description,
                   listing: image_folder.Listing) -> str:
  """Returns a hint for a folder in which no file matches the pattern."""
  example = image_folder.find_example(images, listing)
  if not example:
    return f' (no files in {images})'
  return (
      f' (no file matches --pattern={description.images.pattern}; one file is '
      f'{printable.quote(example)}: pass the right --pattern)')


def _digest_ids(found: samples_lib.Found) -> str:
  """Returns the sha256 of a list of ids, as of a CSV with one a line."""
  # Ids that are not UTF-8 are issues, but count in the digest.
  lines = ['Id', *found.ids]
  lines += [f'{each.id},{each.labels}' for each in found.samples if each.labels]
  text = ''.join(f'{line}\n' for line in lines)
  return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()


def _load_groups(groups: str) -> tuple[dict[str, str], str]:
  """Returns the group of each Id, and the file's sha256."""
  content = csv_table.read(groups)
  group_of, issues = group_table.parse(content, groups)
  if issues:
    # Not skipped: a sample with an uncertain group may be in two folds.
    head = f'Invalid rows in {groups}; fix them'
    raise errors.DataError(issue.describe(head, issues))
  return group_of, hashlib.sha256(content).hexdigest()


def _find_groupless(samples: Iterable[row_reader.Sample],
                    group_of: dict[str, str]) -> list[issue.Issue]:
  names = frozenset(group_of)
  return [
      issue.Issue(
          sample.row, sample.id, '',
          f'no group for {printable.quote(sample.id)} in --groups'
          f'{_name_twin(sample.id, names)}')
      for sample in samples
      if sample.id not in group_of
  ]


def _name_twin(sample_id: str, names: frozenset[str]) -> str:
  twin = printable.find_twin(sample_id, names)
  return (f'; {printable.quote(twin)} has one, which looks the same but has '
          'another Unicode form (NFC, NFD)') if twin else ''


def _refuse_empty(images: str, description: layout.Description,
                  listing: image_folder.Listing) -> NoReturn:
  """Raises the error of a folder without samples."""
  if listing.unread:
    issue.refuse_unread([
        f'{name}: cannot be read: {reason}'
        for name, reason in sorted(listing.unread.items())
    ], images)
  raise errors.DataError(f'No samples found in --images={images}'
                         f'{describe_names(images, description, listing)}.')


def _print_merged(ids: Sequence[str]) -> None:
  if ids:
    print(printable.escape(
        f'Merged repeated labels of {len(ids):,} samples (such as {ids[0]}).'),
          file=sys.stderr)


def _print_dropped(table: joined_table.Table) -> None:
  if table.num_dropped:
    print(printable.escape(
        f'Left out {table.num_dropped:,} rows of {table.csv} without a match '
        f'in a joined table (the first: row {table.first_dropped}).'),
          file=sys.stderr)


def _print_unfit(unfit: Sequence[str], images: str,
                 description: layout.Description) -> None:
  """Prints the number of files that belong to no sample to stderr, if any."""
  if unfit:
    print(printable.escape(
        f'Ignored {len(unfit):,} files in {images} that do not match '
        f'--pattern={description.images.pattern} (such as {unfit[0]}). Rename '
        'those that are images of samples.'),
          file=sys.stderr)
