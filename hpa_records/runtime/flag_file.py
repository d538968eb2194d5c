"""Files of flags, one a line, as --flagfile names them.

absl's own reader fails on a byte-order mark and on spaces before a comment.
"""

import os
from typing import Iterable

from absl import flags

from hpa_records.runtime import errors

_NAMES = ('--flagfile', '-flagfile')
_MAX_CHARACTERS = 2**20  # of one file
_MAX_FILES = 100  # of one command, nested ones included


def split(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
  """Returns the arguments that name flag files, as --flagfile=FILE, and others.

  Args:
    arguments: of a command, without its name and without --.
  """
  files, others, rest = [], [], iter(arguments)
  for argument in rest:
    name, has_value, value = argument.partition('=')
    if name in _NAMES:
      files.append(f'--flagfile={value if has_value else next(rest, "")}')
    else:
      others.append(argument)
  return files, others


def expand(arguments: Iterable[str]) -> list[str]:
  """Returns arguments with each --flagfile replaced by the lines of its file.

  Args:
    arguments: of a command, without its name.

  Raises:
    errors.DataError: a file cannot be read, is not text, is too long, or
      includes itself; or there are too many files.
    flags.Error: --flagfile without a name.
  """
  return _expand(arguments, (), [])


def _expand(arguments: Iterable[str], inside: tuple[str, ...],
            opened: list[str]) -> list[str]:
  """As expand, for nested files.

  Args:
    arguments: as in expand.
    inside: the files that include these arguments, outermost first.
    opened: all files read so far; extended in place.
  """
  found, rest = [], iter(arguments)
  for argument in rest:
    if argument == '--':  # positional arguments follow
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
            f'The flag file {path} includes itself by --flagfile; remove that '
            'line.')
      opened.append(path)
      if len(opened) > _MAX_FILES:
        raise errors.DataError(f'More than {_MAX_FILES} flag files, the last '
                               f'is {path}; join them.')
      found += _expand(_read(path, inside), (*inside, path), opened)
  return found


def _read(path: str, inside: tuple[str, ...]) -> list[str]:
  """Returns the flags of a file, without comments and empty lines."""
  try:
    with open(path, encoding='utf-8-sig') as file:
      text = file.read(_MAX_CHARACTERS + 1)
    if '\0' in text:
      raise ValueError('a NUL, which no path has')
  except FileNotFoundError as error:
    named = (f', included by {inside[-1]}: the name is relative to the current '
             'folder, so start the command in the folder of the file'
             if inside else '')
    raise errors.DataError(f'No flag file {path}{named}.') from error
  except OSError as error:
    raise errors.describe_read(path, error) from error
  except ValueError as error:
    raise errors.DataError(f'The flag file {path} is not UTF-8 text; save it '
                           'as UTF-8.') from error
  if len(text) > _MAX_CHARACTERS:
    raise errors.DataError(f'The flag file {path} has more than '
                           f'{_MAX_CHARACTERS:,} characters; pass a file of '
                           'flags.')
  lines = [line.strip() for line in text.split('\n')]
  return [line for line in lines if line and not line.startswith(('#', '//'))]
