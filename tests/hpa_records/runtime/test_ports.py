"""ports: addresses, and servers that answer at them."""

import contextlib
import http.server
import socket
import sys
import threading

import pytest

from hpa_records.runtime import errors
from hpa_records.runtime import ports


@pytest.mark.parametrize('address', [
    'host', 'host:', ':80', 'host:0', 'host:65536', 'host:0655350', 'host:²',
    f'host:{"9" * 5000}'
])
def test_invalid_addresses_are_refused(address):
  with pytest.raises(errors.DataError, match='Expected host:port'):
    ports.split(address, '--dispatcher')


def test_a_host_of_ipv6_gets_brackets():
  for host in ('::1', '[::1]'):
    assert ports.require_host(host, '--host') == '[::1]'
  assert ports.require_host('localhost', '--host') == 'localhost'


def test_a_server_of_another_kind_is_refused():
  server = http.server.HTTPServer(('127.0.0.1', 0),
                                  http.server.SimpleHTTPRequestHandler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  with server:
    with pytest.raises(errors.DataError, match='not a TensorFlow server'):
      ports.check_server(*server.server_address, timeout_s=10)
    server.shutdown()


def test_a_silent_server_times_out():
  with socket.create_server(('127.0.0.1', 0)) as silent:
    with pytest.raises(TimeoutError):
      ports.check_server(*silent.getsockname(), timeout_s=0.1)


def _answers(address, port):
  with contextlib.suppress(TimeoutError):
    socket.create_connection((address, port), timeout=0.2).close()
    return True
  return False


@pytest.mark.skipif(sys.platform != 'linux', reason='filters are of Linux')
@pytest.mark.parametrize('allowed',
                         [['127.0.0.2'], ['::1'], ['127.0.0.1', '::1']])
def test_a_server_answers_at_its_own_addresses_alone(allowed):
  with contextlib.ExitStack() as opened, socket.create_server(
      ('::', 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
    with ports.accepting_only(allowed):
      server = opened.enter_context(
          socket.create_server(('::', 0),
                               family=socket.AF_INET6,
                               dualstack_ipv6=True))
    for address in '127.0.0.1', '127.0.0.2', '127.0.0.3', '::1':
      found = _answers(address, server.getsockname()[1])
      assert found == (address in allowed), address
      assert _answers(address, other.getsockname()[1])


@pytest.mark.skipif(sys.platform != 'linux', reason='filters are of Linux')
def test_a_connection_from_before_the_filter_is_cut():
  with contextlib.ExitStack() as opened:
    with ports.accepting_only(['127.0.0.2']):
      # Bound and connected before it is listened on for the watcher's eyes.
      server = opened.enter_context(socket.create_server(('', 0)))
      early = opened.enter_context(
          socket.create_connection(('127.0.0.1', server.getsockname()[1])))
      accepted = opened.enter_context(server.accept()[0])
    early.sendall(b'in')
    accepted.settimeout(0.2)
    with pytest.raises(TimeoutError):
      accepted.recv(2)


def test_no_server_to_restrict_is_told():
  with pytest.raises(OSError, match='no server'):
    with ports.accepting_only(['127.0.0.1']):
      pass


@pytest.mark.parametrize('host',
                         ['192.0.2.1', 'a.invalid', 'x' * 70, '0.0.0.0', '::'])
def test_hosts_that_are_not_this_machine(host):
  with pytest.raises(OSError):
    ports.own_addresses(host)
