"""request: bounds, repetitions and one-line errors, from a real web server."""

import base64
import collections
import contextlib
import errno
import gzip
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import remote_file
from hpa_records.storage import request
from hpa_records.storage import storage_error

_ROOT = pathlib.Path(__file__).parents[3]
_DATA = bytes(range(256)) * 20_000  # 5 MB
_SECRET = 'hunter2'


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers N/x with HTTP status N; N-then/x only the first time.

  Of others gzip/x compresses, other/x sends another range, capped/x sends less
  than it was asked for, endless/x never stops,
  slow/x sends a byte each tenth of a second.
  """

  protocol_version = 'HTTP/1.1'
  counts: collections.Counter = collections.Counter()

  def do_GET(self):
    kind = self.path.split('/')[1]
    self.counts[self.path] += 1
    if kind.endswith('-then'):
      kind = kind.removesuffix('-then') if self.counts[self.path] == 1 else 'ok'
    if kind.isdigit():
      self._answer(int(kind), f'<Error>token={_SECRET}</Error>'.encode())
    elif kind == 'whole':
      self._answer(200, _DATA)
    elif kind == 'endless':
      self.send_response(200)
      self.send_header('Transfer-Encoding', 'chunked')
      self.end_headers()
      with contextlib.suppress(OSError):
        while True:
          self.wfile.write(b'10000\r\n' + bytes(2**16) + b'\r\n')
    elif kind == 'slow':
      self.send_response(200)
      self.send_header('Content-Length', '1000')
      self.end_headers()
      with contextlib.suppress(OSError):
        for _ in range(1000):
          self.wfile.write(b'0')
          time.sleep(0.1)
    elif kind == 'gzip':
      self._answer(200, gzip.compress(_DATA), {'Content-Encoding': 'gzip'})
    else:
      start, end = self.headers['Range'].removeprefix('bytes=').split('-')
      first = int(start) + 10 * (kind == 'other')
      part = _DATA[first:int(end) + 1][:1000 if kind == 'capped' else None]
      sent = f'bytes {first}-{first + len(part) - 1}/{len(_DATA)}'
      if kind == 'cut' and self.counts[self.path] == 1:
        self._answer(206, part, {'Content-Range': sent}, 1000)
        self.close_connection = True
      else:
        self._answer(206 if part else 416, part, {'Content-Range': sent})

  def _answer(self, status, data, headers=(), most=None):
    self.send_response(status)
    self.send_header('Content-Length', str(len(data)))
    for name, value in dict(headers).items():
      self.send_header(name, value)
    self.end_headers()
    with contextlib.suppress(OSError):
      self.wfile.write(data[:most])

  def log_message(self, *_):  # pylint: disable=arguments-differ
    pass


@pytest.fixture(name='server')
def _server():
  _Handler.counts.clear()
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.mark.parametrize('status,told,tries', [
    (403, r'Access to .*/403/x is denied \(HTTP 403\)', 1),
    (401, r'Access to .*/401/x is denied \(HTTP 401\)', 1),
    (404, '/404/x does not exist; check the address', 1),
    (400, r'Cannot access .*/400/x \(HTTP 400\)', 1),
    (500, r'The server of .*/500/x failed \(HTTP 500\)', 2),
    (429, r'receives too many requests \(HTTP 429\)', 2),
])
def test_refusals_are_told_apart_and_tried_again_where_that_helps(
    server, monkeypatch, status, told, tries):
  monkeypatch.setattr(driver, 'FIRST_S', 0.5)
  with pytest.raises(storage_error.StorageError, match=told) as found:
    filesystem.read_bytes(f'{server}/{status}/x')
  message = str(found.value)
  assert '\n' not in message and _SECRET not in message
  assert isinstance(found.value, FileNotFoundError) == (status == 404)
  assert (_Handler.counts[f'/{status}/x'] >= tries
          if tries > 1 else _Handler.counts[f'/{status}/x'] == 1)


@pytest.mark.parametrize('kind', ['500-then', '503-then', '429-then', 'cut'])
def test_a_failure_that_ends_is_no_error(server, kind):
  assert request.fetch(f'{server}/ok/x', 0, 10) == _DATA[:10]
  assert request.fetch(f'{server}/{kind}/x', 5, 2**20) == _DATA[5:2**20]
  assert _Handler.counts[f'/{kind}/x'] == 2


def test_a_server_that_ignores_ranges_is_an_error_and_can_be_streamed(server):
  path = f'{server}/whole/x'
  assert request.fetch(path, 0, 100) == _DATA[:100]
  with pytest.raises(errors.DataError, match='does not support byte ranges'):
    request.fetch(path, 100, 200)
  assert b''.join(map(bytes, filesystem.chunks(path))) == _DATA


@pytest.mark.parametrize('kind,told', [
    ('gzip', 'compresses it'),
    ('other', 'Expected bytes 5-99'),
    ('capped', 'Expected bytes 5-1999'),
])
def test_an_answer_that_is_not_the_range_is_refused(server, kind, told):
  with pytest.raises(errors.DataError, match=told) as found:
    request.fetch(f'{server}/{kind}/x', 5, 2000 if kind == 'capped' else 100)
  assert '\n' not in str(found.value) and _Handler.counts[f'/{kind}/x'] == 1


def test_the_end_of_a_file_is_found_by_reading(server):
  assert request.fetch(f'{server}/ok/x', len(_DATA), len(_DATA) + 9) == b''
  with remote_file.RemoteFile(f'{server}/ok/x') as file:
    assert file.read() == _DATA and file.tell() == len(_DATA)
    assert file.seek(-5, os.SEEK_END) and file.read() == _DATA[-5:]


def test_one_request_reads_the_start_and_the_end_of_a_small_file(server):
  path = f'{server}/ok/x'
  with remote_file.RemoteFile(path) as file:
    file.seek(len(_DATA) - 1000)
    assert file.read(4) == _DATA[-1000:-996]
    file.seek(-3, os.SEEK_END)
    assert file.read() == _DATA[-3:]
  assert _Handler.counts['/ok/x'] == 1


def test_an_endpoint_that_is_silent_is_one_line_within_15_s(tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as listener:
    endpoint = f'http://127.0.0.1:{listener.getsockname()[1]}'
    environment = {
        **os.environ,
        'HOME': str(tmp_path),
        'AWS_ENDPOINT_URL': endpoint,
        'AWS_ACCESS_KEY_ID': 'me',
        'AWS_SECRET_ACCESS_KEY': _SECRET,
        'STORAGE_EMULATOR_HOST': endpoint,
        'AZURE_STORAGE_CONNECTION_STRING':
            'DefaultEndpointsProtocol=http;AccountName=me;AccountKey='
            f'{base64.b64encode(_SECRET.encode()).decode()};'
            f'BlobEndpoint={endpoint}/me;',
    }
    begun = time.monotonic()
    running = [
        subprocess.Popen(  # pylint: disable=consider-using-with
            [
                sys.executable, 'tools/verify_records.py',
                f'--records={address}/records'
            ],
            cwd=_ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True)
        for address in (endpoint, 's3://bucket', 'gs://bucket', 'az://bucket')
    ]
    said = [process.communicate()[1] for process in running]
    took_s = time.monotonic() - begun
  assert [process.returncode for process in running] == [2] * 4, said
  for line in said:
    assert 'No answer in time from the server of' in line
    assert len(line.splitlines()) == 1 and _SECRET not in line
  assert took_s < 60  # 12 s and four starts of Python, on a busy machine


def test_a_server_that_never_stops_sending_is_left(server):
  with pytest.raises(OSError, match='too large') as found:
    filesystem.read_bytes(f'{server}/endless/x', 10**6)
  assert found.value.errno == errno.EFBIG


def test_a_server_that_sends_a_byte_now_and_then_is_left(server, monkeypatch):
  monkeypatch.setattr(request, '_PATIENCE_S', 0.5)
  with pytest.raises(errors.DataError, match='No answer in time'):
    filesystem.read_bytes(f'{server}/slow/x')
