"""CSV + image folder -> one validated table; every issue of the input, at once.

A command that stops at the first bad file of 124,288 is started again for each
of them. So all rows and all file headers are checked before a pixel is
decoded (sample_files), and the issues are listed together, each with its row
and file. What only decoding can find, convert lists later in the same way, by
issue.refuse().
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

ON_ERROR = ('stop', 'skip')


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """The valid samples, and what was left out.

  Attributes:
    table: one row a sample in CSV order, index 0..N-1: id (str), labels (tuple
      of int, ascending, 0..K-1; empty in an unlabelled set), row (int, as in
      issue.Issue), and red, green, blue, yellow (str, the path of each file);
      where asked for, fold (int, 0..num_folds-1) and group (str).
    sizes: number of samples by the (height, width) of their images.
    csv_sha256: hex digest of the whole CSV file, or of the list of ids that
      stands for it.
    issues: what on_error='skip' left out, by row.
    groups_sha256: hex digest of the whole CSV of groups; '' without one.
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
    csv: path of a UTF-8 file with the columns Id and Target; others may
      follow. An unlabelled set needs Id only, or no CSV: with '' its ids are
      those of the files that fit the pattern, sorted, and stand for a CSV of
      the lines 'Id' and one id each; a line on stderr counts the other files.
    images: folder that holds a file for each id and each of spec.CHANNELS.
      It and csv may be addresses.
    pattern: of the files' names, see file_pattern.check.
    white_level: as in decode.check.
    unlabelled: every sample's labels are ().
    limit: takes the first so many rows of the CSV, invalid ones included; 0
      takes all.
    fold_column: column of the CSV that holds each sample's fold; '' is none.
    num_folds: how many folds that column has.
    groups: path of a CSV with the columns Id and group, where each sample must
      have a group; '' is none. It may be an address, and may have other Ids.
    on_error: 'stop' refuses invalid samples, 'skip' leaves them out. Of rows
      with the same Id the first is sound, the later ones are issues.
    on_doubt: one of doubt.ON_DOUBT, what becomes of samples that look wrong:
      'count' counts them in a line on stderr, to 'refuse' they are invalid.

  Raises:
    errors.DataError: a CSV, the folder or the pattern cannot be used; or a
      file cannot be read, a row of groups is invalid, or more than 100,000
      samples have invalid files, which skip does not forgive; or a sample is
      invalid and on_error is not 'skip'; or no sample is left.
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
    # Ids that are not UTF-8 are issues, but count as any other.
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
    head = f'No sample in {source} is valid; fix them'
    raise errors.DataError(issue.describe(head, issues))
  doubt.tell([each for each in doubts if each.row not in bad_rows])
  if not csv:
    _tell_unfit(listing.find_unfit(pattern), images, pattern)
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
    # Not for skip: a sample whose group is in doubt may be in two folds.
    head = f'Invalid rows in {groups}; fix them'
    raise errors.DataError(issue.describe(head, issues))
  return group_of, hashlib.sha256(content).hexdigest()


def _find_groupless(samples: Iterable[csv_table.Sample],
                    group_of: dict[str, str]) -> list[issue.Issue]:
  names = frozenset(group_of)
  return [
      issue.Issue(
          sample.row, sample.id, '',
          f'expected a group of {printable.quote(sample.id)} in --groups, '
          f'received {_name_twin(sample.id, names)}')
      for sample in samples
      if sample.id not in group_of
  ]


def _name_twin(sample_id: str, names: frozenset[str]) -> str:
  twin = printable.find_twin(sample_id, names)
  return (f'one of {printable.quote(twin)}, which looks the same but is '
          'spelled otherwise (Unicode NFC, NFD)') if twin else 'none'


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
    raise errors.DataError(f'No sample is found in --images={images}'
                           f'{_describe_names(images, pattern, listing)}.')
  return ids


def _check_number(issues: Sequence[issue.Issue], rows: Collection[int],
                  source: str) -> None:
  """Refuses more invalid samples than a list can help with."""
  if len(rows) > csv_table.MAX_ISSUES:
    raise errors.DataError(
        f'More than {csv_table.MAX_ISSUES:,} samples of {source} have invalid '
        'files; fix them, or pass the --images that belong to them. The '
        f'first: {printable.escape_line(str(issues[0]))}.')


def _tell_unfit(unfit: Sequence[str], images: str, pattern: str) -> None:
  """Prints one line that counts the files that are no sample's, if any are."""
  if unfit:
    print(printable.escape(
        f'Files left out: {len(unfit):,} in {images} that do not fit '
        f'--pattern={pattern} (such as {unfit[0]}). Rename those that are '
        'images of samples.'),
          file=sys.stderr)


def _describe_names(images: str, pattern: str,
                    listing: image_folder.Listing) -> str:
  """Says which other file is there, where none has the name it should have."""
  there = image_folder.find_example(images, listing)
  if not there:
    return f' (there is no file in {images})'
  return (f' (no file there is named like --pattern={pattern}; one is '
          f'{printable.quote(there)}: pass the right --pattern)')
