"""The sidecar of a shard, in the folder .unfinished of a conversion.

It has what the manifest and the index need of the shard, a hash of what the
shard was made from, and all issues of its samples.
"""

import dataclasses
import itertools
import os
from typing import Sequence

import numpy as np

from hpa_records.conversion import input_digest
from hpa_records.conversion import shard_plan
from hpa_records.format import tfrecord
from hpa_records.images import header
from hpa_records.images import pixel_codec
from hpa_records.ingest import issue
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

UNFINISHED_NAME = '.unfinished'
_SUFFIX = '.json'


@dataclasses.dataclass(frozen=True)
class Sidecar:
  """The result of making one shard.

  With issues or unread files there is no shard, and the attributes after unread
  are empty.

  Attributes:
    made_from: sha256 of everything that the bytes depend on.
    issues: of the samples with invalid files.
    unread: of the samples whose files could not be read.
    bytes: size of the file in bytes.
    sha256: hex digest of the file.
    offsets: byte offset of each record's frame in the file.
    sizes: size of each frame in bytes.
    heads: size of each record before its image, in bytes.
    payloads: size of each stored image in bytes.
    sums: [C], sums of all pixels of the shard.
    sums_of_squares: [C], sums of the pixels' squares.
    inputs: of each sample, its four files as input_digest.File.
  """
  made_from: str
  issues: tuple[issue.Issue, ...] = ()
  unread: tuple[issue.Issue, ...] = ()
  bytes: int = 0
  sha256: str = ''
  offsets: tuple[int, ...] = ()
  sizes: tuple[int, ...] = ()
  heads: tuple[int, ...] = ()
  payloads: tuple[int, ...] = ()
  sums: tuple[int, ...] = ()
  sums_of_squares: tuple[int, ...] = ()
  inputs: tuple[Sequence[input_digest.File], ...] = ()


_OF_EACH_SAMPLE = ('offsets', 'sizes', 'heads', 'payloads', 'inputs')
ISSUE_FORM = {'row': int, 'id': str, 'file': str, 'message': str}
_FORM = {
    'made_from': str,
    'issues': [ISSUE_FORM],
    'unread': [ISSUE_FORM],
    'bytes': int,
    'sha256': str,
    'sums': [int],
    'sums_of_squares': [int],
    'inputs': [[[int]]],
    **{
        name: [int] for name in ('offsets', 'sizes', 'heads', 'payloads')
    }
}


def unfinished_folder(output: str) -> str:
  """Returns the path of the folder .unfinished in an output folder."""
  return os.path.join(output, UNFINISHED_NAME)


def _path(plan: shard_plan.Plan, shard: shard_plan.Shard) -> str:
  return os.path.join(unfinished_folder(plan.output), shard.name + _SUFFIX)


def read(plan: shard_plan.Plan, shard: shard_plan.Shard) -> Sidecar | None:
  """Returns a shard's sidecar; None if it is missing or invalid.

  Args:
    plan: of the conversion.
    shard: one of its shards.
  """
  path = _path(plan, shard)
  try:
    content = json_text.unseal(filesystem.read_small(path) or b'')
    json_text.check_form(content, _FORM, path)
    for key in ('issues', 'unread'):
      content[key] = tuple(issue.Issue(**each) for each in content[key])
    found = Sidecar(**content)
  except (ValueError, TypeError):  # missing, damaged, or of another version
    return None
  lengths = {len(getattr(found, name)) for name in _OF_EACH_SAMPLE}
  # All are empty if the shard was not made.
  is_right = lengths == {0} or (lengths == {len(shard.ids)} and
                                _is_possible(plan, shard, found))
  return found if is_right else None


def write(plan: shard_plan.Plan, shard: shard_plan.Shard,
          made: Sidecar) -> None:
  """Writes a shard's sidecar.

  Args:
    plan: as of read.
    shard: as of read.
    made: its sidecar.
  """
  # Without asdict's copies of the numbers of each sample.
  content = vars(made) | {
      key: list(map(dataclasses.asdict, getattr(made, key)))
      for key in ('issues', 'unread')
  }
  # read verifies it; a missing one costs one shard.
  filesystem.write_atomically(_path(plan, shard),
                              json_text.seal(content),
                              unfinished_folder(plan.output),
                              flushed=False)


def remove(plan: shard_plan.Plan, shard: shard_plan.Shard) -> None:
  """Removes a shard's sidecar, if there is one."""
  filesystem.remove(_path(plan, shard))


def is_intact(path: str, found: Sidecar) -> bool:
  """Returns whether a shard is the file that its sidecar describes.

  Args:
    path: of the shard.
    found: its sidecar.
  """
  return (bool(found.offsets) and filesystem.size(path) == found.bytes and
          filesystem.sha256(path) == found.sha256 and
          tfrecord.has_frames(path, found.offsets, found.sizes))


def _is_possible(plan: shard_plan.Plan, shard: shard_plan.Shard,
                 found: Sidecar) -> bool:
  """Returns whether the sizes and offsets of a sidecar fit the shard."""
  raw_bytes = plan.settings.raw_bytes
  least, most = ((raw_bytes, raw_bytes) if plan.settings.encoding == 'raw' else
                 (1, found.bytes))
  if not (found.bytes < 2**63 and
          all(least <= each <= most for each in found.payloads)):
    return False
  heads = [
      len(shard.encode_head(i, np.broadcast_to(np.uint8(0), num_bytes)))
      for i, num_bytes in enumerate(found.payloads)
  ]
  sizes = [
      head + num_bytes + tfrecord.FRAME_BYTES
      for head, num_bytes in zip(heads, found.payloads)
  ]
  offsets = [0, *itertools.accumulate(sizes)]
  return ([*found.offsets, found.bytes] == offsets and
          list(found.heads) == heads and list(found.sizes) == sizes and
          pixel_codec.are_sums(
              len(shard.ids) * plan.settings.image_size**2,
              found.sums, found.sums_of_squares,
              len(plan.settings.description.channels)) and all(
                  list(map(len, files)) == [2] * len(names) and all(
                      0 < size <= header.MAX_FILE_BYTES and 0 <= crc < 2**32
                      for size, crc in files)
                  for files, names in zip(found.inputs, shard.files)))
