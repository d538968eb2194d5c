"""Lets a child process wait until the measurement tells it to go on.

A child loads TensorFlow while the one before it still compiles, and waits
before it touches a device: loading takes 8 s. Children that compile beside each
other are measured in turn: each waits again once it is warm.
"""

import os
import sys
import time

# Environment variables with the path of a file; the wait ends when it exists.
START = 'HPA_BENCHMARK_START'
WARM = 'HPA_BENCHMARK_WARM'  # after what compiles, before what is measured
_LOOK_EVERY_S = 0.02


def wait(name: str) -> None:
  """Waits for the file that an environment variable names.

  Exits if the parent process has ended. Returns at once without the variable.

  Args:
    name: START or WARM.
  """
  path, parent = os.environ.get(name, ''), os.getppid()
  while path and not os.path.exists(path):
    if os.getppid() != parent:
      sys.exit(1)
    time.sleep(_LOOK_EVERY_S)
