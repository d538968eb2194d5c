"""Addresses HOST:PORT, and checks that a port is free or answers.

TensorFlow aborts a process whose port is in use with pages of its own output,
or silently shares the port with another of its servers.

TensorFlow 2.21 binds its servers to every interface, whatever address they are
given: 0.0.0.0 stands in its code. Its only protocol, grpc, has no
authentication. accepting_only therefore gives the servers' sockets a filter
of the kernel (Linux), which needs no rights: packets to other addresses of
this machine are dropped before the server sees them, as by a firewall.
"""

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
import threading
from typing import Iterator, Sequence

from hpa_records.runtime import errors

_RISK = ('TensorFlow runs any graph that it receives, as this user: whoever '
         'reaches the port can read and write files. Use it in a trusted '
         'network, or behind a firewall.')

# Numbers of Linux: asm-generic/socket.h; filter.h for the classic BPF.
_SO_ATTACH_FILTER = 26
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_PROTOCOL = -0x1000  # SKF_AD_OFF + SKF_AD_PROTOCOL
_IP_HEADER = -0x100000  # SKF_NET_OFF
_ETHERTYPE = {4: 0x0800, 6: 0x86dd}
_DESTINATION = {4: 16, 6: 24}  # of an IP header, in bytes
_PASS, _DROP = 2**32 - 1, 0
_LOOK_EVERY_S = 1e-3

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


def warning(addresses: Sequence[str]) -> str:
  """Returns what a user should know of TensorFlow's servers, in one line.

  Args:
    addresses: that are answered alone; none stands for all.
  """
  at = ', '.join(addresses) or 'every address of this machine'
  return f'TensorFlow answers at {at}. {_RISK}'


def own_addresses(host: str) -> list[str]:
  """Returns the IP addresses of this machine that a host stands for.

  Args:
    host: name or IP address, under which others reach this machine.

  Raises:
    OSError: a server cannot be restricted to them, because they are those of
      another machine (a gateway, a service of Kubernetes), the name is that of
      a loopback address here only, or the system has no filters.
  """
  try:
    found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    for each in found:
      if ipaddress.ip_address(each.partition('%')[0]).is_unspecified:
        raise OSError(f'{each} stands for every address')
      is_v6 = ':' in each
      with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET) as tried:
        tried.bind((each, 0))
        _attach(tried, [each])
  except UnicodeError as error:  # not a valid host name
    raise OSError(f'{error}') from error
  if host not in found | {'localhost'} and any(map(is_loopback, found)):
    raise OSError(f'here, {host} is the loopback address {min(found)}')
  return sorted(found)


@contextlib.contextmanager
def accepting_only(addresses: Sequence[str]) -> Iterator[None]:
  """Restricts the servers that a block starts to addresses, within some ms.

  Args:
    addresses: IP addresses of this machine; none restricts nothing.

  Raises:
    OSError: the block started no server, or the system has no filters.
  """
  if not addresses:
    yield
    return
  with contextlib.ExitStack() as opened:
    before = set(_tcp_sockets(opened))
  stopped = threading.Event()

  def restrict() -> bool:
    with contextlib.ExitStack() as opened:
      sockets = _tcp_sockets(opened)
      found = [sockets[inode] for inode in sockets.keys() - before]
      ports = {each.getsockname()[1] for each in found if _listens(each)}
      for each in found:
        # Also what connected before the filter was there.
        if each.getsockname()[1] in ports:
          _attach(each, addresses)
      return bool(ports)

  def watch():
    # The block may wait for other machines long after its server has started.
    with contextlib.suppress(OSError):  # told at the end
      while not restrict() and not stopped.wait(_LOOK_EVERY_S):
        pass

  watching = threading.Thread(target=watch, daemon=True)
  watching.start()
  try:
    yield
  finally:
    stopped.set()
    watching.join()
  if not restrict():
    raise OSError('no server was found in this process')


def _tcp_sockets(opened: contextlib.ExitStack) -> dict[int, socket.socket]:
  """Returns copies of the TCP sockets of this process, whoever made them.

  Args:
    opened: closes the copies.

  Returns:
    The sockets by inode.
  """
  folder, found = '/proc/self/fd', {}
  for name in os.listdir(folder):
    # Others open and close files meanwhile.
    with contextlib.suppress(OSError):
      if os.readlink(f'{folder}/{name}').startswith('socket:'):
        copy = opened.enter_context(socket.socket(fileno=os.dup(int(name))))
        if (copy.family in (socket.AF_INET, socket.AF_INET6) and
            copy.type == socket.SOCK_STREAM):
          found[os.fstat(copy.fileno()).st_ino] = copy
  return found


def _listens(found: socket.socket) -> bool:
  return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _attach(to: socket.socket, addresses: Sequence[str]) -> None:
  """Drops a socket's incoming packets to other addresses than those.

  Source: Linux, Documentation/networking/filter.rst.
  """
  code = b''
  for each in map(ipaddress.ip_address, addresses):
    words = struct.unpack(f'>{len(each.packed) // 4}I', each.packed)
    start = _IP_HEADER + _DESTINATION[each.version]
    tests = [(_PROTOCOL, _ETHERTYPE[each.version]),
             *((start + 4 * i, word) for i, word in enumerate(words))]
    for left, (place, value) in zip(range(len(tests) - 1, -1, -1), tests):
      code += struct.pack('=HBBi', _LOAD, 0, 0, place)
      code += struct.pack('=HBBI', _JUMP_IF_EQUAL, 0, 2 * left + 1, value)
    code += struct.pack('=HBBI', _RETURN, 0, 0, _PASS)
  code += struct.pack('=HBBI', _RETURN, 0, 0, _DROP)
  kept = ctypes.create_string_buffer(code, len(code))
  program = struct.pack('HP', len(code) // 8, ctypes.addressof(kept))
  to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


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
