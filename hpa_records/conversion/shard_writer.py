"""Makes one shard and its sidecar from the image files of its samples.

Local processes, Beam and Slurm jobs map convert_shard over the shards of a
plan. The result does not depend on their number or timing.

The sidecar (module sidecar) is written after the shard. A later run keeps a
shard if samples, settings, package versions and input files (sizes and times)
are the same and its content has the sidecar's hash. The sidecar also lists
issues, so convert_shard returns nothing.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
from typing import Callable, Iterator, Sequence

import cv2
import kornia_rs
import numpy as np
import PIL

from hpa_records.conversion import input_digest
from hpa_records.conversion import shard_plan
from hpa_records.conversion.unfinished import sidecar
from hpa_records.format import tfrecord as shard_file
from hpa_records.images import load
from hpa_records.images import pixel_codec
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

KEPT = 'Then run the same command again: finished shards are kept.'


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
  found = sidecar.read(plan, shard)
  if found and found.made_from == made_from and sidecar.is_intact(path, found):
    return
  try:
    sidecar.remove(plan, shard)
    sidecar.write(plan, shard, _write(plan, shard, path, made_from))
  except OSError as error:
    raise errors.describe_write(path, error, KEPT) from error


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
           made_from: str) -> sidecar.Sidecar:
  channels = len(plan.settings.description.channels)
  done = _Pass(np.zeros((2, channels), np.int64))
  try:
    written = shard_file.write(path, _records(plan, shard, done),
                               sidecar.unfinished_folder(plan.output))
  except _NoShard as error:
    return sidecar.Sidecar(made_from, *error.args)
  return sidecar.Sidecar(made_from, (), (),
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
    head = shard.encode_head(i, payload)
    done.sums += pixel_codec.sums(pixels)
    done.heads.append(len(head))
    done.payloads.append(len(payload))
    done.inputs.append(list(files))
    yield head, payload
  if issues or unread:
    raise _NoShard(tuple(issues), tuple(unread))
