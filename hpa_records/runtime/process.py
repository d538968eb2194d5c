"""Process-wide settings of commands and workers: environment, signals, stderr,
malloc, threads of OpenCV.

Library functions change them only where is_ours() returns True, so a program
that imports the library keeps its own.
"""

import contextlib
import ctypes
import functools
import glob
import logging
import os
import re
import resource
import signal
import sys
import tempfile
import threading
from typing import Iterator

from hpa_records.runtime import errors

# TensorFlow's log repeats what its exceptions say.
# oneDNN: TensorFlow leaves it off on AMD CPUs (see tensorflow.py).
_DEFAULTS = {'TF_CPP_MIN_LOG_LEVEL': '3', 'TF_ENABLE_ONEDNN_OPTS': '1'}
# Settings made for other programs would keep ours from starting. An invalid
# keras.json fails with a traceback; below /dev/null there is none.
_FIXED = {
    'KERAS_BACKEND': 'tensorflow',
    'KERAS_HOME': os.devnull,
    'MATPLOTLIBRC': os.devnull,
    'MPLBACKEND': 'agg',
    # multiprocessing starts "python -c", which would import a signal.py of the
    # current folder in place of Python's own. Python 3.10 ignores this.
    'PYTHONSAFEPATH': '1'
}
_REMOVED = ('KERAS_MAX_EPOCHS', 'KERAS_MAX_STEPS_PER_EPOCH',
            'KERAS_NNX_ENABLED', 'TF_FUNCTION_JIT_COMPILE_DEFAULT')
# Where one of these is wrong, TensorFlow ends the process, and what it logs is
# all that tells of it.
_FATAL = ('XLA_FLAGS', 'TF_XLA_FLAGS', 'TF_DETERMINISTIC_OPS')
# TensorFlow aborts at others than whole numbers.
_NUMBERS = ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')
# glibc's malloc.h. By default it gives a freed megabyte back to the system at
# once, and the next image faults it in again, page by page: a third of the
# time of decoding.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**27
_MEMORY = '/dev/shm'  # Linux: a folder in memory

INTERRUPTED = 'Interrupted; the same command goes on or starts again.'

_ours = threading.Event()


def take() -> None:
  """Says that this process is a command or a worker of this project."""
  _ours.set()
  # It warns of a home folder that cannot be written, and takes another.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  os.environ.update(_FIXED)
  for name in _REMOVED:
    os.environ.pop(name, None)
  for name in _NUMBERS:
    if not re.fullmatch('[0-9]{1,4}', os.environ.get(name, '')):
      os.environ.pop(name, None)
  try:
    tempfile.gettempdir()  # TensorFlow and matplotlib do not start without one
  except OSError:  # a container whose disks are read-only
    os.environ['TMPDIR'] = tempfile.tempdir = _MEMORY
  for name, value in _DEFAULTS.items():
    os.environ.setdefault(name, value)
  # TensorFlow for TPUs waits minutes for a metadata server where there is none.
  if not glob.glob('/dev/accel*') + glob.glob('/dev/vfio/[0-9]*'):
    os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  # One name for the server's address, as the other drivers of S3 read it.
  if 'AWS_ENDPOINT_URL' in os.environ:
    os.environ.setdefault('S3_ENDPOINT', os.environ['AWS_ENDPOINT_URL'])


def is_ours() -> bool:
  """Returns whether this process may be set as a command wants it."""
  return _ours.is_set()


def require_address_space(least_bytes: int) -> None:
  """Checks the limit that "ulimit -v" sets to this process.

  Libraries that cannot map what they need end the process with pages, or a
  signal.

  Args:
    least_bytes: that the limit should be.

  Raises:
    errors.DataError: it is lower.
  """
  limit = resource.getrlimit(resource.RLIMIT_AS)[0]
  if limit != resource.RLIM_INFINITY and limit < least_bytes:
    raise errors.DataError(
        f'The limit of address space is {limit // 1024} kB, and at least '
        f'{least_bytes // 1024} are needed; raise it in this shell: "ulimit -v '
        'unlimited".')


def decode_alone() -> None:
  """Readies this process, if it is ours, to decode images beside others.

  malloc keeps freed memory, where it is glibc's; OpenCV has one thread.
  """
  if not is_ours():
    return
  import cv2  # pylint: disable=import-outside-toplevel
  cv2.setNumThreads(1)  # the other cores have images of their own
  keep_freed_memory()


def keep_freed_memory() -> None:
  """Has malloc of this process, if it is ours and glibc's, keep freed memory.
  """
  if not is_ours():
    return
  with contextlib.suppress(OSError, AttributeError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps stderr of a process of ours back; shows it if the block raises.

  Also that of C++: what TensorFlow logs while it loads heeds no log level; nor
  does, before 2.21, what it logs when XLA compiles for the first time.
  Where a variable of _FATAL is set, all is shown.
  """
  if not is_ours() or any(os.environ.get(name) for name in _FATAL):
    yield
    return
  with tempfile.TemporaryFile() as file:
    try:
      with _stderr_to(file.fileno()):
        yield
    except BaseException:
      file.seek(0)
      os.write(2, file.read())
      raise


@contextlib.contextmanager
def silent() -> Iterator[None]:
  """Drops what C code writes to stderr of a process of ours in a block."""
  if not is_ours():
    yield
    return
  with open(os.devnull, 'wb') as file, _stderr_to(file.fileno()):
    yield


@contextlib.contextmanager
def _stderr_to(file: int) -> Iterator[None]:
  """Redirects stderr to a file while a block runs."""
  sys.stderr.flush()
  kept = os.dup(2)
  try:
    os.dup2(file, 2)
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)


@contextlib.contextmanager
def ended_by_interrupt() -> Iterator[None]:
  """Lets Ctrl-C end a process of ours in one line while a block imports.

  An interrupted import may raise any exception. Nothing is lost that early.
  """
  if not is_ours() or not begin_imports():
    yield
    return
  try:
    yield
  finally:
    end_imports()


@contextlib.contextmanager
def killed_by_signals() -> Iterator[None]:
  """Lets signals kill a process of ours while a block waits inside C++.

  They are Ctrl-C, SIGTERM and SIGHUP. Python would call its handlers when the
  block returns, which may be never.
  """
  before = {}
  if is_ours() and threading.current_thread() is threading.main_thread():
    before = {
        each: signal.signal(each, signal.SIG_DFL)
        for each in filter(heeds, (signal.SIGINT, signal.SIGTERM,
                                   signal.SIGHUP))
    }
  try:
    yield
  finally:
    for each, handler in before.items():
      signal.signal(each, handler)


def begin_imports() -> bool:
  """Makes Ctrl-C exit at once; returns whether this changed its handler."""
  if (threading.current_thread() is not threading.main_thread() or
      signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
    return False
  shown = _stderr()

  def leave(*_):
    with contextlib.suppress(OSError):
      os.write(shown, f'{INTERRUPTED}\n'.encode())
    os._exit(128 + signal.SIGINT)  # pylint: disable=protected-access

  signal.signal(signal.SIGINT, leave)
  return True


@functools.cache
def _stderr() -> int:
  """Returns a descriptor of stderr that quiet() does not redirect."""
  return os.dup(2)


def end_imports() -> None:
  """Makes Ctrl-C raise KeyboardInterrupt, the default."""
  if heeds(signal.SIGINT):
    signal.signal(signal.SIGINT, signal.default_int_handler)


def heeds(number: signal.Signals) -> bool:
  """Returns whether a signal may get another handler.

  Not if it is ignored, as Ctrl-C is by what a script starts in the background;
  nor if its handler is not Python's, which could not be set again.
  """
  return signal.getsignal(number) not in (signal.SIG_IGN, None)
