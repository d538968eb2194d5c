"""Is a dataset whole? Every file against the manifest; records on request.

Sizes, hashes and tables are checked first, which costs one reading of the
files: a flipped byte, a cut, missing, extra or swapped file shows there.
Nothing is decoded for that; `deep` decodes every record (record_check).

Hashing runs in threads, since hashlib and reading let go of Python's lock.

A shard may be a link to a file on another disk: what counts is what is read
through it, as by all readers. Pipes, devices and folders under a file's name
are no such file. What file browsers leave behind, such as .DS_Store, is passed
over.
"""

import concurrent.futures
import dataclasses
import os
from typing import Container

from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.ingest import issue
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.inspection import record_check
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import progress
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter

UNFINISHED_FOLDER = '.unfinished'  # of a conversion that was cut off
_DIGITS = 12  # of a sha256, in messages


@dataclasses.dataclass(frozen=True)
class Verified:
  """A dataset in which no issue was found.

  Attributes:
    manifest: of the dataset.
    num_bytes: of all files that the manifest lists.
  """
  manifest: manifest.Manifest
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class _File:
  """A file that the manifest lists, its bytes, at least and at most."""
  path: str
  name: str
  sha256: str
  least_bytes: int
  most_bytes: int


def verify(directory: str, deep: bool = False, workers: int = 0) -> Verified:
  """Returns a dataset's manifest after checking that the dataset is whole.

  Args:
    directory: of the dataset, local or an address.
    deep: also decode every record and check every field.
    workers: threads to hash with and processes to decode with; 0 takes one a
      core.

  Returns:
    What was checked.

  Raises:
    errors.DataError: lists the issues, one a line, each with its file.
  """
  made = manifest.load(directory)
  workers = workers or host.num_cores()
  num_bytes, wrong = _check_files(directory, made, workers)
  contradictions = manifest_check.check(made)
  if not contradictions and manifest.INDEX_NAME not in wrong:
    try:
      index = manifest.load_index(directory, made)
      contradictions = index_check.check(made, index)
      if deep and not contradictions:
        contradictions = record_check.check(directory, made, index, workers)
    except errors.DataError as error:
      contradictions = [str(error)]
  if not contradictions:
    contradictions = _check_metadata(directory, made, wrong)
  issues = [f'{name}: {message}' for name, message in wrong.items()]
  issues += contradictions
  if issues:
    head = f'Invalid dataset at {directory}; copy or convert it again'
    if any(record_check.UNREAD in line for line in issues):
      head = f'Cannot read all of {directory}; the data may be valid'
    raise errors.DataError(issue.describe(head, issues))
  return Verified(made, num_bytes)


def _check_files(directory: str, made: manifest.Manifest,
                 workers: int) -> tuple[int, dict[str, str]]:
  """Returns the bytes of all listed files, and what is wrong by file name."""
  entries = [
      (each.name, each.sha256, each.bytes, each.bytes) for each in made.shards
  ]
  entries += [(name, digest, 0, made.most_bytes(name))
              for name, digest in made.files.items()]
  files = [
      _File(os.path.join(directory, entry[0]), *entry) for entry in entries
  ]
  owners = {file.sha256: file.name for file in files}
  wrong, num_bytes = {}, 0
  pool = concurrent.futures.ThreadPoolExecutor(workers)
  with progress.Bar('hash', len(files), 'files') as shown:
    for file, (size, digest,
               message) in zip(files,
                               record_check.map_in_order(pool, _hash, files)):
      if not message and digest != file.sha256:
        received = owners.get(digest, f'{digest[:_DIGITS]}...')
        message = f'expected sha256 {file.sha256[:_DIGITS]}..., received '
        message += f'that of {received}' if digest in owners else received
      if message:
        wrong[file.name] = message
      num_bytes += size
      shown.advance(1)
  known = {manifest.MANIFEST_NAME, *(file.name for file in files)}
  # http:// has no folders to list: there, extra files stay unseen.
  names = []
  try:
    if filesystem.has_folders(directory):
      names = folders.list_names(directory, recursive=True)
  except OSError as error:
    if isinstance(error, errors.DataError):
      raise  # of an address, told already
    place = os.path.relpath(error.filename or directory, directory)
    wrong[f'{place}/'] = f'{record_check.UNREAD}{errors.explain(error)}'
  for name in names:
    if name.startswith(f'{UNFINISHED_FOLDER}/'):
      wrong[f'{UNFINISHED_FOLDER}/'] = (
          'expected none, received the rest of a conversion that was cut off; '
          'run make_records again to tidy')
    elif name not in known and not litter.is_litter(name):
      wrong[name] = 'expected no such file; remove it'
  return num_bytes, wrong


def _check_metadata(directory: str, made: manifest.Manifest,
                    wrong: Container[str]) -> list[str]:
  """Returns what is wrong with what TensorFlow Datasets reads of the dataset.
  """
  issues = []
  for name in set(tfds_metadata.NAMES).intersection(made.files):
    if name in wrong:
      continue
    try:
      tfds_metadata.check(name,
                          filesystem.read_bytes(os.path.join(directory, name)),
                          made.settings, made.shards)
    except OSError as error:
      issues.append(f'{name}: {record_check.UNREAD}{errors.explain(error)}')
    except ValueError as error:
      issues.append(f'{name}: {error}')
  return issues


def _hash(file: _File) -> tuple[int, str, str]:
  """Returns size and sha256 of a file, or a message why there are none."""
  try:
    size = filesystem.size(file.path)
    if size is None:
      is_other = not filesystem.is_remote(file.path) and os.path.exists(
          file.path)
      received = 'a folder, a pipe or a device' if is_other else 'none'
      return 0, '', f'expected this file, received {received}'
    if not file.least_bytes <= size <= file.most_bytes:
      expected = (f'{file.most_bytes}'
                  if file.least_bytes else f'at most {file.most_bytes}')
      return size, '', f'expected {expected} bytes, received {size}'
    return size, filesystem.sha256(file.path), ''
  except OSError as error:
    return 0, '', f'{record_check.UNREAD}{errors.explain(error)}'
