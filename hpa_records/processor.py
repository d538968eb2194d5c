"""How many cores and how much memory there are for this process."""

import os


def num_cores() -> int:
  """Returns the cores that this process may use, at least 1."""
  if hasattr(os, 'sched_getaffinity'):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def memory_bytes() -> int:
  """Returns the memory of the machine, whoever uses it."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
