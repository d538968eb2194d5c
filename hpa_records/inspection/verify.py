"""Verifies a dataset: all files against the manifest; on request, records.

Sizes, hashes and tables are always checked, which reads each file once and
finds changed, truncated, missing, extra and swapped files. `deep` also decodes
every record (record_check).

Hashing runs in threads, since hashlib and file reads release the GIL.

A shard may be a link to a file on another disk. Files of file browsers, such as
.DS_Store, are ignored.
"""

import concurrent.futures
import dataclasses
import os
from typing import Container

from hpa_records.datasets import description
from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.ingest import issue
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.inspection import record_check
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import progress
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter

UNFINISHED_FOLDER = '.unfinished'  # of an interrupted conversion
_DIGITS = 12  # of a sha256, in messages


@dataclasses.dataclass(frozen=True)
class Verified:
  """A valid dataset.

  Attributes:
    manifest: of the dataset.
    num_bytes: of all files that the manifest lists.
  """
  manifest: manifest.Manifest
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class _File:
  """A file of the manifest and the bounds of its size in bytes."""
  path: str
  name: str
  sha256: str
  least_bytes: int
  most_bytes: int


def verify(directory: str, deep: bool = False, workers: int = 0) -> Verified:
  """Returns the manifest and size of a dataset if it is valid.

  Args:
    directory: of the dataset, local or an address.
    deep: whether to decode every record and check every field, too.
    workers: number of threads that hash and processes that decode; 0 is one a
      core.

  Raises:
    errors.DataError: the dataset is invalid; lists the issues, one a line, each
      with its file.
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
  """Returns the size in bytes of all listed files, and issues by file name."""
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
  # http:// cannot list folders, so extra files are not found there.
  names = []
  try:
    if driver.has_folders(directory):
      names = folders.list_names(directory, recursive=True)
  except OSError as error:
    if isinstance(error, errors.DataError):
      raise  # already names the address
    place = os.path.relpath(error.filename or directory, directory)
    wrong[f'{place}/'] = f'{record_check.UNREAD}{errors.explain(error)}'
  for name in names:
    if name.startswith(f'{UNFINISHED_FOLDER}/'):
      wrong[f'{UNFINISHED_FOLDER}/'] = (
          'left by an interrupted conversion; run the same hpa-make-records '
          'command again to remove it')
    elif name not in known and not litter.is_litter(name):
      wrong[name] = 'not a file of the dataset; remove it'
  return num_bytes, wrong


def _check_metadata(directory: str, made: manifest.Manifest,
                    wrong: Container[str]) -> list[str]:
  """Returns the issues of the files that TensorFlow Datasets reads."""
  issues = []
  for name in set(tfds_metadata.NAMES).intersection(made.files):
    if name in wrong:
      continue
    try:
      tfds_metadata.check(name,
                          filesystem.read_bytes(os.path.join(directory, name)),
                          description.spec_of(made), made.num_folds,
                          made.shards)
    except OSError as error:
      issues.append(f'{name}: {record_check.UNREAD}{errors.explain(error)}')
    except ValueError as error:
      issues.append(f'{name}: {error}')
  return issues


def _hash(file: _File) -> tuple[int, str, str]:
  """Returns (size in bytes, sha256, message of an issue or '')."""
  try:
    size = filesystem.size(file.path)
    if size is None:
      is_other = not filesystem.is_remote(file.path) and os.path.exists(
          file.path)
      return 0, '', ('not a file but a folder, a pipe or a device'
                     if is_other else 'file not found')
    if not file.least_bytes <= size <= file.most_bytes:
      expected = (f'{file.most_bytes}'
                  if file.least_bytes else f'at most {file.most_bytes}')
      return size, '', f'expected {expected} bytes, received {size}'
    return size, filesystem.sha256(file.path), ''
  except OSError as error:
    return 0, '', f'{record_check.UNREAD}{errors.explain(error)}'
