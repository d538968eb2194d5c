"""Addresses HOST:PORT, and checks that a port is free or answers.

TensorFlow aborts a process whose port is in use with pages of its own output,
or silently shares the port with another of its servers.
"""

import ipaddress
import socket

from hpa_records.runtime import errors

# TensorFlow 2.21 binds its servers to every interface, whatever address they
# are given, and its protocol has no authentication.
WARNING = ('TensorFlow listens on every interface of this machine and runs '
           'any graph that it receives, as this user: whoever reaches the port '
           'can read and write files. Use it in a trusted network, or behind a '
           'firewall.')

# The HTTP/2 connection preface, the same on both sides; RFC 9113, 3.4.
_SETTINGS = b'\x04'
_HELLO = (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0' + _SETTINGS +
          b'\0\0\0\0\0')


def split(address: str, flag: str) -> tuple[str, int]:
  """Returns host and port of HOST:PORT or [HOST]:PORT.

  Args:
    address: given by the user.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: not such an address.
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
  """Returns a host as written before :PORT; an IPv6 address in brackets.

  Args:
    host: name or IP address given by the user.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: neither a name nor an IP address, or no such host.
  """
  bare = split(f'{host}:1', flag)[0]
  try:
    socket.getaddrinfo(bare, None)
  except (OSError, UnicodeError) as error:
    raise errors.DataError(
        f'Host {bare!r} of {flag} not found ({error}); pass a name or IP '
        'address of this machine.') from error
  return f'[{bare}]' if ':' in bare else bare


def check_server(host: str, port: int, timeout_s: float) -> None:
  """Checks that a gRPC server answers; TensorFlow hangs on any other server.

  Args:
    host: name or IP address.
    port: of the server.
    timeout_s: longest wait for the connection and for its answer.

  Raises:
    OSError: nothing answers.
    errors.DataError: another kind of server answers.
  """
  try:
    with socket.create_connection((host, port), timeout_s) as connected:
      connected.sendall(_HELLO)
      answer = connected.makefile('rb').read(4)
  except UnicodeError as error:  # not a valid host name
    raise OSError(f'{error}') from error
  if answer[3:] != _SETTINGS:
    raise errors.DataError(f'The server on port {port} of {host} is not a '
                           'TensorFlow server; check host and port.')


def is_loopback(host: str) -> bool:
  """Returns whether a name or IP address is a loopback address."""
  try:
    found = socket.getaddrinfo(host, None)
  except (OSError, UnicodeError):
    return False
  return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)


def require_free(port: int, flag: str) -> None:
  """Checks that nothing on this machine listens on a port.

  Args:
    port: 0 is always free.
    flag: the flag's name, for the message.

  Raises:
    errors.DataError: the port is in use, or not permitted to this user.
  """
  with socket.socket() as tried:
    # Also a port in TIME_WAIT is free.
    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      tried.bind(('', port))
    except OSError as error:
      raise errors.DataError(
          f'Cannot listen on port {port} of {flag}: {error.strerror}; choose '
          'another port, or stop the program that uses it.') from error
