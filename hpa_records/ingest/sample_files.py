"""Checks the image files of samples by their headers, before decoding.

Only the head and the end of each file are read: 53 bytes of a PNG
(images.header). Issues that only decoding can find are listed by convert.
"""

import collections
import os
from typing import NamedTuple, Sequence

from hpa_records.images import decode
from hpa_records.images import how as how_lib
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import row_reader
from hpa_records.runtime import errors


class _Issue(NamedTuple):
  """Kind and message of a file's issue."""
  kind: str
  message: str


def resolve(
    samples: Sequence[row_reader.Sample], listing: image_folder.Listing
) -> tuple[list[row_reader.Sample], list[issue.Issue]]:
  """Returns the samples with the names of their files, and issues of names.

  Args:
    samples: whose names may be filled patterns.
    listing: of the folder.
  """
  found, issues = [], []
  for sample in samples:
    names = []
    for name in sample.files:
      name, wrong = listing.find_file(name)
      names.append(name)
      if wrong:
        issues.append(issue.Issue(sample.row, sample.id, name, wrong))
    found.append(sample._replace(files=tuple(names)))
  return found, issues


def check(
    samples: Sequence[row_reader.Sample], images: str,
    listing: image_folder.Listing,
    how: how_lib.How) -> tuple[list[issue.Issue], dict[str, decode.Measured]]:
  """Returns the issues of the files, and the sizes of the readable ones.

  Args:
    samples: the samples whose files are checked.
    images: folder of the files, or its address.
    listing: of the folder.
    how: how they will be loaded.

  Returns:
    The issues in the order of samples, up to the first sample above
    csv_table.MAX_ISSUES; and the header of each readable file, by name.
  """

  def measure(file: tuple[str, int]) -> decode.Measured | _Issue:
    name, channel = file
    try:
      return decode.measure(os.path.join(images, name), how, channel)
    except OSError as error:
      return _Issue(issue.UNREAD, f'cannot be read: {errors.explain(error)}')
    except errors.DataError as error:
      return _Issue(issue.WRONG, str(error))

  present = [(name, channel)
             for sample in samples
             for channel, name in enumerate(sample.files)
             if name in listing.files]
  found = dict(
      zip((name for name, _ in present),
          image_folder.map_files(measure, present)))
  issues, num_wrong = [], 0
  for sample in samples:
    wrong = _compare({
        name: found.get(name) or _Issue(*listing.explain(name))
        for name in sample.files
    })
    issues += [
        issue.Issue(sample.row, sample.id, name, each.message, each.kind)
        for name, each in wrong.items()
    ]
    num_wrong += bool(wrong)
    if num_wrong > csv_table.MAX_ISSUES:
      break
  return issues, {
      name: each
      for name, each in found.items()
      if not isinstance(each, _Issue)
  }


def _compare(files: dict[str, decode.Measured | _Issue]) -> dict[str, _Issue]:
  """Returns the issues of a sample's files, by name.

  Files must have the size and bit depth that most of the sample's files have;
  in a tie, the first one's.
  """
  kinds = {
      name: (each.height, each.width, each.depth)
      for name, each in files.items()
      if not isinstance(each, _Issue)
  }
  wrong = {
      name: each for name, each in files.items() if isinstance(each, _Issue)
  }
  if kinds:
    kind = collections.Counter(kinds.values()).most_common(1)[0][0]
    model = next(name for name in kinds if kinds[name] == kind)
    wrong.update({
        name: _Issue(issue.WRONG, _describe_other(kind, model, each))
        for name, each in kinds.items()
        if each != kind
    })
  return {name: wrong[name] for name in files if name in wrong}


def _describe_other(kind: tuple[int, int, str], model: str,
                    received: tuple[int, int, str]) -> str:
  like = f'like {os.path.basename(model)}, received'
  if kind[:2] != received[:2]:
    return (f'expected {kind[0]} x {kind[1]} pixels {like} {received[0]} x '
            f'{received[1]} (height x width)')
  return f'expected {kind[2]} pixels {like} {received[2]}'
