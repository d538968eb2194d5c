"""Memory of batches, used again when nothing references a batch any more.

New memory for each batch costs more than its content, since the kernel zeroes
it page by page (BUILD_NOTES.md, "Indexed reader").
"""

import collections
import mmap
from typing import Callable
import weakref

import numpy as np


class Buffers:
  """Reusable arrays.

  A pickled copy is empty, and so a process has buffers of its own. After a fork
  both processes may go on: the memory is private to each.
  """

  def __init__(self,
               most_free: int | None = None,
               prepare: Callable[[np.ndarray], None] | None = None):
    """Makes an empty pool.

    Args:
      most_free: the number of arrays that are kept for later; None keeps all.
      prepare: called once with each new memory, [n] uint8.
    """
    self._most_free, self._prepare = most_free, prepare
    self._free: collections.deque[np.ndarray] = collections.deque(
        maxlen=most_free)

  def __reduce__(self):
    return Buffers, (self._most_free, self._prepare)

  def take(self, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialized array [shape] uint8, aligned to a page.

    Its memory is used again when the array and all its views are gone.
    """
    memory = self._find(int(np.prod(shape)))
    # NumPy makes the bases of views short: a view of a view holds the first
    # array alone, whose own base is no array. So that one ends the use.
    taken = np.frombuffer(memoryview(memory), np.uint8)
    weakref.finalize(taken, self._free.append, memory).atexit = False
    # TensorFlow copies an array with another reference; this view has none.
    return taken.reshape(shape)

  def _find(self, num_bytes: int) -> np.ndarray:
    """Returns free or new memory, [num_bytes] uint8."""
    for _ in range(len(self._free)):
      try:
        memory = self._free.pop()
      except IndexError:  # another thread took it
        break
      if len(memory) == num_bytes:
        return memory
      self._free.appendleft(memory)
    memory = np.frombuffer(_map_memory(num_bytes), np.uint8, num_bytes)
    if self._prepare:
      self._prepare(memory)
    return memory


def _map_memory(num_bytes: int) -> mmap.mmap:
  """Returns new private memory, in huge pages if the kernel has them."""
  found = mmap.mmap(-1,
                    max(1, num_bytes),
                    flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
  if hasattr(mmap, 'MADV_HUGEPAGE'):
    found.madvise(mmap.MADV_HUGEPAGE)
  return found
