"""The folder a conversion writes: whose it is, what is in it, room for it.

While a conversion is unfinished, the folder .unfinished in it holds its
settings, a sidecar for each shard, temporary files and the locks. The whole
conversion locks the folder for itself; jobs that make one shard each share the
folder and lock their shard. The operating system gives a lock back when its
process dies, so a killed conversion locks nobody out. Addresses such as gs://
have no locks: there, start one conversion at a time.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
from typing import Any, BinaryIO, Iterator

from hpa_records import filesystem
from hpa_records import manifest
from hpa_records import schema
from hpa_records import shard_conversion
from hpa_records import shard_plan

_UNFINISHED = f'{shard_conversion.UNFINISHED_NAME}/'
_SETTINGS = f'{_UNFINISHED}settings.json'
_LOCK_NAME = 'lock'
_OWN_NAME = re.compile(
    r'((fold\d+|test)-\d{5}-of-\d{5}\.tfrecord|index\.parquet|manifest\.json|'
    r'features\.json|dataset_info\.json|skipped\.csv)(\.tmp)?|\.unfinished/.*')


@contextlib.contextmanager
def lock(output: str, shard_name: str = '') -> Iterator[None]:
  """Keeps other converters away while the block runs.

  Args:
    output: folder of the dataset, whose folder .unfinished is made.
    shard_name: the one shard that will be made; without it, all.

  Raises:
    schema.DataError: another converter is at work there.
  """
  unfinished = _unfinished(output)
  if filesystem.is_remote(output):
    filesystem.make_folder(unfinished)
    yield
    return
  wanted = [(_LOCK_NAME, fcntl.LOCK_SH if shard_name else fcntl.LOCK_EX)]
  if shard_name:
    wanted.append((f'{shard_name}.{_LOCK_NAME}', fcntl.LOCK_EX))
  with contextlib.ExitStack() as held:
    for name, mode in wanted:
      held.enter_context(_locked(unfinished, name, mode, output))
    yield


@contextlib.contextmanager
def _locked(unfinished: str, name: str, mode: int,
            output: str) -> Iterator[None]:
  path = os.path.join(unfinished, name)
  while True:
    # Another converter may finish and remove the folder at any moment; then
    # what was opened is no longer there, and all begins again.
    try:
      filesystem.make_folder(unfinished)
      file = open(path, 'a+b')  # NFS shares a lock only of a readable file
    except (FileNotFoundError, FileExistsError):
      if os.path.isfile(unfinished):
        raise
      continue
    with file:
      try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
      except BlockingIOError as error:
        raise schema.DataError(
            f'Expected no other converter at work on {output}, found one '
            f'(it holds {path}); wait for it, or choose another --output.'
        ) from error
      if _is_still(file, path):
        yield
        return


def _is_still(file: BinaryIO, path: str) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
  except FileNotFoundError:
    return False


def find(output: str, settings: shard_plan.Settings,
         csv_sha256: str) -> manifest.Manifest | None:
  """Returns the manifest of the finished conversion in a folder.

  None where there is none yet, or an unfinished one. Sizes are looked at, not
  content: that is verify's. Changes nothing.

  Raises:
    schema.DataError: the folder holds something else than a conversion of this
      CSV with these settings, or a dataset that lacks something.
  """
  names = list_own(output)
  if manifest.MANIFEST_NAME in names:
    found = manifest.load(output)
    _refuse_other(output, {
        **found.settings, 'csv_sha256': found.csv_sha256
    }, _told(settings, csv_sha256))
    manifest.check_shards(output, found)
    missing = sorted(set(found.files) - set(names))
    if missing:
      raise schema.DataError(f'Expected {missing[0]} in {output}, received '
                             'none; pass --overwrite to convert again.')
    return found
  if _SETTINGS in names:
    _refuse_other(output, _read_settings(output), _told(settings, csv_sha256))
    return None
  shown = [name for name in names if not name.startswith(_UNFINISHED)]
  if shown:
    raise schema.DataError(
        f'Expected an empty folder or a conversion, received {output} with '
        f'{shown[0]!r} and nothing that says of what; choose another '
        '--output, or pass --overwrite to replace it.')
  return None


def list_own(output: str) -> list[str]:
  """Returns the names of all files in a folder, [] where there is none.

  Raises:
    schema.DataError: it holds a file that no conversion writes, or is none.
  """
  if not filesystem.is_remote(output) and not os.path.isdir(output):
    if os.path.lexists(output):
      raise schema.DataError(f'Expected a folder at --output={output}, '
                             'received a file; choose another.')
    return []
  names = filesystem.list_names(output, recursive=True)
  foreign = [name for name in names if not _OWN_NAME.fullmatch(name)]
  if foreign:
    raise schema.DataError(
        f'Expected an empty folder or a dataset, received {output} with '
        f'{foreign[0]!r} in it; choose another --output.')
  return names


def clear(output: str, settings: shard_plan.Settings, csv_sha256: str) -> None:
  """Removes what a locked folder holds, but an unfinished same conversion.

  That one is gone on with, so that --overwrite too can be cut off.
  """
  names = list_own(output)
  if manifest.MANIFEST_NAME not in names:
    with contextlib.suppress(schema.DataError):
      find(output, settings, csv_sha256)
      return
  filesystem.remove(os.path.join(output, manifest.MANIFEST_NAME))
  filesystem.remove(os.path.join(output, _SETTINGS))
  remove_strays(output, set())


def note_settings(output: str, settings: shard_plan.Settings,
                  csv_sha256: str) -> None:
  """Writes what a locked folder is the conversion of, if it does not say."""
  path = os.path.join(output, _SETTINGS)
  if filesystem.size(path) is None:
    told = json.dumps(_told(settings, csv_sha256), sort_keys=True)
    filesystem.write_atomically(path, told.encode(), _unfinished(output))


def _read_settings(output: str) -> dict[str, Any]:
  path = os.path.join(output, _SETTINGS)
  try:
    have = json.loads(filesystem.read_bytes(path))
  except ValueError:
    have = None
  if not isinstance(have, dict):
    raise schema.DataError(f'Expected the settings of a conversion at {path}, '
                           'received a damaged file; pass --overwrite.')
  return have


def _refuse_other(output: str, have: dict[str, Any], asked: dict[str,
                                                                 Any]) -> None:
  """Raises schema.DataError that says what differs, if anything does."""
  # A dataset made before there was a setting was made with its default.
  have = {**dataclasses.asdict(shard_plan.Settings()), **have}
  differ = [
      _tell_difference(name, have.get(name), asked[name])
      for name in asked
      if have.get(name) != asked[name]
  ]
  if differ:
    raise schema.DataError(
        f'Expected the settings of the dataset at {output}, received others: '
        f'{"; ".join(differ)}. Choose another --output, or pass --overwrite.')


def _tell_difference(name: str, have: Any, asked: Any) -> str:
  if name != 'groups_sha256':
    return f'{name} {have!r}, asked {asked!r}'
  have, asked = (f'--groups of sha256 {str(value)[:12]}...'
                 if value else 'no --groups' for value in (have, asked))
  return f'{have}, asked {asked}'


def remove_strays(output: str, shard_names: set[str]) -> None:
  """Removes what a plan does not name: shards of another plan, half files."""
  unfinished = _unfinished(output)
  for name in filesystem.list_names(output):
    if name not in shard_names:  # all else is written at the end
      filesystem.remove(os.path.join(output, name))
  for name in filesystem.list_names(unfinished):
    if name.endswith(filesystem.TEMPORARY_SUFFIX):
      filesystem.remove(os.path.join(unfinished, name))


def tidy(output: str) -> None:
  """Removes the folder .unfinished of a finished, locked conversion."""
  unfinished = _unfinished(output)
  if filesystem.is_remote(output):
    filesystem.remove_folder(unfinished)
    return
  # The lock last: another converter that has just made one anew keeps it,
  # finds the manifest, and tidies in its turn.
  for name in sorted(os.listdir(unfinished),
                     key=lambda name: name == _LOCK_NAME):
    filesystem.remove(os.path.join(unfinished, name))
  with contextlib.suppress(OSError):
    os.rmdir(unfinished)


def require_room(output: str, needed_bytes: int) -> None:
  """Raises schema.DataError unless the disk has so many bytes free."""
  free_bytes = free(output)
  if free_bytes is not None and free_bytes < needed_bytes:
    raise schema.DataError(
        f'Expected {needed_bytes / 1e9:.2f} GB of free disk space for {output},'
        f' found {free_bytes / 1e9:.2f} GB; free some, or choose another '
        '--output.')


def free(output: str) -> int | None:
  """Returns the free bytes of the disk a folder is on, or will be on.

  None for an address.
  """
  if filesystem.is_remote(output):
    return None
  path = os.path.abspath(output)
  while not os.path.isdir(path):
    path = os.path.dirname(path)
  return shutil.disk_usage(path).free


def _unfinished(output: str) -> str:
  return os.path.join(output, shard_conversion.UNFINISHED_NAME)


def _told(settings: shard_plan.Settings, csv_sha256: str) -> dict[str, Any]:
  told = {**dataclasses.asdict(settings), 'csv_sha256': csv_sha256}
  if settings.unlabelled:  # then these decide nothing
    for name in ('num_folds', 'balance', 'balance_target', 'balance_tolerance',
                 'max_repeat', 'balance_factors'):
      del told[name]
  return told
