"""Which image files a dataset was made from, in a few numbers.

The manifest holds them, so that a conversion that is run again with other
images is told from one that is finished: by names, sizes and content. Times of
files would save reading them, and tell nothing of a folder that was renamed, or
of a dataset that was copied.

Content is told apart by each file's CRC-32C: of 200 KB it takes 0.008 ms where
SHA-256 takes 0.115, a tenth of a sample's time. That finds what was replaced,
not who wants to deceive.
"""

from concurrent import futures
import hashlib
from typing import Any, Iterable, Mapping, Sequence

import google_crc32c

from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.images import file_pattern
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import progress
from hpa_records.storage import filesystem

# Of a file: size in bytes and CRC-32C; None where it is not there.
File = Sequence[int] | None

_NUM_THREADS = 16  # more than cores: they wait for the disk


def describe_content(data: bytes) -> tuple[int, int]:
  """Returns a File of its content."""
  return len(data), google_crc32c.value(data)


def make(plan: shard_plan.Plan, sample_ids: Iterable[str],
         known: Mapping[str, Sequence[File]]) -> dict[str, Any]:
  """Returns what the manifest says of the image files.

  Args:
    plan: of the conversion.
    sample_ids: of all samples that were asked for, those left out too, each
      once; their order does not matter.
    known: four files by id, in spec.CHANNELS order; the others are read.

  Returns:
    num_files and num_bytes of the files that are there, and the hex digests
    names_and_sizes_sha256 and content_sha256.
  """
  sample_ids = sorted(sample_ids)
  missing = [each for each in sample_ids if each not in known]
  read = _read(plan, missing)
  found = {
      **known,
      **{
          each: read[i:i + spec.NUM_CHANNELS] for i, each in zip(
              range(0, len(read), spec.NUM_CHANNELS), missing)
      }
  }
  files = [file for each in sample_ids for file in found[each]]
  return {
      **_sum_up(plan, sample_ids, [file and file[0] for file in files]),
      'content_sha256':
          _digest(plan, sample_ids, files),
  }


def check(plan: shard_plan.Plan, sample_ids: Iterable[str],
          made: manifest.Manifest) -> None:
  """Compares the image files with those of the dataset in the plan's output.

  Args:
    plan: of the conversion that is asked for, with the dataset's settings.
    sample_ids: as of make.
    made: the dataset's manifest; nothing is compared if it has no inputs.

  Raises:
    errors.DataError: they differ.
  """
  if made.inputs is None:
    return
  sample_ids = sorted(sample_ids)
  paths = _paths(plan, sample_ids)
  with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    stamps = list(pool.map(filesystem.stamp, paths))
  now = _sum_up(plan, sample_ids, [stamp and stamp[0] for stamp in stamps])
  newest = max(
      ((max(stamp[1:]), path) for stamp, path in zip(stamps, paths) if stamp),
      default=(0, plan.images))[1]
  if any(value != made.inputs[name] for name, value in now.items()):
    _refuse(plan, made.inputs, now, newest)
  digest = _digest(plan, sample_ids, _read(plan, sample_ids, hidden=False))
  if digest != made.inputs['content_sha256']:
    _refuse(plan, made.inputs, now, newest)


def _paths(plan: shard_plan.Plan, sample_ids: Sequence[str]) -> list[str]:
  return [path for each in sample_ids for path in plan.files(each)]


def _read(plan: shard_plan.Plan,
          sample_ids: Sequence[str],
          hidden: bool = True) -> list[File]:
  """Returns the files of the samples, four of each, by reading them."""
  paths = _paths(plan, sample_ids)
  with progress.Bar('compare images', len(paths), 'files',
                    hidden=hidden) as shown:
    with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
      found = []
      for file in pool.map(_read_file, paths):
        found.append(file)
        shown.advance(1)
      return found


def _read_file(path: str) -> File:
  if filesystem.size(path) is None:
    return None
  try:
    return describe_content(filesystem.read_bytes(path))
  except OSError as error:
    raise errors.describe_read(path, error) from error


def _sum_up(plan: shard_plan.Plan, sample_ids: Sequence[str],
            sizes: Sequence[int | None]) -> dict[str, Any]:
  there = [size for size in sizes if size is not None]
  return {
      'num_files': len(there),
      'num_bytes': sum(there),
      'names_and_sizes_sha256': _digest(plan, sample_ids, sizes),
  }


def _digest(plan: shard_plan.Plan, sample_ids: Sequence[str],
            values: Iterable[Any]) -> str:
  """Returns the hash of each file's name, inside its folder, with its value."""
  names = [
      file_pattern.name(plan.settings.pattern, each, channel)
      for each in sample_ids
      for channel in spec.CHANNELS
  ]
  digest = hashlib.sha256()
  for name, value in zip(names, values):
    told = list(value) if isinstance(value, (list, tuple)) else value
    digest.update(f'{name}\0{told}\n'.encode('utf-8', 'surrogateescape'))
  return digest.hexdigest()


def _refuse(plan: shard_plan.Plan, made: dict[str, Any], now: dict[str, Any],
            newest: str) -> None:
  """Raises errors.DataError that says how the files differ."""
  old, new = ((each['num_files'], each['num_bytes']) for each in (made, now))
  told = [
      f'{files:,} files of {printable.show_bytes(size)} in all'
      for files, size in (old, new)
  ]
  if old == new:
    name = newest[len(plan.images):].lstrip('/')
    same = ('the same names and sizes, but other content'
            if now['names_and_sizes_sha256'] == made['names_and_sizes_sha256']
            else 'other names or sizes')
    differ = f'{told[0]}; now there are as many, with {same} (newest: {name})'
  else:
    if told[0] == told[1]:  # less than the unit shows
      told = [
          f'{files:,} files of {size:,} bytes' for files, size in (old, new)
      ]
    differ = f'{told[0]}; now there are {told[1]}'
  raise errors.DataError(
      f'The dataset in {plan.output} was made from other image files: '
      f'{differ}. '
      'Pass --overwrite to convert these, or choose another --output.')
