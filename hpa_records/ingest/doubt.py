"""Finds valid samples that look wrong: not square, or with equal channels.

A field of view may be wide and two channels may be black. But a wrong crop or
a wrong copy looks the same, and nothing later detects it. So these samples are
counted on stderr, or refused on request.

The shape is in the header. Only channels with files of equal size are compared:
first 512 bytes in the middle, then the SHA-256 of those still equal. Hardly any
PNGs reach the first step, and hardly any uncompressed TIFFs the second.
"""

import collections
import itertools
import os
import sys
from typing import Iterator, Mapping, Sequence

from hpa_records.images import decode
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import row_reader
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

ON_DOUBT = ('count', 'refuse')

_PROBE_BYTES = 512


def find(samples: Sequence[row_reader.Sample], images: str,
         measured: Mapping[str, decode.Measured]) -> list[issue.Issue]:
  """Returns issues of kind DOUBT, and UNREAD for files that cannot be read.

  Args:
    samples: the samples to check.
    images: folder of their files.
    measured: headers by file name.
  """
  found = []
  for each in samples:
    height, width = measured[each.files[0]][:2]
    if height != width:
      found.append(
          issue.Issue(
              each.row, each.id, '', f'not square: {height} x {width} pixels '
              '(height x width); it is resized to a square', issue.DOUBT))
  alike = [
      each for each in samples
      if len({measured[name].num_bytes
              for name in each.files}) < len(each.files)
  ]
  same = image_folder.map_files(
      lambda each: list(_find_same(each, images, measured)), alike)
  return found + list(itertools.chain.from_iterable(same))


def print_counts(doubts: Sequence[issue.Issue]) -> None:
  """Prints the number of samples that look wrong to stderr, if there are any.

  Args:
    doubts: those that find returned for samples that are used.
  """
  counts = []
  for ids, what in (([each.id for each in doubts if not each.file],
                     'not square, which are resized to squares'),
                    ([each.id for each in doubts if each.file],
                     'with two identical channels')):
    if ids:
      counts.append(f'{len(set(ids)):,} {what} (such as {ids[0]})')
  if counts:
    print(printable.escape(
        f'Samples that may be wrong: {"; ".join(counts)}. Pass '
        '--on_doubt=refuse to treat them as issues.'),
          file=sys.stderr)


def _find_same(
    sample: row_reader.Sample, images: str,
    measured: Mapping[str, decode.Measured]) -> Iterator[issue.Issue]:
  """Yields an issue for each file of a sample that is equal to an earlier one.
  """
  try:
    groups = [list(sample.files)]
    for key in (lambda name: measured[name].num_bytes,
                lambda name: _probe(images, name, measured[name].num_bytes),
                lambda name: filesystem.sha256(os.path.join(images, name))):
      groups = list(_split(groups, key))
  except errors.UnreadError as error:
    message, name = error.args[0], error.args[1]
    yield issue.Issue(sample.row, sample.id, name, message, issue.UNREAD)
    return
  for first, *others in groups:
    for name in others:
      yield issue.Issue(sample.row, sample.id, name, f'identical to {first}',
                        issue.DOUBT)


def _split(groups, key):
  """Yields the groups of names with equal keys, two names or more."""
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
