"""Loads a CSV and an image folder as one validated table.

All rows (samples) and all file headers (sample_files) are checked before a
pixel is decoded. All issues are listed together, each with its row and file.
convert lists those that only decoding can find in the same way.
"""

import collections
import dataclasses
from typing import Collection, Mapping, Sequence

import pandas as pd

from hpa_records.images import decode
from hpa_records.ingest import csv_table
from hpa_records.ingest import doubt
from hpa_records.ingest import input_tables
from hpa_records.ingest import issue
from hpa_records.ingest import row_reader
from hpa_records.ingest import sample_files
from hpa_records.runtime import errors
from hpa_records.runtime import printable


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """The valid samples, and the issues of the skipped ones.

  Attributes:
    table: one row a sample in CSV order, index 0..N-1: id (str), labels (tuple
      of int, ascending, 0..K-1; () in an unlabelled set), row (int, as in
      issue.Issue), files (tuple of str, names in the folder), fold (int, or
      None without a fold column), group and plate (str, '' without),
      pixel_um (float, 0 if unknown) and metadata (tuple of str).
    sizes: number of samples by the (height, width) of their images, in pixels.
    csv_sha256: as of input_tables.Tables.
    issues: of the samples that on_error='skip' left out, by row.
    classes: the K names, in order.
    requested: names of the files, by id, of all samples of the table, also of
      those that were left out for their files.
    groups_sha256: as of input_tables.Tables.
    depths: number of samples by the depth of their files, as of
      decode.Measured; {} in a table that was checked earlier.
  """
  table: pd.DataFrame
  sizes: dict[tuple[int, int], int]
  csv_sha256: str
  issues: tuple[issue.Issue, ...]
  classes: tuple[str, ...]
  requested: dict[str, tuple[str, ...]]
  groups_sha256: str = ''
  depths: dict[str, int] = dataclasses.field(default_factory=dict)


def load(csv: str,
         images: str,
         how: input_tables.How,
         groups: str = '') -> SampleTable:
  """Returns the checked samples of a CSV and a folder of images.

  Args and errors: as of input_tables.read and check.
  """
  return check(input_tables.read(csv, images, how, groups), how)


def check(tables: input_tables.Tables, how: input_tables.How) -> SampleTable:
  """Returns the valid samples, after the headers of all files were read.

  Args:
    tables: from input_tables.read.
    how: as of input_tables.read.

  Raises:
    errors.DataError: a sample is invalid and on_error is 'stop'; no valid
      sample is left. Also with on_error='skip': a file cannot be read, or more
      than 100,000 samples have invalid files.
  """
  samples, source = tables.samples, tables.source
  description = how.description
  wrong = {(each.row, each.id) for each in tables.issues if each.file}
  file_issues, measured = sample_files.check(
      [each for each in samples if (each.row, each.id) not in wrong],
      tables.images, tables.listing, description.how(1))
  wrong |= {(each.row, each.id) for each in file_issues}
  if file_issues and not measured and all(
      each.kind == issue.MISSING for each in file_issues):
    source += input_tables.describe_names(tables.images, description,
                                          tables.listing)
  if description.needs_levels:
    file_issues += _compare_depths(
        [each for each in samples if (each.row, each.id) not in wrong],
        measured)
    wrong |= {(each.row, each.id) for each in file_issues}
  _check_number(file_issues, wrong, source)
  doubts = doubt.find(
      [each for each in samples if (each.row, each.id) not in wrong],
      tables.images, measured)
  unread = [each for each in file_issues + doubts if each.kind == issue.UNREAD]
  if unread:
    issue.refuse_unread(sorted(unread, key=lambda each: each.row), source)
  issues = tables.issues + file_issues
  if how.on_doubt == 'refuse':
    issues += doubts
  issues.sort(key=lambda each: each.row)
  if issues and how.on_error != 'skip':
    issue.refuse(issues, source)
  bad = {(each.row, each.id) for each in issues}
  kept = [each for each in samples if (each.row, each.id) not in bad]
  if not kept:
    head = f'No valid samples in {source}; fix them'
    raise errors.DataError(issue.describe(head, issues))
  doubt.print_counts(
      [each for each in doubts if (each.row, each.id) not in bad])
  heads = [measured[each.files[0]] for each in kept]
  sizes = collections.Counter(each[:2] for each in heads)
  depths = collections.Counter(each.depth for each in heads)
  with_files = {(each.row, each.id) for each in issues if each.file}
  return SampleTable(
      pd.DataFrame(kept, columns=row_reader.Sample._fields), dict(sizes),
      tables.csv_sha256, tuple(issues), tables.classes, {
          each.id: each.files
          for each in samples
          if (each.row, each.id) not in bad or (each.row, each.id) in with_files
      }, tables.groups_sha256, dict(depths))


def _compare_depths(
    samples: Sequence[row_reader.Sample],
    measured: Mapping[str, decode.Measured]) -> list[issue.Issue]:
  """Returns issues of samples whose bit depth is not that of their plate."""
  counts: dict[str, collections.Counter] = {}
  for each in samples:
    depth = measured[each.files[0]].depth
    counts.setdefault(each.plate, collections.Counter())[depth] += 1
  usual = {plate: each.most_common(1)[0][0] for plate, each in counts.items()}
  return [
      issue.Issue(
          each.row, each.id, each.files[0],
          f'expected {usual[each.plate]} pixels like most images that share '
          f'its intensity, received {measured[each.files[0]].depth}')
      for each in samples
      if measured[each.files[0]].depth != usual[each.plate]
  ]


def _check_number(issues: Sequence[issue.Issue],
                  wrong: Collection[tuple[int, str]], source: str) -> None:
  """Refuses more than 100,000 invalid samples."""
  if len(wrong) > csv_table.MAX_ISSUES:
    raise errors.DataError(
        f'More than {csv_table.MAX_ISSUES:,} samples of {source} have invalid '
        'files; fix them, or pass the right --images. The '
        f'first: {printable.escape_line(str(issues[0]))}.')
