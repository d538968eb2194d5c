"""Locks on an output folder, by which conversions keep out of each other's way.

The whole conversion locks the folder for itself; jobs that make one shard each
share the folder and lock their shard. The locks are files in the folder
.unfinished. The operating system gives a lock back when its process dies, so a
killed conversion locks nobody out. Addresses such as gs:// have no locks:
there, start one conversion at a time.
"""

import contextlib
import os
import sys
import time
from typing import Iterator

from hpa_records.conversion import shard_writer
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import folders

LOCK_NAME = 'lock'
CHECKED_NAME = 'checked.json'  # what checked_table writes in .unfinished
_WAIT_S = 0.5


@contextlib.contextmanager
def lock(output: str) -> Iterator[None]:
  """Holds a folder for the conversion of all shards while the block runs.

  Args:
    output: folder of the dataset, whose folder .unfinished is made.

  Raises:
    errors.DataError: another conversion is running there, or .unfinished is a
      link.
  """
  with _hold(output, LOCK_NAME):
    yield


@contextlib.contextmanager
def share(output: str) -> Iterator[None]:
  """Holds a folder for the conversion of one shard, beside others of its kind.

  Args and errors: as of lock.
  """
  with _hold(output, LOCK_NAME, shared=True):
    yield


@contextlib.contextmanager
def lock_shard(output: str, name: str) -> Iterator[None]:
  """Holds one shard of a shared folder while the block runs.

  Args and errors: as of lock.
  """
  with _hold(output, f'{name}.{LOCK_NAME}'):
    yield


@contextlib.contextmanager
def take_turn(output: str) -> Iterator[None]:
  """Lets one after the other of those who share a folder run the block.

  Args and errors: as of lock.
  """
  with contextlib.ExitStack() as held:
    is_told = False
    while True:
      try:
        held.enter_context(_hold(output, f'{CHECKED_NAME}.{LOCK_NAME}'))
        break
      except _BusyError:
        if not is_told:
          print('Waiting for another job, which checks the input.',
                file=sys.stderr)
        is_told = True
        time.sleep(_WAIT_S)
    yield


class _BusyError(errors.DataError):
  """Another process holds the lock."""


@contextlib.contextmanager
def _hold(output: str, name: str, shared: bool = False) -> Iterator[None]:
  unfinished = shard_writer.unfinished_folder(output)
  refuse_links(output)
  if filesystem.is_remote(output):
    folders.make(unfinished)
    yield
    return
  with contextlib.ExitStack() as held:
    try:
      held.enter_context(
          file_lock.hold(
              os.path.join(unfinished, name),
              f'Another conversion is running in {output}; wait until it ends, '
              'or choose another --output', shared))
    except errors.DataError as error:
      raise _BusyError(str(error)) from error
    yield


def refuse_links(output: str) -> None:
  """Refuses a folder where files would be written through a link.

  Args:
    output: folder of the dataset, which may be reached by a link itself.

  Raises:
    errors.DataError: a link on the way leads nowhere, or .unfinished is one.
  """
  if filesystem.is_remote(output):
    return
  dangling = errors.find_dangling_link(output)
  if dangling:
    raise errors.DataError(f'Cannot write to {output}: {dangling}')
  unfinished = shard_writer.unfinished_folder(output)
  if os.path.islink(unfinished):
    target = printable.escape_line(os.readlink(unfinished))
    raise errors.DataError(
        f'{unfinished} is a link to {target}. No conversion '
        'makes one there: remove the link, or choose another --output.')
