"""Standard output and standard error of a command.

Characters that the terminal cannot encode are escaped. Where stdout cannot be
written (its reader has exited, the disk is full), OutputLost is raised; it is
not an OSError, so it cannot be mistaken for that of a file. Where stderr cannot
be written, the text is dropped.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Iterator


class OutputLost(Exception):
  """Standard output cannot be written.

  Attributes:
    is_closed: whether its reader has exited, as head does.
    reason: the operating system's message.
  """

  def __init__(self, error: OSError):
    super().__init__(str(error))
    self.is_closed = error.errno == errno.EPIPE
    self.reason = error.strerror


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise OutputLost(error) from error


class _Output(io.TextIOWrapper):

  def write(self, text: str) -> int:
    """As io.TextIOWrapper; raises OutputLost."""
    with _translate_errors():
      return super().write(text)

  def flush(self) -> None:
    """As io.TextIOWrapper; raises OutputLost."""
    with _translate_errors():
      super().flush()


class _Errors(io.TextIOWrapper):

  def write(self, text: str) -> int:
    """As io.TextIOWrapper; drops text that cannot be written."""
    with contextlib.suppress(OSError):
      super().write(text)
    return len(text)

  def flush(self) -> None:
    """As io.TextIOWrapper; drops text that cannot be written."""
    with contextlib.suppress(OSError):
      super().flush()


def prepare() -> None:
  """Replaces sys.stdout and sys.stderr; opens those that the shell has closed.

  The next file opened would get the number of a closed one, and printed text
  would go into that file.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
  sys.stdout = _wrap(sys.stdout, 1, _Output)
  sys.stderr = _wrap(sys.stderr, 2, _Errors)


def _wrap(stream, number: int, kind: type[io.TextIOWrapper]):
  if isinstance(stream, kind):
    return stream
  if stream is None:  # was closed
    return kind(open(number, 'wb', closefd=False), 'utf-8', 'backslashreplace')  # pylint: disable=consider-using-with
  if not isinstance(stream, io.TextIOWrapper):
    return stream
  # sys.__stdout__ still refers to the old stream, so its buffer stays open.
  return kind(stream.buffer,
              encoding=stream.encoding,
              errors='backslashreplace',
              line_buffering=stream.line_buffering,
              write_through=stream.write_through)


def drop_output() -> None:
  """Redirects stdout to the null device, for the flush at exit."""
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 1)
  os.close(nowhere)
