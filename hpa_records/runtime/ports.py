"""Addresses HOST:PORT, and ports of this machine that nothing else listens on.

TensorFlow ends a process that cannot have its port with pages of its own, or
shares the port with another of its servers, without a word.
"""

import ipaddress
import socket

from hpa_records.runtime import errors

# TensorFlow 2.21 binds its servers to every interface, whatever they are given,
# and has no other protocol than one without passwords.
WARNING = ('TensorFlow listens on every interface of this machine, and runs '
           'any graph that it is sent, as this user: whoever reaches the port '
           'reads and writes files. Use it in a trusted network, or behind a '
           'firewall.')

# How a connection of HTTP/2 begins, the same way on both sides; RFC 9113, 3.4.
_SETTINGS = b'\x04'
_HELLO = (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0' + _SETTINGS +
          b'\0\0\0\0\0')


def split(address: str, flag: str) -> tuple[str, int]:
  """Returns host and port of HOST:PORT or [HOST]:PORT.

  Args:
    address: what the user gave.
    flag: where, for the message.

  Raises:
    errors.DataError: it is no such address.
  """
  host, _, port = address.rpartition(':')
  host = host[1:-1] if host.startswith('[') and host.endswith(']') else host
  is_plain = host.isprintable() and not set('/ @') & set(host)
  is_port = (port.isascii() and port.isdecimal() and len(port) < 6 and
             0 < int(port) < 2**16)
  if not (host and is_plain and is_port):
    raise errors.DataError(f'Expected host:port, with a port from 1 to 65535, '
                           f'in {flag}, received {address!r}.')
  return host, int(port)


def require_host(host: str, flag: str) -> str:
  """Returns a host as it stands before :PORT; that of IPv6 in brackets.

  Args:
    host: name or number that the user gave.
    flag: where, for the message.

  Raises:
    errors.DataError: it is neither, or no such host is found.
  """
  bare = split(f'{host}:1', flag)[0]
  try:
    socket.getaddrinfo(bare, None)
  except (OSError, UnicodeError) as error:
    raise errors.DataError(f'No host {bare!r} of {flag} is found ({error}); '
                           'pass a name or number of this machine.') from error
  return f'[{bare}]' if ':' in bare else bare


def check_server(host: str, port: int, timeout_s: float) -> None:
  """Checks that a server of gRPC answers: TensorFlow waits for any other one.

  Args:
    host: name or number.
    port: of the server.
    timeout_s: in which it answers.

  Raises:
    OSError: nothing answers.
    errors.DataError: what answers is another server.
  """
  try:
    with socket.create_connection((host, port), timeout_s) as connected:
      connected.sendall(_HELLO)
      answer = connected.makefile('rb').read(4)
  except UnicodeError as error:  # of a name that none can have
    raise OSError(f'{error}') from error
  if answer[3:] != _SETTINGS:
    raise errors.DataError(f'What listens on port {port} of {host} is no '
                           'server of TensorFlow; check host and port.')


def is_loopback(host: str) -> bool:
  """Returns whether a name or number is that of this machine for itself."""
  try:
    found = socket.getaddrinfo(host, None)
  except (OSError, UnicodeError):
    return False
  return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)


def require_free(port: int, flag: str) -> None:
  """Checks that nothing on this machine listens on a port.

  Args:
    port: 0 is always free.
    flag: where it was given, for the message.

  Raises:
    errors.DataError: something does, or this user may not.
  """
  with socket.socket() as tried:
    # A port whose last connection has just ended is free.
    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      tried.bind(('', port))
    except OSError as error:
      raise errors.DataError(
          f'Cannot listen on port {port} of {flag}: {error.strerror}; choose '
          'another, or end what has it.') from error
