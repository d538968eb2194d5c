"""A web server of one folder with byte ranges, which a test makes fail."""

import contextlib
import http.server
import pathlib
import re
import threading
from typing import Callable, Iterator

# (path, number of the request) -> HTTP status, or 0 for the file's own answer.
Fault = Callable[[str, int], int]


class Server:
  """A running server.

  Attributes:
    address: of the folder, http://127.0.0.1:PORT.
    requests: (path, header Range or '') of each GET so far.
    fault: decides what is answered; by default all succeeds.
    has_ranges: whether it answers with the requested range.
    lost_bytes: missing at the end of each answer.
    encoding: of the header Content-Encoding; '' for none.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.requests: list[tuple[str, str]] = []
    self.fault: Fault = lambda path, number: 0
    self.has_ranges = True
    self.lost_bytes = 0
    self.encoding = ''


def _answer(server: Server, handler: http.server.BaseHTTPRequestHandler,
            is_get: bool) -> None:
  said = handler.headers.get('Range', '')
  path = server.folder / handler.path.lstrip('/')
  if is_get:
    server.requests.append((handler.path, said))
  status = server.fault(handler.path, len(server.requests)) if is_get else 0
  if not status and not path.is_file():
    status = 404
  if status:
    handler.send_response(status)
    handler.send_header('Content-Length', '0')
    handler.end_headers()
    return
  data, status = path.read_bytes(), 200
  tag, sent = f'"{hash(data)}"', ''
  if said and server.has_ranges:
    start, end = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)', said).groups())
    sent = f'bytes {start}-{min(end + 1, len(data)) - 1}/{len(data)}'
    data, status = data[start:end + 1], 206
  data = data[:max(0, len(data) - server.lost_bytes)] if is_get else data
  handler.send_response(status)
  handler.send_header('Content-Length', str(len(data)))
  handler.send_header('ETag', tag)
  if server.encoding:
    handler.send_header('Content-Encoding', server.encoding)
  if sent:
    handler.send_header('Content-Range', sent)
  handler.end_headers()
  if is_get:
    handler.wfile.write(data)


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[Server]:
  """Yields a server that runs during the block.

  Args:
    folder: of the files.
  """
  server = Server(folder)

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
      _answer(server, self, True)

    def do_HEAD(self):
      _answer(server, self, False)

    def log_message(self, *_):  # pylint: disable=arguments-differ
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as listener:
    listener.daemon_threads = True
    threading.Thread(target=listener.serve_forever, args=(0.01,),
                     daemon=True).start()
    server.address = f'http://127.0.0.1:{listener.server_port}'
    try:
      yield server
    finally:
      listener.shutdown()
