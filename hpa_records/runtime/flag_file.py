"""Files of flags, one a line, as --flagfile names them.

absl reads them itself, but stumbles over a byte-order mark, and over spaces
before a comment.
"""

import os
from typing import Iterable

from absl import flags

from hpa_records.runtime import errors

_NAMES = ('--flagfile', '-flagfile')
_MAX_CHARACTERS = 2**20  # of one file
_MAX_FILES = 100  # that name each other


def expand(arguments: Iterable[str]) -> list[str]:
  """Returns arguments with the lines of a file in place of each --flagfile.

  Args:
    arguments: of a command, without its name.

  Raises:
    errors.DataError: a file cannot be read, is not text, is too long, or is in
      itself; or there are too many.
    flags.Error: --flagfile without a name.
  """
  return _expand(arguments, (), [])


def _expand(arguments: Iterable[str], inside: tuple[str, ...],
            opened: list[str]) -> list[str]:
  """The same, for arguments from files, each in the one before.

  Args:
    arguments: as of expand.
    inside: the files that they are from.
    opened: all files so far; those that are read now are added.
  """
  found, rest = [], iter(arguments)
  for argument in rest:
    if argument == '--':  # behind it are words
      return [*found, argument, *rest]
    name, has_value, value = argument.partition('=')
    if name not in _NAMES:
      found.append(argument)
      continue
    path = value if has_value else next(rest, '')
    if not path and not has_value:
      raise flags.Error('--flagfile needs the name of a file')
    if path:
      path = os.path.expanduser(path)
      if path in inside:
        raise errors.DataError(
            f'The flag file {path} names itself as --flagfile.')
      opened.append(path)
      if len(opened) > _MAX_FILES:
        raise errors.DataError(f'More than {_MAX_FILES} flag files name each '
                               f'other, the last is {path}; join them.')
      found += _expand(_read(path, inside), (*inside, path), opened)
  return found


def _read(path: str, inside: tuple[str, ...]) -> list[str]:
  """The flags of a file; comments and empty lines left out."""
  try:
    with open(path, encoding='utf-8-sig') as file:
      text = file.read(_MAX_CHARACTERS + 1)
    if '\0' in text:
      raise ValueError('a NUL, which no path has')
  except FileNotFoundError as error:
    named = (f', which {inside[-1]} names: the name is relative to the current '
             'folder, so start the command in that of the file'
             if inside else '')
    raise errors.DataError(f'There is no flag file {path}{named}.') from error
  except OSError as error:
    raise errors.describe_read(path, error) from error
  except ValueError as error:
    raise errors.DataError(f'The flag file {path} is not text in UTF-8; save '
                           'it as such.') from error
  if len(text) > _MAX_CHARACTERS:
    raise errors.DataError(f'The flag file {path} has more than '
                           f'{_MAX_CHARACTERS:,} characters; is it another '
                           'file?')
  lines = [line.strip() for line in text.split('\n')]
  return [line for line in lines if line and not line.startswith(('#', '//'))]
