"""The output folder of a conversion: ownership and contents.

During a conversion its folder .unfinished contains the settings, a sidecar for
each shard, temporary files and the locks of output_lock.

Only files with names that a conversion writes are removed, and only in the
folder itself and in .unfinished, unless that is a link. Other programs have
files named manifest.json or index.parquet, too, so a folder with such files
must also have a shard, or the manifest or the settings of a conversion.
"""

import contextlib
import os
import re
import sys

from hpa_records.conversion.output import output_lock
from hpa_records.conversion.output import output_settings
from hpa_records.conversion import shard_plan
from hpa_records.conversion.unfinished import sidecar
from hpa_records.datasets import description
from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord
from hpa_records.inspection import manifest_check
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter

_UNFINISHED = f'{sidecar.UNFINISHED_NAME}/'

_SHARD = r'(fold[0-9]+|test)-[0-9]{5,}-of-[0-9]{5,}\.tfrecord'
_MANIFEST_MARK = b'"csv_sha256"'  # also in damaged ones and other versions
# Earlier versions wrote .tmp without the hex digits.
_TEMPORARY = r'(\.[0-9a-f]{8})?\.tmp'
_OWN_NAME = re.compile(
    rf'({_SHARD}|index\.parquet|manifest\.json|features\.json|'
    rf'dataset_info\.json|skipped\.csv)({_TEMPORARY})?')
_OWN_SHARD = re.compile(f'{_SHARD}({_TEMPORARY})?')
_OWN_UNFINISHED = re.compile(
    rf'(({_SHARD}|settings|issues|checked|levels)\.json)({_TEMPORARY})?|'
    rf'{_SHARD}{_TEMPORARY}|(({_SHARD}|checked\.json)\.)?lock')


def find(output: str, settings: shard_plan.Settings,
         csv_sha256: str) -> manifest.Manifest | None:
  """Returns the manifest of the finished dataset in a folder.

  Checks sizes of shards, not their content, as verify does. Changes nothing.

  Args:
    output: the folder.
    settings: of the requested conversion.
    csv_sha256: hex digest of its CSV.

  Returns:
    None if the folder is empty or has an unfinished conversion of this CSV.

  Raises:
    errors.DataError: the folder contains something other than a conversion of
      this CSV with these settings, or an invalid dataset.
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
    tfrecord.check_sizes(output, found.shard_bytes)
    for name, digest in found.files.items():  # small, of unknown size
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
                              description.spec_of(found), found.num_folds,
                              found.shards)
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
  """Refuses a folder with files that are not of a conversion.

  Args:
    output: folder of the dataset; may not exist.
    overwrite: whether files of a conversion may be replaced.

  Raises:
    errors.DataError: as of list_own; the folder has files but no shard, nor the
      manifest or the settings of a conversion; or overwrite is False and it has
      neither a manifest nor settings.
  """
  names = list_own(output)
  shown = _leave_unfinished(names)
  if shown and not _is_dataset(output, names):
    raise errors.DataError(
        f'{output} contains {shown[0]!r} but is not a dataset of this program; '
        'choose another --output, or move its files elsewhere.')
  if not overwrite and not {manifest.MANIFEST_NAME, output_settings.NAME
                           } & set(names):
    _refuse_unknown(output, names)


def _is_dataset(output: str, names: list[str]) -> bool:
  """Returns whether a folder has a dataset, maybe damaged or unfinished."""
  if output_settings.NAME in names or any(map(_OWN_SHARD.fullmatch, names)):
    return True
  path = os.path.join(output, manifest.MANIFEST_NAME)
  return _MANIFEST_MARK in (filesystem.read_small(path) or b'')


def _leave_unfinished(names: list[str]) -> list[str]:
  """Returns the names of files that are not in the folder .unfinished."""
  return [name for name in names if not name.startswith(_UNFINISHED)]


def _refuse_unknown(output: str, names: list[str]) -> None:
  shown = _leave_unfinished(names)
  if shown:
    raise errors.DataError(
        f'{output} contains {shown[0]!r} but no manifest; choose another '
        '--output, or replace its files with --overwrite.')


def list_own(output: str) -> list[str]:
  """Returns the names of all files of a conversion in a folder.

  Files of file browsers (litter.is_litter) are ignored.

  Args:
    output: the folder.

  Returns:
    Paths relative to the folder; [] if it does not exist.

  Raises:
    errors.DataError: it contains a file that no conversion writes, is not a
      folder, or files would be written through a link.
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
        f'{output} contains {foreign[0]!r}, which is not a file of a '
        'conversion; choose another --output, or move that file.')
  return names


def _refuse_no_files(output: str) -> None:
  """Refuses folders, pipes and devices with the names of a dataset's files.
  """
  if filesystem.is_remote(output):
    return
  for name in sorted(os.listdir(output)):
    path = os.path.join(output, name)
    if _OWN_NAME.fullmatch(name) and not os.path.isfile(path):
      raise errors.DataError(
          f'{path} is not a regular file but has the name of a file of a '
          'conversion; move it elsewhere, or choose another --output.')


def count_bytes(output: str) -> int:
  """Returns the size in bytes of all files of list_own, without links."""
  paths = [os.path.join(output, name) for name in list_own(output)]
  return sum(
      filesystem.size(path) or 0 for path in paths if not os.path.islink(path))


def _find_foreign(names: list[str]) -> list[str]:
  """Returns the names in an output folder that no conversion writes."""
  return [
      name for name in names
      if not (_OWN_UNFINISHED.fullmatch(name[len(_UNFINISHED):]) if name.
              startswith(_UNFINISHED) else _OWN_NAME.fullmatch(name))
  ]


def clear(output: str, settings: shard_plan.Settings, csv_sha256: str) -> None:
  """Removes the files of a conversion in a locked folder.

  An unfinished conversion of the same input and settings is kept, so that an
  interrupted --overwrite can be resumed.

  Args:
    output: the folder.
    settings: of the requested conversion.
    csv_sha256: hex digest of its CSV.
  """
  names = list_own(output)
  if manifest.MANIFEST_NAME not in names:
    with contextlib.suppress(errors.DataError):
      find(output, settings, csv_sha256)
      return
  filesystem.remove(os.path.join(output, manifest.MANIFEST_NAME))
  folders.remove_files(sidecar.unfinished_folder(output),
                       os.path.basename(output_settings.NAME).__eq__)
  # The shards last: they show that an interrupted removal may go on.
  remove_strays(output, set(filter(_OWN_SHARD.fullmatch, names)))
  remove_strays(output, set())


def remove_strays(output: str, shard_names: set[str]) -> None:
  """Removes shards of other plans and temporary files.

  Only files with names that a conversion writes are removed.

  Args:
    output: the locked folder.
    shard_names: names of the shards to keep.
  """
  # Everything but shards is written at the end.
  folders.remove_files(
      _unlinked(output),
      lambda name: name not in shard_names and bool(_OWN_NAME.fullmatch(name)))
  folders.remove_files(
      sidecar.unfinished_folder(output),
      lambda name: name.endswith(filesystem.TEMPORARY_SUFFIX) and bool(
          _OWN_UNFINISHED.fullmatch(name)))


def tidy(output: str) -> None:
  """Removes the folder .unfinished of a finished, locked conversion.

  Keeps foreign files in the output folder and prints their number to stderr.

  Args:
    output: folder of the dataset.
  """
  unfinished = sidecar.unfinished_folder(output)
  # The lock last: another converter that has just created its own keeps it,
  # finds the manifest and then removes the folder itself.
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
        f'{output} contains {len(foreign)} file(s) that are not of a '
        f'conversion, such as {foreign[0]!r}; move them elsewhere.'),
          file=sys.stderr)


def is_tidy(output: str) -> bool:
  """Returns whether an output folder has no folder .unfinished."""
  if filesystem.is_remote(output):
    return not any(
        name.startswith(_UNFINISHED)
        for name in folders.list_names(output, recursive=True))
  return not os.path.lexists(sidecar.unfinished_folder(output))


def _unlinked(output: str) -> str:
  """Returns a path of the folder that is not a link, even if output is."""
  if filesystem.is_remote(output):
    return output
  return os.path.join(output, os.curdir)
