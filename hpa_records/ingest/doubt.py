"""Samples that are read but look wrong: not square, or two channels the same.

Both can be meant: a field of view that is wide, two channels that are black.
Both are also what a wrong crop or a wrong copy looks like, and show nowhere
later. So they are counted in a line, or refused on request.

Headers tell the shape. Of files of equal size a few bytes in the middle tell
nearly all apart, and the rest are read: of PNGs hardly any, of TIFFs that are
not compressed 512 bytes each.
"""

import collections
import itertools
import os
import sys
from typing import Iterator, Mapping, NamedTuple, Sequence

from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

ON_DOUBT = ('count', 'refuse')

_PROBE_BYTES = 512


class Sample(NamedTuple):
  """A sample without an issue: its row, id, and the names of its files."""
  row: int
  id: str
  files: tuple[str, ...]


def find(samples: Sequence[Sample], images: str,
         measured: Mapping[str, tuple[int, int, int]]) -> list[issue.Issue]:
  """Returns what looks wrong, and the files that could not be read for it.

  Args:
    samples: those to look at.
    images: folder of their files.
    measured: of each file its height and width in pixels, and its bytes.
  """
  found = []
  for each in samples:
    height, width, _ = measured[each.files[0]]
    if height != width:
      found.append(
          issue.Issue(
              each.row, each.id, '', 'expected a square image, received '
              f'{height} x {width} (height x width), which is squeezed',
              issue.DOUBT))
  alike = [
      each for each in samples
      if len({measured[name][2] for name in each.files}) < len(each.files)
  ]
  same = image_folder.map_files(
      lambda each: list(_find_same(each, images, measured)), alike)
  return found + list(itertools.chain.from_iterable(same))


def tell(doubts: Sequence[issue.Issue]) -> None:
  """Prints one line that counts the samples that look wrong, if there are any.

  Args:
    doubts: that find found, of samples that are used all the same.
  """
  told = []
  for ids, what in (([each.id for each in doubts if not each.file],
                     'not square, which are squeezed'),
                    ([each.id for each in doubts if each.file],
                     'with two channels of the same bytes')):
    if ids:
      told.append(f'{len(set(ids)):,} {what} (such as {ids[0]})')
  if told:
    print(printable.escape(
        f'Samples that may be wrong: {"; ".join(told)}. Pass '
        '--on_doubt=refuse to treat them as issues.'),
          file=sys.stderr)


def _find_same(
    sample: Sample, images: str,
    measured: Mapping[str, tuple[int, int, int]]) -> Iterator[issue.Issue]:
  """Yields an issue for each file of a sample that is like an earlier one."""
  try:
    groups = [list(sample.files)]
    for key in (lambda name: measured[name][2],
                lambda name: _probe(images, name, measured[name][2]),
                lambda name: filesystem.sha256(os.path.join(images, name))):
      groups = list(_split(groups, key))
  except errors.UnreadError as error:
    message, name = error.args[0], error.args[1]
    yield issue.Issue(sample.row, sample.id, name, message, issue.UNREAD)
    return
  for first, *others in groups:
    for name in others:
      yield issue.Issue(
          sample.row, sample.id, name,
          f'expected other bytes than {first}, received the same', issue.DOUBT)


def _split(groups, key):
  """Yields groups of equal keys, of those that are no single."""
  for group in groups:
    apart = collections.defaultdict(list)
    for name in group:
      try:
        apart[key(name)].append(name)
      except OSError as error:
        raise errors.UnreadError(f'cannot be read: {errors.explain(error)}',
                                 name) from error
    yield from (each for each in apart.values() if len(each) > 1)


def _probe(images: str, name: str, num_bytes: int) -> bytes:
  with filesystem.open_read(os.path.join(images, name), buffered=False) as file:
    file.seek(num_bytes // 2)
    return file.read(_PROBE_BYTES)
