"""Makes one shard and its sidecar from the image files of its samples.

Local processes, Beam and Slurm jobs map convert_shard over the shards of a
plan. The result does not depend on their number or timing.

The sidecar, in the folder .unfinished, is written after the shard. It contains
what the manifest and the index need, and a hash of what the shard was made
from. A later run keeps a shard if samples, settings, package versions and input
files (sizes and times) are the same and its content has the sidecar's hash.
The sidecar also lists issues, so convert_shard returns nothing.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import itertools
import json
import os
from typing import Callable, Iterator, Sequence

import cv2
import kornia_rs
import numpy as np
import PIL

from hpa_records.conversion import input_digest
from hpa_records.conversion import shard_plan
from hpa_records.format import example
from hpa_records.format import tfrecord as shard_file
from hpa_records.images import header
from hpa_records.images import load
from hpa_records.images import pixel_codec
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

UNFINISHED_NAME = '.unfinished'
KEPT = 'Then run the same command again: finished shards are kept.'
_SIDECAR_SUFFIX = '.json'


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


class _NoShard(Exception):
  """A shard is not made; args are its issues, and those of unread files."""


@functools.cache
def versions() -> dict[str, str]:
  """Returns the versions of the packages that decide the bytes, by name."""
  return {
      **{
          each.__name__: each.__version__ for each in (cv2, kornia_rs, np, PIL)
      },
      # Not imported, since a worker does not need them.
      'cykooz_resizer': importlib.metadata.version('cykooz-resizer'),
      'pyarrow': importlib.metadata.version('pyarrow'),
  }


def unfinished_folder(output: str) -> str:
  """Returns the path of the folder .unfinished in an output folder."""
  return os.path.join(output, UNFINISHED_NAME)


def convert_shard(plan: shard_plan.Plan, shard: shard_plan.Shard) -> None:
  """Makes one shard and its sidecar, unless they exist and are valid.

  If a sample is invalid, all others are still checked. Then no shard is
  written, and the sidecar lists all issues.

  Args:
    plan: of the conversion; its output folder contains .unfinished.
    shard: one of its shards.

  Raises:
    errors.DataError: the output cannot be written.
  """
  made_from = _made_from(plan, shard)
  path = os.path.join(plan.output, shard.name)
  found = read_sidecar(plan, shard)
  if found and found.made_from == made_from and _is_intact(path, found):
    return
  unfinished = unfinished_folder(plan.output)
  try:
    filesystem.remove(_sidecar_path(plan, shard))
    made = _write(plan, shard, path, unfinished, made_from)
    # read_sidecar verifies it; a missing one costs one shard.
    filesystem.write_atomically(_sidecar_path(plan, shard),
                                json_text.seal(dataclasses.asdict(made)),
                                unfinished,
                                flushed=False)
  except OSError as error:
    raise errors.describe_write(path, error, KEPT) from error


def _is_intact(path: str, found: Sidecar) -> bool:
  """Returns whether a shard is the file that its sidecar describes."""
  return (bool(found.offsets) and filesystem.size(path) == found.bytes and
          filesystem.sha256(path) == found.sha256 and
          shard_file.has_frames(path, found.offsets, found.sizes))


def read_sidecar(plan: shard_plan.Plan,
                 shard: shard_plan.Shard) -> Sidecar | None:
  """Returns a shard's sidecar; None if it is missing or invalid.

  Args:
    plan: of the conversion.
    shard: one of its shards.
  """
  path = _sidecar_path(plan, shard)
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
      len(_encode_head(shard, i, np.broadcast_to(np.uint8(0), num_bytes)))
      for i, num_bytes in enumerate(found.payloads)
  ]
  sizes = [
      head + num_bytes + shard_file.FRAME_BYTES
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


def _encode_head(shard: shard_plan.Shard, i: int, payload: np.ndarray) -> bytes:
  """Returns the bytes of sample i's record before its payload [n] uint8."""
  return example.encode_head(
      example.Sample(shard.ids[i], payload, shard.fold,
                     None if shard.labels is None else shard.labels[i],
                     None if shard.repeats is None else shard.repeats[i]))


def _sidecar_path(plan: shard_plan.Plan, shard: shard_plan.Shard) -> str:
  return os.path.join(unfinished_folder(plan.output),
                      shard.name + _SIDECAR_SUFFIX)


def _made_from(plan: shard_plan.Plan, shard: shard_plan.Shard) -> str:
  """Returns sha256 of settings, versions, samples and the files' stamps."""
  parts = [plan.settings.encode(), plan.levels, versions(), shard.sha256()]
  for files in shard.files:
    parts += stamps(plan, files)
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamps(plan: shard_plan.Plan,
           files: Sequence[str]) -> list[list[int] | None]:
  """Returns size and times of a sample's files; None for a missing file.

  Args:
    plan: of the conversion.
    files: names of the files.

  Returns:
    filesystem.stamp of each file, in order.
  """
  return [filesystem.stamp(path) for path in plan.paths(files)]


def load_pixels(
    plan: shard_plan.Plan,
    shard: shard_plan.Shard,
    i: int,
    read: Callable[[str], bytes] = filesystem.read_bytes) -> np.ndarray:
  """Returns the pixels of sample i of a shard, [S, S, C] uint8.

  Args:
    plan: of the conversion.
    shard: of the plan.
    i: number of the sample in the shard.
    read: as of load.load.

  Raises:
    errors.DataError: as of load.load.
  """
  how = plan.settings.how
  if plan.levels:
    plate = shard.plates[i] if shard.plates else ''
    how = dataclasses.replace(how, levels=tuple(map(tuple, plan.levels[plate])))
  if shard.pixel_um:
    how = dataclasses.replace(how, image_um=shard.pixel_um[i])
  return load.load(plan.paths(shard.files[i]), how, read)


@dataclasses.dataclass
class _Pass:
  """Values collected while the records of one shard are written."""
  sums: np.ndarray
  heads: list[int] = dataclasses.field(default_factory=list)
  payloads: list[int] = dataclasses.field(default_factory=list)
  inputs: list[list[input_digest.File]] = dataclasses.field(
      default_factory=list)


def _write(plan: shard_plan.Plan, shard: shard_plan.Shard, path: str,
           temporary_folder: str, made_from: str) -> Sidecar:
  channels = len(plan.settings.description.channels)
  done = _Pass(np.zeros((2, channels), np.int64))
  try:
    written = shard_file.write(path, _records(plan, shard, done),
                               temporary_folder)
  except _NoShard as error:
    return Sidecar(made_from, *error.args)
  return Sidecar(made_from, (), (),
                 written.num_bytes,
                 written.sha256,
                 tuple(written.offsets.tolist()),
                 tuple(written.sizes.tolist()),
                 tuple(done.heads),
                 tuple(done.payloads),
                 *(tuple(row) for row in done.sums.tolist()),
                 inputs=tuple(done.inputs))


def _records(plan: shard_plan.Plan, shard: shard_plan.Shard,
             done: _Pass) -> Iterator[tuple[bytes, np.ndarray]]:
  """Yields (head, image bytes) of each valid sample.

  Raises:
    _NoShard: at the end, if there are issues or unread files.
  """
  settings, issues, unread = plan.settings, [], []
  files: list[input_digest.File] = []

  def read(path: str) -> bytes:
    data = filesystem.read_bytes(path)
    files.append(input_digest.describe_content(data))
    return data

  for i, sample_id in enumerate(shard.ids):
    files.clear()
    try:
      pixels = load_pixels(plan, shard, i, read)
    except errors.DataError as error:
      found = unread if isinstance(error, errors.UnreadError) else issues
      found.append(issue.of_image(shard.rows[i], sample_id, plan.images, error))
      continue
    payload = pixel_codec.encode(pixels, settings.encoding)
    head = _encode_head(shard, i, payload)
    done.sums += pixel_codec.sums(pixels)
    done.heads.append(len(head))
    done.payloads.append(len(payload))
    done.inputs.append(list(files))
    yield head, payload
  if issues or unread:
    raise _NoShard(tuple(issues), tuple(unread))
