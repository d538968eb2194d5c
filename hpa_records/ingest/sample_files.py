"""Checks the image files of samples by their headers, before decoding.

Only the head and the end of each file are read: 53 bytes of a PNG
(images.header). Issues that only decoding can find are listed by convert.
"""

import collections
import dataclasses
import os
from typing import NamedTuple, Sequence

import pandas as pd

from hpa_records.format import spec
from hpa_records.images import decode
from hpa_records.images import file_pattern
from hpa_records.images import how as how_lib
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.runtime import errors


class _Issue(NamedTuple):
  """Kind and message of a file's issue."""
  kind: str
  message: str


@dataclasses.dataclass(frozen=True)
class Files:
  """Where the image files of samples are and how they are named.

  Attributes:
    images: folder of the files, or its address.
    pattern: of their names, see file_pattern.check.
    white_level: as in decode.check.
  """
  images: str
  pattern: str
  white_level: int

  def names(self, sample_id: str) -> tuple[str, ...]:
    """Returns the names of a sample's files, in spec.CHANNELS order."""
    return tuple(
        file_pattern.name(self.pattern, sample_id, channel)
        for channel in spec.CHANNELS)

  def tabulate(self, samples: Sequence[csv_table.Sample]) -> pd.DataFrame:
    """Returns sample_table.SampleTable.table without folds and groups.
    """
    table = pd.DataFrame(samples, columns=csv_table.Sample._fields)
    del table['fold']
    for channel in spec.CHANNELS:
      names = [file_pattern.name(self.pattern, s.id, channel) for s in samples]
      # As objects: a path need not be UTF-8, as pandas' strings must.
      table[channel] = pd.Series(
          [os.path.join(self.images, name) for name in names], dtype=object)
    return table

  def check(
      self, samples: Sequence[csv_table.Sample], listing: image_folder.Listing
  ) -> tuple[list[issue.Issue], dict[str, tuple[int, int, int]]]:
    """Returns the issues of the files, and the sizes of the readable ones.

    Args:
      samples: the samples whose files are checked.
      listing: of the folder.

    Returns:
      The issues in the order of samples, up to the first sample above
      csv_table.MAX_ISSUES; and (height in pixels, width in pixels, size in
      bytes) of each readable file, by name.
    """
    present = [(name, channel)
               for sample in samples
               for name, channel in zip(self.names(sample.id), spec.CHANNELS)
               if name in listing.files]
    found = dict(
        zip((name for name, _ in present),
            image_folder.map_files(self._measure, present)))
    issues, num_wrong = [], 0
    for sample in samples:
      files = {
          name: found.get(name) or _Issue(*listing.explain(name))
          for name in self.names(sample.id)
      }
      wrong = _compare(files)
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

  def _measure(self, file: tuple[str, str]) -> tuple[int, int, int] | _Issue:
    """Returns a file's (height, width, size in bytes), or its issue."""
    name, channel = file
    try:
      how = how_lib.of_settings(1, 'triangle', self.white_level)
      return decode.measure(os.path.join(self.images, name), how,
                            how.channels.index(channel))[:3]
    except OSError as error:
      return _Issue(issue.UNREAD, f'cannot be read: {errors.explain(error)}')
    except errors.DataError as error:
      return _Issue(issue.WRONG, str(error))


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
