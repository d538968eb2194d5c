"""A progress bar on a terminal, a line every 15 seconds elsewhere."""

import sys
import time

import tqdm

_LINE_EVERY_S = 15.0


def say(line: str) -> None:
  """Prints a line to stdout, above the bar of another thread."""
  with tqdm.tqdm.external_write_mode(sys.stdout):
    print(line, flush=True)


class Bar:
  """Counts units of work; shows rate and time left on stderr.

  On a terminal it is a tqdm bar. In a log file or a pipe it writes one line
  every 15 seconds and one at the end, so that logs stay readable.
  """

  def __init__(self,
               title: str,
               total: int,
               unit: str,
               leave: bool = True,
               hidden: bool = False):
    """Shows an empty bar.

    Args:
      title: text before the bar.
      total: number of units expected.
      unit: plural name of the units.
      leave: keep the finished bar, or write a last line.
      hidden: show nothing.
    """
    self._leave, self._hidden = leave, hidden
    self._title, self._total, self._unit = title, total, unit
    self._done, self._note, self._said = 0, '', -1
    self._start = self._last = time.monotonic()
    self._bar = tqdm.tqdm(desc=title,
                          total=total,
                          unit=f' {unit}',
                          leave=leave,
                          dynamic_ncols=True,
                          disable=hidden) if sys.stderr.isatty() else None

  def __enter__(self) -> 'Bar':
    return self

  def __exit__(self, exc_type, exc, traceback) -> None:
    if self._bar is not None:
      self._bar.close()
    elif exc_type is None and self._leave and self._said < self._total:
      self._line()

  def advance(self, count: int, note: str = '') -> None:
    """Adds count finished units; note is shown after the rate."""
    self._done, self._note = self._done + count, note
    if self._bar is not None:
      self._bar.set_postfix_str(note, refresh=False)
      self._bar.update(count)
    elif time.monotonic() - self._last >= _LINE_EVERY_S:
      self._line()

  def _line(self) -> None:
    if self._hidden:
      return
    self._last, self._said = time.monotonic(), self._done
    rate = self._done / max(self._last - self._start, 1e-9)
    left_s = (self._total - self._done) / rate if rate else float('inf')
    note = f', {self._note}' if self._note else ''
    print(
        f'{self._title}: {self._done}/{self._total} {self._unit}, '
        f'{rate:.1f}/s, {left_s:.0f} s left{note}',
        file=sys.stderr,
        flush=True)
