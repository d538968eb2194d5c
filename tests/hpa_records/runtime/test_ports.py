"""ports: addresses, and servers that answer at them."""

import http.server
import socket
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
