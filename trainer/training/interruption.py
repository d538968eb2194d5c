"""SIGTERM and SIGINT as a flag that the loop checks between steps.

A preempted cluster job gets SIGTERM, Ctrl-C sends SIGINT: there is time to
finish the running steps, save, and print how to continue. A second signal ends
the process at once.

A worker that left alone would keep the others waiting. So workers tell each
other of a signal with each call of steps, and all hear of it after the same
call. What they heard is read together with the losses of that call, so that no
device waits for it.
"""

import signal
import threading
from typing import Any, Callable, Sequence

import numpy as np

from hpa_records.runtime import process

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
  """A context manager that records a signal during its block.

  Attributes:
    signal: the first signal that came to this process; None if none did.
  """

  def __init__(self, add_up: Callable[[np.ndarray], Any] | None = None):
    """Prepares to record a signal.

    Args:
      add_up: adds up an array over all workers, as of strategy.make_sum; None
        for one process.
    """
    self.signal: signal.Signals | None = None
    self._add_up = add_up
    self._heard: signal.Signals | None = None
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

  @property
  def asked(self) -> signal.Signals | None:
    """The signal that ends the run: of several workers, one that all heard of.
    """
    return self._heard if self._add_up else self.signal

  def ask(self) -> list[Any]:
    """Tells the other workers of this one's signal, if one came.

    All workers must call it at the same place of the run.

    Returns:
      A tensor [2] float32 for hear, which need not be computed yet; [] for one
      process.
    """
    if self._add_up is None:
      return []
    return [
        self._add_up(
            np.array([each == self.signal for each in _SIGNALS], np.float32))
    ]

  def hear(self, sums: Sequence[np.ndarray]) -> None:
    """Takes the values of what ask returned."""
    for counts in sums:
      if self._heard is None and counts.any():
        self._heard = _SIGNALS[int(counts.argmax())]

  def agree(self) -> None:
    """Tells the other workers, and waits until it has heard of them."""
    self.hear([each.numpy() for each in self.ask()])

  def _remember(self, number: int, _) -> None:
    self.signal = signal.Signals(number)
    self._restore()

  def _restore(self) -> None:
    while self._before:
      signal.signal(*self._before.popitem())
