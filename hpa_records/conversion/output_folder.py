"""The output folder of a conversion: ownership and contents.

While a conversion is unfinished, the folder .unfinished in it holds its
settings, a sidecar for each shard, temporary files and the locks of
output_lock.

Only files with the names that a conversion makes are ever removed, and only in
the folder itself and in a .unfinished that is no link.
"""

import contextlib
import os
import re
import sys

from hpa_records.conversion import output_lock
from hpa_records.conversion import output_settings
from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.inspection import manifest_check
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter

_UNFINISHED = f'{shard_writer.UNFINISHED_NAME}/'

_SHARD = r'(fold[0-9]+|test)-[0-9]{5,}-of-[0-9]{5,}\.tfrecord'
# Earlier versions had no letters before .tmp.
_TEMPORARY = r'(\.[0-9a-f]{8})?\.tmp'
_OWN_NAME = re.compile(
    rf'({_SHARD}|index\.parquet|manifest\.json|features\.json|'
    rf'dataset_info\.json|skipped\.csv)({_TEMPORARY})?')
_OWN_UNFINISHED = re.compile(
    rf'(({_SHARD}|settings|issues|checked)\.json)({_TEMPORARY})?|'
    rf'{_SHARD}{_TEMPORARY}|(({_SHARD}|checked\.json)\.)?lock')


def find(output: str, settings: shard_plan.Settings,
         csv_sha256: str) -> manifest.Manifest | None:
  """Returns the manifest of the finished conversion in a folder.

  None where there is none yet, or an unfinished one. Of shards the sizes are
  looked at, not the content: that is verify's. Changes nothing.

  Raises:
    errors.DataError: the folder holds something else than a conversion of this
      CSV with these settings, or a dataset that lacks something.
  """
  names = list_own(output)
  if manifest.MANIFEST_NAME in names:
    found = manifest.load(output)
    output_settings.refuse_other(output, {
        **found.settings, 'csv_sha256': found.csv_sha256
    }, output_settings.describe(settings, csv_sha256))
    issues = manifest_check.check(found)
    if issues:
      raise errors.DataError(f'Invalid dataset at {output}: {issues[0]}; pass '
                             '--overwrite to convert again.')
    manifest.check_shards(output, found)
    for name, digest in found.files.items():  # small, and say no size
      path = os.path.join(output, name)
      if (name not in names or
          (filesystem.size(path) or 0) > found.most_bytes(name) or
          filesystem.sha256(path) != digest):
        what = 'was changed' if name in names else 'is missing'
        raise errors.DataError(f'{name} in {output} {what}; pass --overwrite '
                               'to convert again.')
      try:
        if name in tfds_metadata.NAMES:
          tfds_metadata.check(name,
                              filesystem.read_small(path) or b'',
                              found.settings, found.shards)
      except ValueError as error:
        raise errors.DataError(
            f'Invalid dataset at {output}: {name}: {error}; pass --overwrite '
            'to convert again.') from error
    return found
  if output_settings.NAME in names:
    output_settings.refuse_other(output, output_settings.read(output),
                                 output_settings.describe(settings, csv_sha256))
    return None
  _refuse_unknown(output, names)
  return None


def refuse_foreign(output: str, overwrite: bool) -> None:
  """Refuses a folder that is no conversion's, before any work is spent on it.

  Args:
    output: folder of the dataset; there may be none.
    overwrite: whether what a conversion may have written is to be replaced.

  Raises:
    errors.DataError: as of list_own; or, without overwrite, it holds files and
      nothing that says of which conversion.
  """
  names = list_own(output)
  if not overwrite and not {manifest.MANIFEST_NAME, output_settings.NAME
                           } & set(names):
    _refuse_unknown(output, names)


def _refuse_unknown(output: str, names: list[str]) -> None:
  shown = [name for name in names if not name.startswith(_UNFINISHED)]
  if shown:
    raise errors.DataError(
        f'{output} holds {shown[0]!r}, but no manifest that says of which '
        'conversion; choose another --output, or replace it with --overwrite.')


def list_own(output: str) -> list[str]:
  """Returns the names of all files in a folder, [] where there is none.

  Without what file browsers put there.

  Raises:
    errors.DataError: it holds a file that no conversion writes, is no folder,
      or files would be written through a link.
  """
  output_lock.refuse_links(output)
  if not filesystem.is_remote(output) and not os.path.isdir(output):
    if os.path.lexists(output):
      raise errors.DataError(f'--output={output} is a file; choose another.')
    return []
  _refuse_no_files(output)
  names = [
      name for name in folders.list_names(output, recursive=True)
      if not litter.is_litter(name)
  ]
  foreign = _find_foreign(names)
  if foreign:
    raise errors.DataError(
        f'{output} holds {foreign[0]!r}, which no conversion writes; choose '
        'another --output, or move that file.')
  return names


def _refuse_no_files(output: str) -> None:
  """Refuses folders, pipes and the like under the names of a dataset's files.
  """
  if filesystem.is_remote(output):
    return
  for name in sorted(os.listdir(output)):
    path = os.path.join(output, name)
    if _OWN_NAME.fullmatch(name) and not os.path.isfile(path):
      raise errors.DataError(
          f'{path} is not a regular file, but has the name of one that a '
          'conversion writes; move it elsewhere, or choose another --output.')


def count_bytes(output: str) -> int:
  """Returns the bytes of all files that list_own names, but links."""
  paths = [os.path.join(output, name) for name in list_own(output)]
  return sum(
      filesystem.size(path) or 0 for path in paths if not os.path.islink(path))


def _find_foreign(names: list[str]) -> list[str]:
  """Returns those of the names in an output folder that we do not write."""
  return [
      name for name in names
      if not (_OWN_UNFINISHED.fullmatch(name[len(_UNFINISHED):]) if name.
              startswith(_UNFINISHED) else _OWN_NAME.fullmatch(name))
  ]


def clear(output: str, settings: shard_plan.Settings, csv_sha256: str) -> None:
  """Removes what a locked folder holds, but an unfinished same conversion.

  That one is gone on with, so that --overwrite too can be cut off.
  """
  names = list_own(output)
  if manifest.MANIFEST_NAME not in names:
    with contextlib.suppress(errors.DataError):
      find(output, settings, csv_sha256)
      return
  filesystem.remove(os.path.join(output, manifest.MANIFEST_NAME))
  folders.remove_files(shard_writer.unfinished_folder(output),
                       os.path.basename(output_settings.NAME).__eq__)
  remove_strays(output, set())


def remove_strays(output: str, shard_names: set[str]) -> None:
  """Removes what a plan does not name: shards of another plan, half files.

  Of files with the names that a conversion makes; others are left.
  """
  # All but shards is written at the end.
  folders.remove_files(
      _inside(output),
      lambda name: name not in shard_names and bool(_OWN_NAME.fullmatch(name)))
  folders.remove_files(
      shard_writer.unfinished_folder(output),
      lambda name: name.endswith(filesystem.TEMPORARY_SUFFIX) and bool(
          _OWN_UNFINISHED.fullmatch(name)))


def tidy(output: str) -> None:
  """Removes the folder .unfinished of a finished, locked conversion.

  Says on stderr which files of others are there, and leaves them.
  """
  unfinished = shard_writer.unfinished_folder(output)
  # The lock last: another converter that has just made one anew keeps it,
  # finds the manifest, and tidies in its turn.
  folders.remove_files(
      unfinished, lambda name: name != output_lock.LOCK_NAME and bool(
          _OWN_UNFINISHED.fullmatch(name)))
  folders.remove_files(unfinished, output_lock.LOCK_NAME.__eq__)
  folders.remove_empty(unfinished)
  foreign = _find_foreign([
      name for name in folders.list_names(output, recursive=True)
      if not litter.is_litter(name)
  ])
  if foreign:
    print(printable.escape(
        f'{output} holds {len(foreign)} file(s) that no conversion writes, '
        f'such as {foreign[0]!r}; move them elsewhere.'),
          file=sys.stderr)


def is_tidy(output: str) -> bool:
  """Returns whether a folder has no folder .unfinished."""
  if filesystem.is_remote(output):
    return not any(
        name.startswith(_UNFINISHED)
        for name in folders.list_names(output, recursive=True))
  return not os.path.lexists(shard_writer.unfinished_folder(output))


def _inside(output: str) -> str:
  """Returns a path of the folder that is no link, whatever output is."""
  if filesystem.is_remote(output):
    return output
  return os.path.join(output, os.curdir)
