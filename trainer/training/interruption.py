"""SIGTERM and SIGINT as a flag that the loop checks between steps.

A preempted cluster job gets SIGTERM, Ctrl-C sends SIGINT: there is time to
finish the running steps, save, and print how to continue. A second signal ends
the process at once.
"""

import signal
import threading
from typing import Any

from hpa_records.runtime import process

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
  """A context manager that records a signal during its block.

  Attributes:
    signal: the first signal that came; None if none did.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self._before: dict[signal.Signals, Any] = {}

  def __enter__(self) -> 'Interruption':
    # Only the main thread may set handlers; a caller with its own threads
    # handles signals itself.
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
