"""Paths that a command's flags give: well-formed, writable, and never shared.

What a command writes is not what it reads. Paths are compared by what they lead
to, so links and other spellings of a path are the same path.
"""

import contextlib
import errno
import os
import re
from typing import Iterable, Iterator, Sequence

from hpa_records.runtime import errors
from hpa_records.storage import address
from hpa_records.storage import filesystem
from hpa_records.storage import folders

Paths = Sequence[tuple[str, str]]  # (flag, path), '' where it was not given
_HEAD_BYTES = 1000


def refuse_shared(
    outputs: Paths, inputs: Paths, closed: Paths = (),
    filled: Paths = ()) -> None:
  """Refuses a path that is written and read, or written twice.

  Args:
    outputs: files and folders that a command writes.
    inputs: files and folders that it reads.
    closed: folders of this project that are read: no output goes into them.
    filled: folders of this project that are written: no input lies in them.

  Raises:
    errors.DataError: names flags and paths.
  """
  outputs, inputs = _given(outputs), _given(inputs)
  for number, (flag, path) in enumerate(outputs):
    for other, taken in [*inputs, *outputs[:number]]:
      if _is_same(path, taken):
        raise errors.DataError(
            f'--{flag} and --{other} lead to the same place, received {path} '
            f'and {taken}; choose another --{flag}.')
    for other, folder in _given(closed):
      if _is_in(path, folder):
        raise errors.DataError(
            f'--{flag} lies in a folder that --{other} reads, received {path} '
            f'inside {folder}; choose another --{flag}.')
  for flag, path in inputs:
    for other, folder in _given(filled):
      if _is_in(path, folder):
        raise errors.DataError(
            f'--{flag} lies in a folder that --{other} writes, received {path} '
            f'inside {folder}; choose another --{other}.')


def _given(paths: Paths) -> list[tuple[str, str]]:
  return [(flag, path) for flag, path in paths if path]


def _is_same(path: str, other: str) -> bool:
  path, other = _resolve(path), _resolve(other)
  if path == other:
    return True
  try:
    return os.path.samefile(path, other)
  except (OSError, ValueError):  # one is not there, or an address
    return False


def _is_in(path: str, folder: str) -> bool:
  """Whether a path is a folder, or lies anywhere below it."""
  return any(_is_same(each, folder) for each in _above(_resolve(path)))


def _above(path: str) -> Iterable[str]:
  """The path, the folder that it is in, and so on."""
  while True:
    yield path
    above = os.path.dirname(path)
    if above in ('', path):
      return
    path = above


def _resolve(path: str) -> str:
  if path.startswith('file://'):
    path = path.removeprefix('file://')
  if address.is_address(path):
    scheme, _, rest = path.partition('://')
    return f'{scheme}://' + re.sub('/+', '/', rest).rstrip('/')
  return os.path.realpath(path)


def require_path(path: str, flag: str) -> str:
  """Returns path, local or an address, without a trailing slash.

  Args:
    path: what the user gave. A shell leaves the ~ of --flag=~/x as it is: it is
      the home folder here.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: path is empty, a scheme alone, or the home folder of no
      one.
  """
  if not path:
    raise errors.DataError(f'--{flag} is missing; pass --{flag}=PATH.')
  if filesystem.is_remote(path):
    found = path.rstrip('/')
    if not filesystem.is_remote(found):  # only slashes stand behind the scheme
      raise errors.DataError(f'Nothing follows the scheme in --{flag}={path}; '
                             'give the whole address.')
    return found
  found = os.path.expanduser(path)
  if found.startswith('~') and not os.path.lexists(found):
    raise errors.DataError(
        f'There is no home folder {path.split(os.sep)[0]}, received '
        f'--{flag}={path}; a file or folder of that name is ./{path}.')
  return os.path.normpath(found)


def require_local(path: str, flag: str) -> str:
  """Returns path, a local one, without a trailing slash.

  Raises:
    errors.DataError: path is empty or an address.
  """
  path = require_path(path, flag)
  if filesystem.is_remote(path):
    raise errors.DataError(f'Expected a local path, received --{flag}={path}; '
                           'copy the files to local disk first.')
  return path


@contextlib.contextmanager
def told_output(path: str, flag: str = 'output') -> Iterator[None]:
  """Tells in one line what a block cannot write to the --output of a command.

  Args:
    path: that the user gave, or one below it.
    flag: where, for the message.

  Raises:
    errors.DataError: in place of OSError.
  """
  try:
    yield
  except OSError as error:
    raise errors.describe_write(path, error,
                                f'Or pass another --{flag}.') from error


def prepare_output(path: str, flag: str = 'output') -> None:
  """Makes the folder of a file of --output, before work is spent on it.

  Args:
    path: of the file.
    flag: where it was given, for the message.

  Raises:
    errors.DataError: it cannot be made; or, of a local file, it could not be
      written there, or something else has its name, as a folder or a device.
  """
  with told_output(path, flag):
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
  """Refuses to replace what this program has not written.

  Args:
    path: of a file to write.
    mark: text near the start of each such file, by which its writer knows it.
    flag: where the path was given, for the message.

  Raises:
    errors.DataError: what has that name is no file, or one without the mark.
    OSError: a local file cannot be read.
  """
  if filesystem.size(path) is not None:
    with filesystem.open_read(path) as file:
      if mark.encode() in file.read(_HEAD_BYTES):
        return
  elif not os.path.lexists(path):
    return
  raise errors.DataError(
      f'{path} is there, and was not written by this program; move or remove '
      f'it, or choose another --{flag}.')
