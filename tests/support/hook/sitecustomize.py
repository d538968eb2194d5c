"""Python runs this at its start where the folder is on PYTHONPATH.

signalled.py puts it there.

Sends a signal before the N-th renaming of a file to a path that fits a pattern;
where the signal is 0, it waits for ever. Each process counts its own.
"""

import fnmatch
import os
import signal
import sys
import time

_PATTERN = os.environ.get('HOOK_PATTERN', '*')
_LOG = os.environ.get('HOOK_LOG', '')
_seen = 0
# Each signal is written there; only the main thread may say so.
_read, _write = os.pipe()
os.set_blocking(_write, False)


def _hear(event: str, arguments: tuple) -> None:
  global _seen  # pylint: disable=global-statement
  if event != 'os.rename' or not fnmatch.fnmatch(str(arguments[1]), _PATTERN):
    return
  _seen += 1
  if _LOG:
    with open(_LOG, 'a', encoding='utf-8') as file:
      file.write('renamed\n')
  if _seen == int(os.environ['HOOK_NUMBER']):
    number = int(os.environ['HOOK_SIGNAL'])
    if os.environ['HOOK_WHOM'] == 'parent':
      _send_to_parent(number)
      return
    os.kill(os.getpid(), number)
    while not number:
      time.sleep(1)


def _send_to_parent(number: int) -> None:
  """Returns when the parent has passed the signal on to this process."""
  os.kill(os.getppid(), number)
  os.read(_read, 1)


if 'HOOK_NUMBER' in os.environ:
  if os.environ['HOOK_WHOM'] == 'parent':
    signal.set_wakeup_fd(_write)
  sys.addaudithook(_hear)
