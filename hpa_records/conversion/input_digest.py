"""Digests of the image files that a dataset was made from.

The manifest contains them. They detect a repeated conversion with other images,
by names, sizes and content. File times would be cheaper, but they change when
a folder or a dataset is copied.

Content is compared by each file's CRC-32C, which takes 0.008 ms for 200 KB;
SHA-256 takes 0.115 ms, a tenth of a sample's time. It detects replaced files,
not deliberate forgery.
"""

from concurrent import futures
import hashlib
import itertools
from typing import Any, Iterable, Mapping, Sequence

import google_crc32c

from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import progress
from hpa_records.storage import filesystem

# Size in bytes and CRC-32C of a file; None if it does not exist.
File = Sequence[int] | None

_NUM_THREADS = 16  # more than cores: threads wait for the disk


def describe_content(data: bytes) -> tuple[int, int]:
  """Returns the File, (size in bytes, CRC-32C), of a file's content."""
  return len(data), google_crc32c.value(data)


def make(plan: shard_plan.Plan, requested: Mapping[str, Sequence[str]],
         known: Mapping[str, Sequence[File]]) -> dict[str, Any]:
  """Returns the manifest's entries about the image files.

  Args:
    plan: of the conversion.
    requested: names of the files, by id, of all requested samples in any
      order, skipped ones included.
    known: the Files of these names, by id; those of other ids are read.

  Returns:
    num_files and num_bytes of the existing files, and the hex digests
    names_and_sizes_sha256 and content_sha256.

  Raises:
    errors.DataError: a file cannot be read.
  """
  missing = [each for each in sorted(requested) if each not in known]
  read = iter(_read(plan, _list(requested, missing)))
  files = []
  for each in sorted(requested):
    files += (known[each] if each in known else itertools.islice(
        read, len(requested[each])))
  names = _list(requested, sorted(requested))
  return {
      **_sum_up(names, [file and file[0] for file in files]),
      'content_sha256':
          _digest(names, files),
  }


def check(plan: shard_plan.Plan, requested: Mapping[str, Sequence[str]],
          made: manifest.Manifest) -> None:
  """Compares the image files with those of the dataset in the plan's output.

  Args:
    plan: of the requested conversion, with the dataset's settings.
    requested: as of make.
    made: the dataset's manifest; nothing is compared if it has no inputs.

  Raises:
    errors.DataError: they differ, or a file cannot be read.
  """
  if made.inputs is None:
    return
  names = _list(requested, sorted(requested))
  paths = plan.paths(names)
  with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    stamps = list(pool.map(filesystem.stamp, paths))
  now = _sum_up(names, [stamp and stamp[0] for stamp in stamps])
  newest = max(
      ((max(stamp[1:]), path) for stamp, path in zip(stamps, paths) if stamp),
      default=(0, plan.images))[1]
  if any(value != made.inputs[name] for name, value in now.items()):
    _refuse(plan, made.inputs, now, newest)
  digest = _digest(names, _read(plan, names, hidden=False))
  if digest != made.inputs['content_sha256']:
    _refuse(plan, made.inputs, now, newest)


def _list(requested: Mapping[str, Sequence[str]],
          sample_ids: Sequence[str]) -> list[str]:
  """Returns the names of the files of some samples."""
  return [name for each in sample_ids for name in requested[each]]


def _read(plan: shard_plan.Plan,
          names: Sequence[str],
          hidden: bool = True) -> list[File]:
  """Reads and returns the files of these names, in order."""
  paths = plan.paths(names)
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
  num_bytes = checksum = 0
  try:
    for part in filesystem.chunks(path):  # it may be of any size
      num_bytes += len(part)
      checksum = google_crc32c.extend(checksum, bytes(part))
    return num_bytes, checksum
  except OSError as error:
    raise errors.describe_read(path, error) from error


def _sum_up(names: Sequence[str],
            sizes: Sequence[int | None]) -> dict[str, Any]:
  existing = [size for size in sizes if size is not None]
  return {
      'num_files': len(existing),
      'num_bytes': sum(existing),
      'names_and_sizes_sha256': _digest(names, sizes),
  }


def _digest(names: Sequence[str], values: Iterable[Any]) -> str:
  """Returns the hex digest of the files' relative names and their values."""
  digest = hashlib.sha256()
  for name, value in zip(names, values):
    text = list(value) if isinstance(value, (list, tuple)) else value
    digest.update(f'{name}\0{text}\n'.encode('utf-8', 'surrogateescape'))
  return digest.hexdigest()


def _refuse(plan: shard_plan.Plan, made: dict[str, Any], now: dict[str, Any],
            newest: str) -> None:
  """Raises errors.DataError that describes how the files differ."""
  old, new = ((each['num_files'], each['num_bytes']) for each in (made, now))
  texts = [
      f'{files:,} files of {printable.show_bytes(size)} in all'
      for files, size in (old, new)
  ]
  if old == new:
    name = newest[len(plan.images):].lstrip('/')
    same = ('the same names and sizes, but other content'
            if now['names_and_sizes_sha256'] == made['names_and_sizes_sha256']
            else 'other names or sizes')
    differ = f'{texts[0]}; now there are as many, with {same} (newest: {name})'
  else:
    if texts[0] == texts[1]:  # differ by less than a unit
      texts = [
          f'{files:,} files of {size:,} bytes' for files, size in (old, new)
      ]
    differ = f'{texts[0]}; now there are {texts[1]}'
  raise errors.DataError(
      f'The dataset in {plan.output} was made from other image files: '
      f'{differ}. '
      'Pass --overwrite to convert these, or choose another --output.')
