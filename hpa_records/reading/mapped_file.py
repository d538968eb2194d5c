"""Files mapped into memory, whose missing pages do not end the process.

Copying from a mapped file is copying from memory, where a read has the kernel
copy: a third less time an image (BUILD_NOTES.md, "Indexed reader"). But who
touches a page that the file has lost since it was mapped, or that its disk
cannot give, receives SIGBUS, and by default that ends the process without a
word. Here the file is marked as torn and reads as zeros from that page on: who
copies looks at the mark afterwards, and tells.

The handler of SIGBUS is one for the whole process, from the first file that is
mapped on; what is no page of these files it leaves to the handler before it.

On Linux of 64 bits. Elsewhere such a page ends the process, as by default.
"""

import ctypes
import functools
import mmap
import signal
import sys
import threading
import weakref

import numpy as np

_SA_SIGINFO = 4
_ADDRESS_AT = 16  # of the address in siginfo_t
_MAP_FIXED = 16


class MappedFile:
  """A file, opened and mapped, to read from anywhere by many threads.

  Attributes:
    content: [n] uint8, the file's bytes, read-only.
    is_torn: whether a page could not be had; content is wrong then.
  """

  def __init__(self, path: str):
    """Args: path of a local file that is not empty.

    Raises:
      OSError: it cannot be opened or mapped.
    """
    with open(path, 'rb') as file:
      self._mapped = mmap.mmap(file.fileno(),
                               0,
                               flags=mmap.MAP_PRIVATE,
                               prot=mmap.PROT_READ)
    self.content = np.frombuffer(self._mapped, np.uint8)
    self._torn = _watch(self._mapped, self.content)

  @property
  def is_torn(self) -> bool:
    """Whether a page of the file was gone when it was read."""
    return bool(self._torn)

  def prefetch(self, offset: int, num_bytes: int) -> None:
    """Has the kernel begin to read a part that it does not hold in memory.

    A read of its own for the whole part, where a touched page brings only its
    neighbours, and more than are wanted.
    """
    before = offset % mmap.PAGESIZE
    self._mapped.madvise(mmap.MADV_WILLNEED, offset - before,
                         num_bytes + before)


# Where files are mapped: first address → (address behind, mark of being torn).
_watched: dict[int, tuple[int, list[bool]]] = {}
_first = threading.Lock()  # one thread makes the handler, or one would be lost


def _watch(mapped: mmap.mmap, content: np.ndarray) -> list[bool]:
  """Returns a list that is empty as long as no page was missing."""
  torn: list[bool] = []
  if sys.platform == 'linux' and sys.maxsize > 2**32:
    start, pages = content.ctypes.data, -(-len(content) // mmap.PAGESIZE)
    _watched[start] = start + pages * mmap.PAGESIZE, torn
    # Not at the end of the process: other threads may be reading then.
    weakref.finalize(mapped, _watched.pop, start).atexit = False
    with _first:
      _handle_missing_pages()
  return torn


class _Action(ctypes.Structure):
  """glibc's and musl's struct sigaction."""
  _fields_ = [('handler', ctypes.c_void_p), ('mask', ctypes.c_char * 128),
              ('flags', ctypes.c_int), ('restorer', ctypes.c_void_p)]


@functools.cache
def _handle_missing_pages() -> tuple:
  """Takes SIGBUS from now on; returns what must live as long as the process.

  The signal comes from within a copy, which holds neither the GIL nor a lock,
  so the handler may run Python: it is as if the copy had called it.
  """
  libc = ctypes.CDLL(None)
  libc.mmap.restype = ctypes.c_void_p
  libc.mmap.argtypes = [
      ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
      ctypes.c_int, ctypes.c_long
  ]
  before = _Action()

  def handle(_, info, __):
    address = ctypes.c_size_t.from_address(info + _ADDRESS_AT).value
    page = address - address % mmap.PAGESIZE
    for start, (stop, torn) in list(_watched.items()):
      if start <= address < stop:
        torn.append(True)
        zeros = _MAP_FIXED | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        if libc.mmap(page, stop - page, mmap.PROT_READ, zeros, -1, 0) == page:
          return  # the copy goes on
    # None of ours: it happens again, to whoever it was for.
    libc.sigaction(signal.SIGBUS, ctypes.byref(before), None)

  called = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p,
                            ctypes.c_void_p)(handle)
  action = _Action(handler=ctypes.cast(called, ctypes.c_void_p),
                   flags=_SA_SIGINFO)
  libc.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(before))
  return called, before
