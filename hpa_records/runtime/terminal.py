"""Standard output and error of a command, whatever they are.

An ASCII terminal gets escapes for what it cannot show. Output that nobody
takes (`| head` has ended, a full disk) raises OutputLost, which is no OSError:
it is not to be taken for that of a file. Errors that nobody takes are dropped.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Iterator


class OutputLost(Exception):
  """Standard output takes no more.

  Attributes:
    is_closed: whether its reader has ended, as head does, and wants no more.
    reason: of the system.
  """

  def __init__(self, error: OSError):
    super().__init__(str(error))
    self.is_closed = error.errno == errno.EPIPE
    self.reason = error.strerror


@contextlib.contextmanager
def _telling() -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise OutputLost(error) from error


class _Output(io.TextIOWrapper):

  def write(self, text: str) -> int:
    """As io.TextIOWrapper; raises OutputLost."""
    with _telling():
      return super().write(text)

  def flush(self) -> None:
    """As io.TextIOWrapper; raises OutputLost."""
    with _telling():
      super().flush()


class _Errors(io.TextIOWrapper):

  def write(self, text: str) -> int:
    """As io.TextIOWrapper; drops what cannot be written."""
    with contextlib.suppress(OSError):
      super().write(text)
    return len(text)

  def flush(self) -> None:
    """As io.TextIOWrapper; drops what cannot be written."""
    with contextlib.suppress(OSError):
      super().flush()


def prepare() -> None:
  """Makes sys.stdout and sys.stderr such; opens what the shell has closed.

  A closed one's number would go to the next file that is opened, and what is
  printed into that file.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
  sys.stdout = _wrap(sys.stdout, 1, _Output)
  sys.stderr = _wrap(sys.stderr, 2, _Errors)


def _wrap(stream, number: int, kind: type[io.TextIOWrapper]):
  if isinstance(stream, kind):
    return stream
  if stream is None:  # was closed
    return kind(open(number, 'wb', closefd=False), 'utf-8', 'backslashreplace')  # pylint: disable=consider-using-with
  if not isinstance(stream, io.TextIOWrapper):
    return stream
  # sys.__stdout__ goes on holding the other one, which closes no file then.
  return kind(stream.buffer,
              encoding=stream.encoding,
              errors='backslashreplace',
              line_buffering=stream.line_buffering,
              write_through=stream.write_through)


def drop_output() -> None:
  """Lets the end of the process flush stdout to nowhere."""
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 1)
  os.close(nowhere)
