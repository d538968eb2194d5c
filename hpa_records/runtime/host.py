"""The cores and the memory that this process may use.

A container has a part of the machine: the limits of its control group and of
all groups above it apply. A container may see its own group's files at the root
(/sys/fs/cgroup), or at the path below it that /proc/self/cgroup names.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst, cpu.max and memory.max;
cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

import math
import os
from typing import Iterator

_ROOT = '/'


def num_cores(root: str = _ROOT) -> int:
  """Returns the cores that this process may use, at least 1.

  A quota counts as whole cores, rounded up.

  Args:
    root: folder that contains proc and sys.
  """
  if hasattr(os, 'sched_getaffinity'):  # not on macOS
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count() or 1
  quotas = [_quota(folder) for folder in _groups(root, 'cpu')]
  return max(1, math.ceil(min([cores, *quotas])))


def memory_bytes(root: str = _ROOT) -> int:
  """Returns the memory limit of this process, used memory included.

  Args:
    root: folder that contains proc and sys.
  """
  installed = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return int(
      min([installed, *(_limit(each) for each in _groups(root, 'memory'))]))


def free_memory_bytes(root: str = _ROOT) -> int | None:
  """Returns the memory available without swapping; None if not known.

  Args:
    root: folder that contains proc and sys.
  """
  fields = dict(
      line.split(':', 1) for line in _read(root, 'proc/meminfo').splitlines())
  if 'MemAvailable' not in fields:
    return None
  free = int(fields['MemAvailable'].split()[0]) * 1024
  for folder in _groups(root, 'memory'):
    free = min(free, max(0, _limit(folder) - _used(folder)))
  return int(free)


def _groups(root: str, controller: str) -> Iterator[str]:
  """Yields the folders of this process's control groups and their parents.

  Args:
    root: folder that contains proc and sys.
    controller: 'cpu' or 'memory'.
  """
  for line in _read(root, 'proc/self/cgroup').splitlines():
    _, controllers, path = line.split(':', 2)
    if controllers and controller not in controllers.split(','):
      continue
    tops = [controllers, controller] if controllers else ['', 'unified']
    for top in tops:
      folder = os.path.join(root, 'sys/fs/cgroup', top)
      yield folder
      for name in path.split('/'):
        if name not in ('', '.', '..'):
          folder = os.path.join(folder, name)
          yield folder


def _quota(folder: str) -> float:
  """Returns the CPU quota of a group in cores; infinite if it has none."""
  words = _read(folder, 'cpu.max').split() or [
      _read(folder, 'cpu.cfs_quota_us').strip(),
      _read(folder, 'cpu.cfs_period_us').strip()
  ]
  quota, period = map(_number, (*words, '', '')[:2])
  return quota / period if math.isfinite(quota / period) else math.inf


def _limit(folder: str) -> float:
  return min(
      _number(_read(folder, name))
      for name in ('memory.max', 'memory.high', 'memory.limit_in_bytes'))


def _used(folder: str) -> float:
  """Returns the memory that a group uses, without reclaimable file pages."""
  used = min(
      _number(_read(folder, name))
      for name in ('memory.current', 'memory.usage_in_bytes'))
  for line in _read(folder, 'memory.stat').splitlines():
    name, _, value = line.partition(' ')
    if name in ('inactive_file', 'total_inactive_file'):
      used -= _number(value)
      break
  return used if math.isfinite(used) else 0


def _number(text: str) -> float:
  """Returns a positive number; infinity for 'max', -1 and a missing file."""
  try:
    value = float(text)
  except ValueError:
    return math.inf
  return value if value > 0 else math.inf


def _read(folder: str, name: str) -> str:
  try:
    with open(os.path.join(folder, name), encoding='ascii') as file:
      return file.read()
  except (OSError, ValueError):
    return ''
