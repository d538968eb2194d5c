"""Loads a CSV and an image folder as one validated table.

All rows and all file headers are checked before a pixel is decoded
(sample_files). All issues are listed together, each with its row and file.
convert lists those that only decoding can find in the same way.
"""

import collections
import dataclasses
import hashlib
import sys
from typing import Collection, Iterable, Sequence

import pandas as pd

from hpa_records.images import file_pattern
from hpa_records.ingest import csv_table
from hpa_records.ingest import doubt
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import sample_files
from hpa_records.runtime import errors
from hpa_records.runtime import printable


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """The valid samples, and the issues of the skipped ones.

  Attributes:
    table: one row a sample in CSV order, index 0..N-1: id (str), labels (tuple
      of int, ascending, 0..K-1; () in an unlabelled set), row (int, as in
      issue.Issue), and red, green, blue, yellow (str, the path of each file);
      on request fold (int, 0..num_folds-1) and group (str).
    sizes: number of samples by the (height, width) of their images, in pixels.
    csv_sha256: hex digest of the CSV file, or of the list of ids if there is
      no CSV.
    issues: of the samples that on_error='skip' left out, by row.
    groups_sha256: hex digest of the CSV of groups; '' without one.
  """
  table: pd.DataFrame
  sizes: dict[tuple[int, int], int]
  csv_sha256: str
  issues: tuple[issue.Issue, ...]
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
         on_error: str = 'stop',
         on_doubt: str = 'count') -> SampleTable:
  """Returns the checked samples of a CSV and a folder of images.

  Args:
    csv: path or address of a UTF-8 file with the columns Id and Target, in any
      order, among others. An unlabelled set needs Id only. '' takes the ids
      of an unlabelled set from the files that match the pattern, sorted, and
      prints the number of the other files to stderr.
    images: folder or address with a file for each id and each of
      spec.CHANNELS.
    pattern: of the files' names, see file_pattern.check.
    white_level: as in decode.check.
    unlabelled: whether labels are not read; they are () then.
    limit: number of rows of the CSV to read, invalid ones included; 0 reads
      all.
    fold_column: column of the CSV with each sample's fold; '' reads none.
    num_folds: number of folds in that column.
    groups: path or address of a CSV with the columns Id and group and a row
      for each sample; other Ids are ignored. '' reads none.
    on_error: 'stop' refuses invalid samples, 'skip' leaves them out. Of rows
      with the same Id only the first is valid.
    on_doubt: one of doubt.ON_DOUBT, for samples that look wrong: 'count' prints
      their number to stderr, 'refuse' treats them as invalid.

  Raises:
    errors.DataError: a CSV, the folder or the pattern is invalid; a sample is
      invalid and on_error is 'stop'; no valid sample is left. Also with
      on_error='skip': a file cannot be read, a row of groups is invalid, or
      more than 100,000 samples have invalid files.
  """
  file_pattern.check(pattern)
  if not csv and not unlabelled:
    raise errors.DataError('--csv is missing; pass --csv=PATH, '
                           'or --unlabelled to take the ids from --images.')
  content = csv_table.read(csv) if csv else b''
  group_of, groups_sha256 = _load_groups(groups) if groups else ({}, '')
  if csv:
    samples, row_issues = csv_table.parse(content, csv, unlabelled, limit,
                                          fold_column, num_folds)
    listing = image_folder.scan(images, pattern)
  else:
    listing = image_folder.scan(images, pattern)
    ids = _find_ids(images, pattern, listing)
    # Ids that are not UTF-8 are issues, but count in the digest.
    content = ''.join(
        f'{line}\n' for line in ('Id', *ids)).encode(errors='surrogateescape')
    samples, row_issues = csv_table.name_rows(ids[:limit] if limit else ids)
  if groups:
    row_issues += _find_groupless(samples, group_of)
  files = sample_files.Files(images, pattern, white_level)
  file_issues, measured = files.check(samples, listing)
  wrong_rows = {each.row for each in file_issues}
  source = csv or images
  if file_issues and not measured and all(
      each.kind == issue.MISSING for each in file_issues):
    source += _describe_names(images, pattern, listing)
  _check_number(file_issues, wrong_rows, source)
  doubts = doubt.find([
      doubt.Sample(sample.row, sample.id, files.names(sample.id))
      for sample in samples
      if sample.row not in wrong_rows
  ], images, measured)
  unread = [each for each in file_issues + doubts if each.kind == issue.UNREAD]
  if unread:
    issue.refuse_unread(sorted(unread, key=lambda each: each.row), source)
  issues = row_issues + file_issues
  if on_doubt == 'refuse':
    issues += doubts
  issues.sort(key=lambda each: each.row)
  if issues and on_error != 'skip':
    issue.refuse(issues, source)
  bad_rows = {each.row for each in issues}
  kept = [sample for sample in samples if sample.row not in bad_rows]
  if not kept:
    head = f'No valid samples in {source}; fix them'
    raise errors.DataError(issue.describe(head, issues))
  doubt.print_counts([each for each in doubts if each.row not in bad_rows])
  if not csv:
    _print_unfit(listing.find_unfit(pattern), images, pattern)
  sizes = collections.Counter(
      measured[files.names(sample.id)[0]][:2] for sample in kept)
  table = files.tabulate(kept)
  if fold_column:
    table['fold'] = [sample.fold for sample in kept]
  if groups:
    table['group'] = [group_of[sample.id] for sample in kept]
  return SampleTable(table, dict(sizes),
                     hashlib.sha256(content).hexdigest(), tuple(issues),
                     groups_sha256)


def _load_groups(groups: str) -> tuple[dict[str, str], str]:
  """Returns the group of each Id, and the file's sha256."""
  content = csv_table.read(groups)
  group_of, issues = csv_table.parse_groups(content, groups)
  if issues:
    # Not skipped: a sample with an uncertain group may be in two folds.
    head = f'Invalid rows in {groups}; fix them'
    raise errors.DataError(issue.describe(head, issues))
  return group_of, hashlib.sha256(content).hexdigest()


def _find_groupless(samples: Iterable[csv_table.Sample],
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


def _find_ids(images: str, pattern: str,
              listing: image_folder.Listing) -> list[str]:
  """Returns the ids of a set without a CSV, sorted."""
  ids = listing.find_ids(pattern)
  if not ids and listing.unread:
    issue.refuse_unread([
        f'{name}: cannot be read: {reason}'
        for name, reason in sorted(listing.unread.items())
    ], images)
  if not ids:
    raise errors.DataError(f'No samples found in --images={images}'
                           f'{_describe_names(images, pattern, listing)}.')
  return ids


def _check_number(issues: Sequence[issue.Issue], rows: Collection[int],
                  source: str) -> None:
  """Refuses more than 100,000 invalid samples."""
  if len(rows) > csv_table.MAX_ISSUES:
    raise errors.DataError(
        f'More than {csv_table.MAX_ISSUES:,} samples of {source} have invalid '
        'files; fix them, or pass the right --images. The '
        f'first: {printable.escape_line(str(issues[0]))}.')


def _print_unfit(unfit: Sequence[str], images: str, pattern: str) -> None:
  """Prints the number of files that belong to no sample to stderr, if any."""
  if unfit:
    print(printable.escape(
        f'Ignored {len(unfit):,} files in {images} that do not match '
        f'--pattern={pattern} (such as {unfit[0]}). Rename those that are '
        'images of samples.'),
          file=sys.stderr)


def _describe_names(images: str, pattern: str,
                    listing: image_folder.Listing) -> str:
  """Returns a hint for a folder in which no file matches the pattern."""
  example = image_folder.find_example(images, listing)
  if not example:
    return f' (no files in {images})'
  return (f' (no file matches --pattern={pattern}; one file is '
          f'{printable.quote(example)}: pass the right --pattern)')
