"""The image files of samples: where they are, how large, what is wrong.

Headers alone are read, and the ends of the files: of a PNG 53 bytes
(images.header). What only decoding can find, convert lists later.
"""

import collections
import dataclasses
import os
from typing import NamedTuple, Sequence

import pandas as pd

from hpa_records.format import spec
from hpa_records.images import decode
from hpa_records.images import file_pattern
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.runtime import errors


class _Wrong(NamedTuple):
  """What is wrong with a file: kind and message of its issue."""
  kind: str
  message: str


@dataclasses.dataclass(frozen=True)
class Files:
  """The files of the samples: where they are and how they are named."""
  images: str
  pattern: str
  white_level: int

  def names(self, sample_id: str) -> tuple[str, ...]:
    """Returns the names of a sample's files, in spec.CHANNELS order."""
    return tuple(
        file_pattern.name(self.pattern, sample_id, channel)
        for channel in spec.CHANNELS)

  def tabulate(self, samples: Sequence[csv_table.Sample]) -> pd.DataFrame:
    """Returns sample_table.SampleTable.table, without folds and groups."""
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
    """Returns the issues of the files, and what was measured.

    Args:
      samples: whose files are looked at.
      listing: what is in the folder.

    Returns:
      The issues in the order of samples, up to the sample that is one too many
      for csv_table.MAX_ISSUES, and of each file that can be read, by name, its
      height and width in pixels and its bytes.
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
          name: found.get(name) or _Wrong(*listing.explain(name))
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
        if not isinstance(each, _Wrong)
    }

  def _measure(self, file: tuple[str, str]) -> tuple[int, int, int] | _Wrong:
    """Returns a file's height, width and bytes, or what is wrong with it."""
    name, channel = file
    try:
      return decode.measure(os.path.join(self.images, name), channel,
                            self.white_level)
    except OSError as error:
      return _Wrong(issue.UNREAD, f'cannot be read: {errors.explain(error)}')
    except errors.DataError as error:
      return _Wrong(issue.WRONG, str(error))


def _compare(
    files: dict[str, tuple[int, int, int] | _Wrong]) -> dict[str, _Wrong]:
  """Returns what is wrong with the files of a sample, by name.

  Its size is that of most of its files, of equally many the first one's.
  """
  sizes = {
      name: each[:2]
      for name, each in files.items()
      if not isinstance(each, _Wrong)
  }
  wrong = {
      name: each for name, each in files.items() if isinstance(each, _Wrong)
  }
  if sizes:
    size = collections.Counter(sizes.values()).most_common(1)[0][0]
    model = next(name for name in sizes if sizes[name] == size)
    wrong.update({
        name:
            _Wrong(
                issue.WRONG, f'expected {size[0]} x {size[1]} pixels like '
                f'{os.path.basename(model)}, received {each[0]} x {each[1]} '
                '(height x width)')
        for name, each in sizes.items()
        if each != size
    })
  return {name: wrong[name] for name in files if name in wrong}
