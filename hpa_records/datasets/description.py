"""Reads the description of a dataset: from a TOML file, or from a manifest.

toml_form checks what they contain.
"""

import dataclasses
import functools
import importlib.resources
import os
import sys
from typing import Any, Mapping, Sequence, TYPE_CHECKING

from hpa_records.datasets import consistency
from hpa_records.datasets import layout
from hpa_records.datasets import toml_form
from hpa_records.format import spec as spec_lib
from hpa_records.images import crop
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import path_check

if TYPE_CHECKING:  # its pandas would make commands start slowly
  from hpa_records.format import manifest as manifest_lib

if sys.version_info >= (3, 11):
  import tomllib
else:
  import tomli as tomllib

DEFAULT = 'hpa2018'

_ENDING = '.toml'
_MAX_BYTES = 2**18
# In a line: the time and memory for a key of n parts grow with n squared.
_MAX_DOTS = 100


def names() -> list[str]:
  """Returns the names of the built-in descriptions, sorted."""
  folder = importlib.resources.files(__package__)
  return sorted(each.name[:-len(_ENDING)]
                for each in folder.iterdir()
                if each.name.endswith(_ENDING))


def load(name: str, changes: Sequence[str] = ()) -> layout.Description:
  """Returns a description.

  Args:
    name: of a built-in one, or path of a TOML file.
    changes: TOML lines such as 'images.pattern = "{id}.tif"', which replace
      single values.

  Raises:
    errors.DataError: there is no such file, or it is not a description.
  """
  if not name.endswith(_ENDING):
    if name not in names():
      raise errors.DataError(
          f'Expected --dataset to be one of {", ".join(names())}, or a .toml '
          f'file, received {printable.quote(name)}.')
    folder, text = '', importlib.resources.files(__package__).joinpath(
        name + _ENDING).read_text('utf-8')
  else:
    name = path_check.require_path(name, 'dataset')
    folder, text = os.path.dirname(name), _read(name)
  content = _parse_toml(text, name)
  for each in changes:
    _merge(content, _parse_toml(each, f'--set={printable.escape_line(each)}'))
  content.setdefault('name', os.path.basename(name).removesuffix(_ENDING))
  classes = content.get('classes')
  if isinstance(classes, dict) and isinstance(classes.get('file'), str):
    content['classes'] = _read_classes(folder, classes['file'], name)
  return toml_form.parse(content, name)


@functools.cache
def default() -> layout.Description:
  """Returns the description of Kaggle's dataset of 2018."""
  return load(DEFAULT)


def is_default(found: layout.Description) -> bool:
  """Returns whether only change made this of the default description."""
  mine = default()
  same = dataclasses.replace(found,
                             images=dataclasses.replace(
                                 found.images, pattern=mine.images.pattern),
                             table=dataclasses.replace(found.table,
                                                       fold=mine.table.fold))
  if found.intensity.rule == mine.intensity.rule:
    same = dataclasses.replace(same, intensity=mine.intensity)
  return same == mine


def change(found: layout.Description,
           pattern: str = '',
           white_level: int = 0,
           fold_column: str = '') -> layout.Description:
  """Returns a description with other values, checked.

  Args:
    found: the description.
    pattern: in place of its own; '' keeps it.
    white_level: in place of its intensity rule, for all channels; 0 keeps it.
    fold_column: in place of its own, and of its groups; '' keeps them.

  Raises:
    errors.DataError: the values contradict each other; or there is a pattern,
      and channels have paths of their own.
  """
  images, table, intensity = found.images, found.table, found.intensity
  channels = found.channels
  if pattern and pattern != images.pattern:
    if any(each.path for each in channels):
      raise errors.DataError(
          f'The channels of the dataset {found.name} have paths of their own; '
          'change those in its description, and leave out --pattern.')
    images = dataclasses.replace(images, pattern=pattern)
  if white_level:
    intensity = dataclasses.replace(intensity,
                                    rule='white_level',
                                    white_level=white_level)
    channels = tuple(
        dataclasses.replace(each, white_level=0) for each in channels)
  if fold_column and fold_column != table.fold:
    table = dataclasses.replace(table, fold=fold_column, group=())
  found = dataclasses.replace(found,
                              channels=channels,
                              images=images,
                              table=table,
                              intensity=intensity)
  try:
    consistency.check(found)
  except ValueError as error:
    flag = f' with --pattern={pattern!r:.80}' if pattern else ''
    raise errors.DataError(f'Invalid settings of the dataset {found.name}'
                           f'{flag}: {error}.') from error
  return found


def of_settings(settings: Mapping[str, Any],
                classes: Sequence[str]) -> layout.Description:
  """Returns the description with which a dataset was converted.

  Args:
    settings: of a manifest.
    classes: the names of its classes; aliases are not stored.

  Raises:
    errors.DataError: the stored description is invalid, or the pixel size is.
  """
  if 'description' in settings:
    found = toml_form.parse(
        {
            **settings['description'], 'classes': list(classes)
        }, 'The stored description')
  else:
    found = dataclasses.replace(default(),
                                classes=tuple(map(layout.Class, classes)))
    found = change(found, settings.get('pattern', ''),
                   settings.get('white_level', 0),
                   settings.get('fold_column', ''))
  pixel_um = settings.get('pixel_um', 0)
  if not 0 <= pixel_um < crop.MAX_UM:
    raise errors.DataError('Expected a stored pixel_um above 0, received '
                           f'{pixel_um!r:.40}.')
  if pixel_um and not found.images.pixel_um:
    raise errors.DataError(
        f'The stored pixel_um of {pixel_um} needs images.pixel_um in the '
        'stored description.')
  return found


def spec_of(manifest: 'manifest_lib.Manifest') -> spec_lib.Spec:
  """Returns the spec of a dataset.

  Raises:
    errors.DataError: its description is invalid, or has other channels than
      the manifest.
  """
  try:
    found = of_settings(manifest.settings,
                        manifest.classes).spec(manifest.image_size,
                                               manifest.settings['encoding'])
  except ValueError as error:
    reason = str(error).rstrip('.')
    raise errors.DataError(f'Invalid spec of a dataset: {reason}; convert the '
                           'data again.') from error
  if found.channel_names != tuple(manifest.channels):
    raise errors.DataError(
        f'Expected the channels {printable.show_list(found.channel_names)} of '
        'the description, received '
        f'{printable.show_list(manifest.channels)}; convert the data again.')
  return found


def _read(path: str) -> str:
  data = filesystem.read_at_most(path, _MAX_BYTES,
                                 'the description of a dataset')
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise errors.DataError(
        f'{path} is not UTF-8 text; save it as UTF-8.') from error


def _parse_toml(text: str, source: str) -> dict[str, Any]:
  if any(line.count('.') > _MAX_DOTS for line in text.split('\n')):
    raise errors.DataError(f'{source} has a line with more than {_MAX_DOTS} '
                           'dots; break it.')
  try:
    return tomllib.loads(text)
  except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
    raise errors.DataError(
        f'{source} is not valid TOML: {printable.join_lines(str(error))}; '
        'correct it.') from error


def _merge(content: dict[str, Any], other: dict[str, Any]) -> None:
  """Replaces single values in content by those of the other."""
  for key, value in other.items():
    if isinstance(value, dict) and isinstance(content.get(key), dict):
      _merge(content[key], value)
    else:
      content[key] = value


def _read_classes(folder: str, file: str, source: str) -> list[str]:
  """Returns the lines of the file of a description's classes."""
  if not consistency.is_below(file):
    raise errors.DataError(
        f'Expected the file of the classes of {source} beside it or below its '
        f'folder, with / between its parts, received {printable.quote(file)}; '
        'copy it there.')
  lines = _read(os.path.join(folder, file)).splitlines()
  found = [line.strip() for line in lines if line.strip()]
  if not found:
    raise errors.DataError(f'No classes in {file} of {source}; write '
                           'one name a line.')
  return found
