"""SIGTERM and SIGINT as a question that the loop asks between steps.

A cluster that takes its machine back sends SIGTERM, a user Ctrl-C: there is
time to finish the steps that run, save, and say how to go on. A second signal
ends the process at once, as it would have.
"""

import signal
import threading
from typing import Any

from hpa_records.runtime import process

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
  """Remembers that a signal came while the block ran.

  Attributes:
    signal: the first that came; None before.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self._before: dict[signal.Signals, Any] = {}

  def __enter__(self) -> 'Interruption':
    # Only the main thread may; a caller with threads of its own handles signals
    # itself.
    if threading.current_thread() is threading.main_thread():
      for each in filter(process.heeds, _SIGNALS):
        self._before[each] = signal.signal(each, self._remember)
    return self

  def __exit__(self, *exc) -> None:
    self._restore()

  def _remember(self, number: int, _) -> None:
    self.signal = signal.Signals(number)
    self._restore()

  def _restore(self) -> None:
    while self._before:
      signal.signal(*self._before.popitem())
