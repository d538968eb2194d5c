"""Stands for a command that a server runs: has its signals, stops and end.

Its arguments are the server's address and those of Python; see prestarted.py.
It is started for each command, so it imports little.
"""

import json
import os
import signal
import socket
import sys

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT,
              signal.SIGUSR1, signal.SIGUSR2)
_MOST_BYTES = 2**10  # of an answer


def main(address: str, *words: str) -> None:
  """Asks the server, and ends as the command does."""
  with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(address)
    request = {'words': words, 'cwd': os.getcwd(), 'env': dict(os.environ)}
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    command = int(server.recv(_MOST_BYTES))
    for number in _PASSED_ON:
      signal.signal(number, lambda number, _: os.kill(command, number))
    while (status := server.recv(_MOST_BYTES)) == b'stopped':
      os.kill(os.getpid(), signal.SIGSTOP)
  if not status:
    sys.exit('The server of the commands has ended.')
  code = int(status)
  if code < 0:
    if code != -signal.SIGKILL:
      signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
  os._exit(code)  # pylint: disable=protected-access


if __name__ == '__main__':
  main(*sys.argv[1:])
