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
from typing import Any, Iterator

from hpa_records import filesystem
from hpa_records import manifest
from hpa_records import schema
from hpa_records import shard_conversion
from hpa_records import shard_plan

_SETTINGS_NAME = 'settings.json'
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
    filesystem.make_folder(unfinished)
    with open(path, 'ab') as file:
      try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
      except BlockingIOError as error:
        raise schema.DataError(
            f'Expected no other converter at work on {output}, found one '
            f'(it holds {path}); wait for it, or choose another --output.'
        ) from error
      with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
          yield
          return
    # Another converter finished and removed the folder just before: again.


def prepare(output: str, settings: shard_plan.Settings, csv_sha256: str,
            overwrite: bool) -> manifest.Manifest | None:
  """Makes a locked folder ready; returns its manifest if all is done already.

  Raises:
    schema.DataError: the folder holds something else than a conversion of
      this CSV with these settings; nothing in it is changed then.
  """
  if overwrite:
    _remove_other(output, settings, csv_sha256)
  refuse_other(output, settings, csv_sha256)
  if manifest.exists(output):
    return manifest.load(output)
  told = json.dumps(_told(settings, csv_sha256), sort_keys=True)
  path = os.path.join(_unfinished(output), _SETTINGS_NAME)
  if filesystem.size(path) is None:
    filesystem.write_atomically(path, told.encode(), _unfinished(output))
  return None


def refuse_foreign(output: str) -> None:
  """Raises schema.DataError if a folder holds what no conversion writes."""
  if not filesystem.is_remote(output) and not os.path.isdir(output):
    return
  foreign = [
      name for name in filesystem.list_names(output, recursive=True)
      if not _OWN_NAME.fullmatch(name)
  ]
  if foreign:
    raise schema.DataError(
        f'Expected an empty folder or a dataset, received {output} with '
        f'{foreign[0]!r} in it; choose another --output.')


def refuse_other(output: str, settings: shard_plan.Settings,
                 csv_sha256: str) -> None:
  """Raises schema.DataError if the folder is another conversion's.

  The message says what differs. Nothing is changed.
  """
  differ = read_other(output, settings, csv_sha256)
  if differ:
    raise schema.DataError(
        f'Expected the settings of the dataset at {output}, received others: '
        f'{"; ".join(differ)}. Choose another --output, or pass --overwrite.')


def read_other(output: str, settings: shard_plan.Settings,
               csv_sha256: str) -> list[str]:
  """Returns what differs from the conversion, finished or not, in a folder."""
  if manifest.exists(output):
    found = manifest.load(output)
    have = {**found.settings, 'csv_sha256': found.csv_sha256}
  else:
    path = os.path.join(_unfinished(output), _SETTINGS_NAME)
    if filesystem.size(path) is None:
      return []
    have = json.loads(filesystem.read_bytes(path))
  asked = _told(settings, csv_sha256)
  return [
      f'{name} {have.get(name)!r}, asked {asked[name]!r}' for name in asked
      if have.get(name) != asked[name]
  ]


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
  """Removes the folder .unfinished of a finished conversion."""
  filesystem.remove_folder(_unfinished(output))


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
  return {**dataclasses.asdict(settings), 'csv_sha256': csv_sha256}


def _remove_other(output: str, settings: shard_plan.Settings,
                  csv_sha256: str) -> None:
  """Removes another conversion, or a damaged one, the manifest first."""
  with contextlib.suppress(schema.DataError):
    if not read_other(output, settings, csv_sha256):
      return
  filesystem.remove(os.path.join(output, manifest.MANIFEST_NAME))
  filesystem.remove(os.path.join(_unfinished(output), _SETTINGS_NAME))
  remove_strays(output, set())
