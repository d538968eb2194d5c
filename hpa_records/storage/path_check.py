"""What a command writes is not what it reads: no path of a command is both.

Paths are compared by what they lead to, so links and other spellings of a path
are the same path.
"""

import os
import re
from typing import Iterable, Sequence

from hpa_records.runtime import errors
from hpa_records.storage import address

Paths = Sequence[tuple[str, str]]  # (flag, path), '' where it was not given


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
