"""Settings of training, each defined once by a field of config.Config.

The metadata of a field hold its help, its values and whether it may change.
Checks, flags, --help and the table in docs/reference.md are generated from it.
"""

import dataclasses
import sys
from typing import Any

from absl import flags

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.runtime import printable

GROUPS = ('Input and output', 'Balance', 'Augmentation', 'Network',
          'Starting weights', 'Optimization', 'Schedule and metrics', 'Reading',
          'Devices', 'Running')
LEAST_FLOAT = 1e-30  # some devices take smaller numbers for 0
LARGEST_FLOAT = 3.4e38  # that float32 holds, as TensorBoard does
MOST = 2**31  # of what TensorFlow counts
FROM_0 = {'within': (0, LARGEST_FLOAT), 'or_0': True}
_KEY = 'setting'

_TYPES = {
    int: 'a whole number',
    float: 'a number',
    str: 'a text',
    bool: 'true or false'
}
_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_bool
}


@dataclasses.dataclass(frozen=True)
class Setting:
  """The metadata of a setting: all but its name, type and default.

  Attributes:
    group: heading in --help and docs/reference.md, one of GROUPS.
    help: what it does, one sentence.
    choices: all allowed values; () if they are not listed.
    within: (smallest value, exclusive upper bound); () if there are none.
    or_0: whether 0 is allowed; other values are then at least LEAST_FLOAT.
    is_free: whether it may change on resume, because it does not change the
      numbers of a run.
    is_own: whether the workers of a run may differ in it.
  """
  group: str
  help: str
  choices: tuple[str, ...] = ()
  within: tuple[float, float] | tuple[()] = ()
  or_0: bool = False
  is_free: bool = False
  is_own: bool = False


def define(group: str,
           text: str,
           default: Any = dataclasses.MISSING,
           **options: Any) -> Any:
  """Returns a dataclass field with the metadata of a setting.

  Args:
    group: as of Setting.
    text: its help.
    default: of the field; by default it has none.
    **options: other attributes of Setting.
  """
  # pylint: disable-next=invalid-field-call
  return dataclasses.field(default=default,
                           metadata={_KEY: Setting(group, text, **options)})


def of(field: dataclasses.Field) -> Setting:
  """Returns the metadata of a field made by define."""
  return field.metadata[_KEY]


def check_all(settings: Any) -> None:
  """Checks all settings of an instance of a dataclass.

  Raises:
    errors.DataError: as check.
  """
  for field in dataclasses.fields(settings):
    check(field, getattr(settings, field.name))


def check(field: dataclasses.Field, value: Any) -> None:
  """Checks a value of a setting.

  Raises:
    errors.DataError: it is of another type, or out of range.
  """
  name, setting = field.name, of(field)
  _check_type(name, value, field.type)
  if setting.choices and value not in setting.choices:
    raise errors.DataError(f'Expected --{name} to be one of '
                           f'{", ".join(filter(None, setting.choices))}, '
                           f'received {value!r}.')
  if setting.within:
    least, below = setting.within
    if not least <= value < below:
      raise errors.DataError(
          f'Expected --{name} from {least} to below {below}, '
          f'received {value}.')
  if setting.or_0 and 0 < value < LEAST_FLOAT:
    raise errors.DataError(f'Expected --{name} of 0, or at least '
                           f'{LEAST_FLOAT}, received {value}.')


def _check_type(name: str, value: Any, wanted: Any) -> None:
  """Raises DataError for a value of another type; an int is a float, too."""
  types = (int, float) if wanted is float else wanted
  fits = isinstance(value, types) and isinstance(value, bool) == (wanted
                                                                  is bool)
  if not fits or (wanted is float and abs(value) > sys.float_info.max):
    raise errors.DataError(f'Expected --{name} as {_TYPES[wanted]}, received '
                           f'{printable.quote(str(value))}.')
  if wanted is str and len(value) > spec.MAX_SETTING:
    raise errors.DataError(
        f'Expected --{name} of at most {spec.MAX_SETTING} characters, '
        f'received {len(value):,}: {printable.quote(value)}.')


def define_flag(field: dataclasses.Field) -> None:
  """Defines the flag of a setting; without a default it is ''."""
  default = '' if field.default is dataclasses.MISSING else field.default
  setting = of(field)
  if setting.choices:
    flags.DEFINE_enum(field.name, default, setting.choices, setting.help)
  else:
    _DEFINE[field.type](field.name, default, setting.help)


def list_fields(kind: type) -> list[dataclasses.Field]:
  """Returns the settings of a dataclass, in the order of GROUPS."""
  return sorted(dataclasses.fields(kind),
                key=lambda field: GROUPS.index(of(field).group))


def list_groups(kind: type) -> dict[str, list[str]]:
  """Returns the names of all settings of a dataclass by their group."""
  found: dict[str, list[str]] = {}
  for field in list_fields(kind):
    found.setdefault(of(field).group, []).append(field.name)
  return found


def tabulate(kind: type) -> str:
  """Returns all settings of a dataclass in Markdown: a table for each group."""
  lines = []
  group = ''
  for field in list_fields(kind):
    setting = of(field)
    if setting.group != group:
      group = setting.group
      lines += [
          '', f'**{group}**', '',
          '| flag | default | values | what | may change on resume |',
          '|---|---|---|---|---|'
      ]
    default = ('' if field.default in (dataclasses.MISSING,
                                       '') else f'`{field.default}`')
    cells = (f'`--{field.name}`', default, _describe_values(field),
             setting.help, 'yes' if setting.is_free else 'no')
    lines.append(
        f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |')
  return '\n'.join(lines[1:]) + '\n'


def _describe_values(field: dataclasses.Field) -> str:
  setting = of(field)
  if setting.choices:
    return ', '.join(f'`{each}`' for each in setting.choices if each)
  if not setting.within:
    return _TYPES[field.type]
  least, below = setting.within
  zero = f'0, or from {LEAST_FLOAT:g}' if setting.or_0 else f'from {least:,}'
  return f'{_TYPES[field.type]}, {zero} to below {below:,}'
