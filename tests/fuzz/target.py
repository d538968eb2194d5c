"""What a fuzzer is run on, and what it must not do.

A parser of strangers' bytes returns, or raises errors.DataError whose message
is one line that a terminal can show. It takes bounded time and memory. All
else has escaped.
"""

import contextlib
import dataclasses
import pathlib
import random
import re
import resource
import time
import traceback
from typing import Callable

from hpa_records.runtime import errors
from tests.fuzz import mutation

_ROOT = pathlib.Path(__file__).parents[2]
# Inputs are at most some KB. Each is parsed in milliseconds; the bounds are for
# what grows without end, and leave room for a slow machine.
MOST_S = 20.0
MOST_MIB = 700
_PEAK_KIB = re.compile(r'^VmHWM:\s*(\d+) kB', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Target:
  """A parser.

  Attributes:
    seeds: makes valid and nearly valid inputs, the same each time; it is given
      an empty folder.
    parse: is given an input, and an empty folder for files that the parser
      reads; what it leaves there stays for the next.
    change: makes another input of one.
  """
  seeds: Callable[[pathlib.Path], list[bytes]]
  parse: Callable[[bytes, pathlib.Path], None]
  change: mutation.Change = mutation.change_bytes


@dataclasses.dataclass(frozen=True)
class Escape:
  """What a parser should not have done.

  Attributes:
    kind: what it is known by: the error's class and where it was raised.
    told: the error, as Python prints it.
  """
  kind: str
  told: str


def run(target: Target, data: bytes, folder: pathlib.Path) -> Escape | None:
  """Returns what escapes when a target parses an input; None if nothing does.

  Args:
    target: to be run.
    data: the input.
    folder: for the target's files.
  """
  _reset_peak()
  before_mib, before_s = _peak_mib(), time.process_time()
  found = None
  try:
    target.parse(data, folder)
  except errors.DataError as error:
    message = str(error.args[0])
    if not message.isprintable():
      found = Escape(f'a message of several lines at {_place(error)}',
                     repr(message))
  except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught
    told = ''.join(traceback.format_exception(error, limit=-12))
    found = Escape(f'{type(error).__name__} at {_place(error)}', told[-6000:])
  used_s, used_mib = time.process_time() - before_s, _peak_mib() - before_mib
  if not found and used_s > MOST_S:
    found = Escape('time', f'{used_s:.0f} s')
  if not found and used_mib > MOST_MIB:
    found = Escape('memory', f'{used_mib:.0f} MiB')
  return found


def change(target: Target, data: bytes, rng: random.Random) -> bytes:
  """Returns a changed input, in three of four cases by the target's own way."""
  chosen = target.change if rng.random() < 0.75 else mutation.change_bytes
  return chosen(data, rng)


def _reset_peak() -> None:
  """Sets this process's peak to what it has now, where the system can (proc(5),
  clear_refs)."""
  with contextlib.suppress(OSError):
    pathlib.Path('/proc/self/clear_refs').write_text('5', 'ascii')


def _peak_mib() -> float:
  """Peak memory of this process. Not by getrusage where there is another way:
  what it says goes on from the process that started this one."""
  try:
    status = pathlib.Path('/proc/self/status').read_text('utf-8')
    return int(_PEAK_KIB.search(status)[1]) / 1024
  except (OSError, TypeError):
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _place(error: BaseException) -> str:
  """Innermost line of the project's own code that the error came through."""
  frames = traceback.extract_tb(error.__traceback__)
  own = [
      frame for frame in frames
      if pathlib.Path(frame.filename).is_relative_to(_ROOT) and
      'site-packages' not in frame.filename
  ]
  frame = (own or frames)[-1]
  return f'{pathlib.Path(frame.filename).name}:{frame.lineno} {frame.name}'
