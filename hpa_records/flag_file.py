"""Files of flags, one a line, as --flagfile names them.

absl reads them itself, but stumbles over a byte-order mark, and over spaces
before a comment.
"""

import os
from typing import Iterable

from absl import flags

from hpa_records import os_error
from hpa_records import schema

_NAMES = ('--flagfile', '-flagfile')


def expand(arguments: Iterable[str], inside: tuple[str, ...] = ()) -> list[str]:
  """Returns arguments with the lines of a file in place of each --flagfile.

  Args:
    arguments: of a command, without its name.
    inside: the files that they are from, each in the one before.

  Raises:
    schema.DataError: a file cannot be read, is not text, or is in itself.
    flags.Error: --flagfile without a name.
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
      found += expand(_read(path, inside), (*inside, path))
  return found


def _read(path: str, inside: tuple[str, ...]) -> list[str]:
  """The flags of a file; comments and empty lines left out."""
  if path in inside:
    raise schema.DataError(f'The flag file {path} names itself as --flagfile.')
  try:
    with open(path, encoding='utf-8-sig') as file:
      lines = [line.strip() for line in file]
  except OSError as error:
    raise os_error.describe_read(path, error) from error
  except ValueError as error:
    raise schema.DataError(f'The flag file {path} is not text in UTF-8; save '
                           'it as such.') from error
  return [line for line in lines if line and not line.startswith(('#', '//'))]
