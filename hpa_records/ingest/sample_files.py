"""Checks the image files of samples by their headers, before decoding.

Only the head and the end of each file are read: 53 bytes of a PNG
(images.header). Issues that only decoding can find are listed by convert.
"""

import collections
import os
from typing import NamedTuple, Sequence

from hpa_records.images import decode
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import samples as samples_lib
from hpa_records.runtime import errors


class _Issue(NamedTuple):
  """Kind and message of a file's issue."""
  kind: str
  message: str


def resolve(
    samples: Sequence[samples_lib.Sample], listing: image_folder.Listing
) -> tuple[list[samples_lib.Sample], list[issue.Issue]]:
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
    samples: Sequence[samples_lib.Sample], images: str,
    listing: image_folder.Listing, channels: Sequence[str], white_level: int
) -> tuple[list[issue.Issue], dict[str, tuple[int, int, int]]]:
  """Returns the issues of the files, and the sizes of the readable ones.

  Args:
    samples: the samples whose files are checked.
    images: folder of the files, or its address.
    listing: of the folder.
    channels: names of the channels, in the order of a sample's files.
    white_level: as in decode.check.

  Returns:
    The issues in the order of samples, up to the first sample above
    csv_table.MAX_ISSUES; and (height in pixels, width in pixels, size in
    bytes) of each readable file, by name.
  """

  def measure(file: tuple[str, str]) -> tuple[int, int, int] | _Issue:
    name, channel = file
    try:
      return decode.measure(os.path.join(images, name), channel, white_level)
    except OSError as error:
      return _Issue(issue.UNREAD, f'cannot be read: {errors.explain(error)}')
    except errors.DataError as error:
      return _Issue(issue.WRONG, str(error))

  present = [(name, channel)
             for sample in samples
             for name, channel in zip(sample.files, channels)
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


def _compare(
    files: dict[str, tuple[int, int, int] | _Issue]) -> dict[str, _Issue]:
  """Returns the issues of a sample's files, by name.

  Files must have the size that most of the sample's files have; in a tie, the
  first one's.
  """
  sizes = {
      name: each[:2]
      for name, each in files.items()
      if not isinstance(each, _Issue)
  }
  wrong = {
      name: each for name, each in files.items() if isinstance(each, _Issue)
  }
  if sizes:
    size = collections.Counter(sizes.values()).most_common(1)[0][0]
    model = next(name for name in sizes if sizes[name] == size)
    wrong.update({
        name:
            _Issue(
                issue.WRONG, f'expected {size[0]} x {size[1]} pixels like '
                f'{os.path.basename(model)}, received {each[0]} x {each[1]} '
                '(height x width)')
        for name, each in sizes.items()
        if each != size
    })
  return {name: wrong[name] for name in files if name in wrong}
