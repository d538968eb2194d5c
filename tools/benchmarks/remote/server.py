"""A web server of one folder, with byte ranges, that waits before each answer.

  python -m benchmarks.remote.server FOLDER DELAY_MS

It prints its port. http://127.0.0.1:PORT/records/NAME is a file of the folder.
What S3's clients ask for to read an object is the same: s3://records/NAME, with
the server as their endpoint. A thread for each connection and the kernel's
sendfile take little of the processor that the clients are measured on.
"""

import email.utils
import http.server
import os
import re
import sys
import time


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers GET and HEAD with a file of the folder, or a range of it."""

  protocol_version = 'HTTP/1.1'
  disable_nagle_algorithm = True
  folder, delay_s = '', 0.0

  def do_GET(self):
    self._answer(sends=True)

  def do_HEAD(self):
    self._answer(sends=False)

  def _answer(self, sends: bool) -> None:
    time.sleep(self.delay_s)
    name = os.path.basename(self.path.partition('?')[0])
    try:
      file = os.open(os.path.join(self.folder, name), os.O_RDONLY)
    except OSError:
      self._send_head(404, 0)
      return
    try:
      state = os.fstat(file)
      size = end = state.st_size
      start, sent = 0, {
          'ETag': f'"{state.st_mtime_ns:x}-{size:x}"',
          'Last-Modified': email.utils.formatdate(state.st_mtime, usegmt=True),
          'Accept-Ranges': 'bytes'
      }
      asked = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
      if asked:
        start, end = int(asked[1]), min(int(asked[2] or size) + 1, size)
        sent['Content-Range'] = f'bytes {start}-{end - 1}/{size}'
      self._send_head(206 if asked else 200, max(0, end - start), **sent)
      while sends and start < end:
        count = os.sendfile(self.connection.fileno(), file, start, end - start)
        start += count
    finally:
      os.close(file)

  def _send_head(self, status: int, length: int, **sent: str) -> None:
    self.send_response_only(status)
    for name, value in {'Content-Length': str(length), **sent}.items():
      self.send_header(name, value)
    self.end_headers()

  def log_message(self, *_):  # pylint: disable=arguments-differ
    pass


class _Server(http.server.ThreadingHTTPServer):
  request_queue_size = 128  # connections that all come at once


def main() -> None:
  """Serves the folder of the arguments until it is killed."""
  _Handler.folder, _Handler.delay_s = sys.argv[1], float(sys.argv[2]) / 1000
  with _Server(('127.0.0.1', 0), _Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == '__main__':
  main()
