"""interruption: which signals a training takes."""

import signal

from trainer.training import interruption


def test_an_ignored_signal_stays_ignored():
  # A script's jobs in the background do not see Ctrl-C.
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    with interruption.Interruption() as asked:
      signal.raise_signal(signal.SIGINT)
      signal.raise_signal(signal.SIGTERM)
      assert asked.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGINT, before)
