"""Free ports that stay free until a server takes them."""

import contextlib
import socket
from typing import Iterator


@contextlib.contextmanager
def reserve(count: int) -> Iterator[list[int]]:
  """Yields ports of 127.0.0.1 that no one else is given meanwhile.

  Each is bound all the time, but not listened on: a server that sets
  SO_REUSEADDR, as servers do, may take it; the system gives it to no one.

  Args:
    count: how many.
  """
  with contextlib.ExitStack() as held:
    sockets = [held.enter_context(socket.socket()) for _ in range(count)]
    for each in sockets:
      each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      each.bind(('127.0.0.1', 0))
    yield [each.getsockname()[1] for each in sockets]
