"""Checks of the paths in a command's flags.

They must be well-formed and writable, and outputs must not overlap inputs.
Paths are compared after resolving links, so different spellings of one path
are equal.
"""

import contextlib
import errno
import os
import re
from typing import Iterable, Iterator, Sequence

from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import folders

Paths = Sequence[tuple[str, str]]  # (flag, path), '' where not given
_HEAD_BYTES = 1000


def refuse_shared(
    outputs: Paths, inputs: Paths, closed: Paths = (),
    filled: Paths = ()) -> None:
  """Checks that no path is both written and read, or written twice.

  Args:
    outputs: files and folders that a command writes.
    inputs: files and folders that it reads.
    closed: folders that are read and must not contain an output.
    filled: folders that are written and must not contain an input.

  Raises:
    errors.DataError: two paths overlap; names both flags and paths.
  """
  outputs, inputs = _given(outputs), _given(inputs)
  for number, (flag, path) in enumerate(outputs):
    for other, taken in [*inputs, *outputs[:number]]:
      if _is_same(path, taken):
        raise errors.DataError(
            f'--{flag}={path} and --{other}={taken} are the same path; choose '
            f'another --{flag}.')
    for other, folder in _given(closed):
      if _is_in(path, folder):
        raise errors.DataError(
            f'--{flag}={path} is inside the input folder --{other}={folder}; '
            f'choose another --{flag}.')
  for flag, path in inputs:
    for other, folder in _given(filled):
      if _is_in(path, folder):
        raise errors.DataError(
            f'--{flag}={path} is inside the output folder --{other}={folder}; '
            f'choose another --{other}.')


def _given(paths: Paths) -> list[tuple[str, str]]:
  return [(flag, path) for flag, path in paths if path]


def _is_same(path: str, other: str) -> bool:
  path, other = _resolve(path), _resolve(other)
  if path == other:
    return True
  try:
    return os.path.samefile(path, other)
  except (OSError, ValueError):  # one does not exist, or is an address
    return False


def _is_in(path: str, folder: str) -> bool:
  """Returns whether path is the folder or anywhere inside it."""
  return any(_is_same(each, folder) for each in _above(_resolve(path)))


def _above(path: str) -> Iterable[str]:
  """Yields the path and all folders above it."""
  while True:
    yield path
    above = os.path.dirname(path)
    if above in ('', path):
      return
    path = above


def _resolve(path: str) -> str:
  path = driver.strip_file(path)
  if filesystem.is_remote(path):
    scheme, _, rest = path.partition('://')
    return f'{scheme}://' + re.sub('/+', '/', rest).rstrip('/')
  return os.path.realpath(path)


def require_path(path: str, flag: str) -> str:
  """Returns path, local or an address, without a trailing slash.

  Args:
    path: given by the user; ~ is expanded, since shells leave --flag=~/x as
      it is.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: path is empty, a scheme without a path, ~name of an
      unknown user, or an address with a password.
  """
  if not path:
    raise errors.DataError(f'--{flag} is missing; pass --{flag}=PATH.')
  path = driver.strip_file(path)
  driver.refuse_secrets(path)
  if filesystem.is_remote(path):
    found = path.rstrip('/')
    if not filesystem.is_remote(found):  # only slashes after the scheme
      raise errors.DataError(f'No path after the scheme in --{flag}={path}; '
                             'pass the complete address.')
    return found
  found = os.path.expanduser(path)
  if found.startswith('~') and not os.path.lexists(found):
    raise errors.DataError(
        f'No home folder {path.split(os.sep)[0]} in --{flag}={path}; for a '
        f'file or folder of that name pass ./{path}.')
  return os.path.normpath(found)


def require_local(path: str, flag: str) -> str:
  """Returns a local path without a trailing slash.

  Args:
    path: given by the user.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: path is empty or an address.
  """
  path = require_path(path, flag)
  if filesystem.is_remote(path):
    raise errors.DataError(f'Expected a local path, received --{flag}={path}; '
                           'copy the files to local disk first.')
  return path


@contextlib.contextmanager
def translate_write_errors(path: str, flag: str = 'output') -> Iterator[None]:
  """Raises OSErrors of a block that writes to path as one-line errors.

  Args:
    path: given by the user, or a path below it.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: in place of OSError.
  """
  try:
    yield
  except OSError as error:
    raise errors.describe_write(path, error,
                                f'Or pass another --{flag}.') from error


def prepare_output(path: str, flag: str = 'output') -> None:
  """Creates the folder of an output file and checks that it can be written.

  Args:
    path: of the file.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: the folder cannot be created; or the local file cannot be
      written, or its name is that of a folder or a device.
  """
  with translate_write_errors(path, flag):
    folders.make(os.path.dirname(path) or os.curdir)
    if filesystem.is_remote(path):
      return
    if os.path.isdir(path):
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.lexists(path) and not os.path.isfile(path):
      raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    temporary = filesystem.temporary_name(path)
    with open(temporary, 'xb'):
      pass
    filesystem.remove(temporary)


def refuse_foreign(path: str, mark: str, flag: str) -> None:
  """Checks that an output file does not replace one of another program.

  Args:
    path: of the file to write.
    mark: text near the start of each file that this program writes.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: path exists and is not a file with the mark.
    OSError: a local file cannot be read.
  """
  if filesystem.size(path) is not None:
    with filesystem.open_read(path) as file:
      if mark.encode() in file.read(_HEAD_BYTES):
        return
  elif not os.path.lexists(path):
    return
  raise errors.DataError(
      f'{path} exists and was not written by this program; move or remove it, '
      f'or choose another --{flag}.')
