"""Locks on an output folder, against simultaneous conversions.

A conversion of all shards locks the folder exclusively. Jobs that make one
shard each share the folder and lock their shard. The locks are files in the
folder .unfinished. The operating system releases a lock when its process dies.
Addresses such as gs:// have no locks: run one conversion at a time there.
"""

import contextlib
import os
import sys
import time
from typing import Iterator

from hpa_records.conversion.unfinished import sidecar
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import folders

LOCK_NAME = 'lock'
CHECKED_NAME = 'checked.json'  # written by checked_table in .unfinished
_WAIT_S = 0.5


@contextlib.contextmanager
def lock(output: str) -> Iterator[None]:
  """Locks a folder exclusively while the block runs.

  Args:
    output: folder of the dataset; its folder .unfinished is created.

  Raises:
    errors.DataError: another conversion is running there, or .unfinished is a
      link.
  """
  with _hold(output, LOCK_NAME):
    yield


@contextlib.contextmanager
def share(output: str) -> Iterator[None]:
  """Locks a folder, shared with other conversions of one shard.

  Args and errors: as of lock.
  """
  with _hold(output, LOCK_NAME, shared=True):
    yield


@contextlib.contextmanager
def lock_shard(output: str, name: str) -> Iterator[None]:
  """Locks one shard of a shared folder while the block runs.

  Args:
    output: folder of the dataset.
    name: of the shard.

  Raises:
    errors.DataError: as lock.
  """
  with _hold(output, f'{name}.{LOCK_NAME}'):
    yield


@contextlib.contextmanager
def take_turn(output: str) -> Iterator[None]:
  """Runs the block in one at a time of the jobs that share a folder; waits.

  Args and errors: as of lock.
  """
  with contextlib.ExitStack() as held:
    is_printed = False
    while True:
      try:
        held.enter_context(_hold(output, f'{CHECKED_NAME}.{LOCK_NAME}'))
        break
      except _BusyError:
        if not is_printed:
          print('Waiting for another job that checks the input.',
                file=sys.stderr)
        is_printed = True
        time.sleep(_WAIT_S)
    yield


class _BusyError(errors.DataError):
  """Another process holds the lock."""


@contextlib.contextmanager
def _hold(output: str, name: str, shared: bool = False) -> Iterator[None]:
  unfinished = sidecar.unfinished_folder(output)
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
    output: folder of the dataset, which may be a link itself.

  Raises:
    errors.DataError: a link on the path is broken, or .unfinished is a link.
  """
  if filesystem.is_remote(output):
    return
  dangling = errors.find_dangling_link(output)
  if dangling:
    raise errors.DataError(f'Cannot write to {output}: {dangling}')
  unfinished = sidecar.unfinished_folder(output)
  if os.path.islink(unfinished):
    target = printable.escape_line(os.readlink(unfinished))
    raise errors.DataError(
        f'{unfinished} is a link to {target}, which no conversion creates; '
        'remove the link, or choose another --output.')
