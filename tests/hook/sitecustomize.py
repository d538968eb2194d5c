"""Python runs this at its start where the folder is on PYTHONPATH.

signalled.py puts it there.

Sends a signal before the N-th renaming of a file to a path that fits a pattern;
where the signal is 0, it waits for ever. Each process counts its own.
"""

import fnmatch
import os
import sys
import time

_PATTERN = os.environ.get('HOOK_PATTERN', '*')
_LOG = os.environ.get('HOOK_LOG', '')
_seen = 0


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
    of_parent = os.environ['HOOK_WHOM'] == 'parent'
    os.kill(os.getppid() if of_parent else os.getpid(), number)
    while not number:
      time.sleep(1)


if 'HOOK_NUMBER' in os.environ:
  sys.addaudithook(_hear)
