"""Byte ranges by plain HTTP in threads: the short way to http(s):// and s3://.

The drivers make their requests in one event loop of Python, a few hundred a
second. A connection of http.client in a thread receives a range straight into
its memory, without the GIL (BUILD_NOTES.md, "Remote storage").

Whatever is not a plain answer (a redirect, a proxy, an error, another range) is
left to the drivers, with their credentials, bounds and messages. So it is used
when a server has answered once, and gives None where the caller must ask them.
"""

import functools
import http.client
import netrc
import os
import ssl
import threading
import time
import urllib.parse
import urllib.request

import numpy as np

from hpa_records.storage import driver

_SIGNED_S = 1800.0
_MOST_SIGNED = 10_000  # signed addresses kept for a server
_REFUSED = (400, 401, 403)

_local = threading.local()


def knows(path: str) -> bool:
  """Returns whether fetch can read ranges of an address."""
  return driver.is_web(path) or driver.is_s3(path)


def fetch(path: str, start: int, end: int) -> np.ndarray | None:
  """Returns a byte range of a file, [end - start] uint8; None: ask the driver.

  Args:
    path: address of the file, one that knows returned True for.
    start: first byte.
    end: byte after the last one.
  """
  server = driver.find_server(path)
  if not (server.has_answered and server.is_direct and start < end):
    return None
  url, is_new = _locate(server, path)
  if not url or not _is_plain(url):
    server.is_direct = False
    return None
  try:
    status, data = _get(url, start, end)
  except ssl.SSLCertVerificationError:  # only the driver is told of it
    server.is_direct = False
    return None
  except (OSError, http.client.HTTPException):
    return None
  # Refused, a redirect, or without ranges.
  is_plain = status == 206 or (status >= 400 and status not in _REFUSED)
  if not is_plain and (is_new or not server.signed.pop(path, None)):
    server.is_direct = False
  return data


def _locate(server: driver.Server,
            path: str) -> tuple[urllib.parse.SplitResult | None, bool]:
  """Returns the URL of a file, and whether its signature is new.

  One signature serves all requests to a file of s3:// for half an hour.
  """
  inner = driver.connect(path)[1]
  if driver.is_web(path):
    return urllib.parse.urlsplit(str(server.files.encode_url(inner))), False
  url, until = server.signed.get(path, (None, 0.0))
  is_new = time.monotonic() >= until
  if is_new:
    try:
      signed = server.files.url(inner, expires=int(2 * _SIGNED_S))
    except Exception:  # pylint: disable=broad-exception-caught
      return None, True  # anonymous access, for example
    if len(server.signed) >= _MOST_SIGNED:
      server.signed.clear()
    url = urllib.parse.urlsplit(signed)
    server.signed[path] = url, time.monotonic() + _SIGNED_S
  return url, is_new


def _is_plain(url: urllib.parse.SplitResult) -> bool:
  return _needs_nothing(url.scheme, url.hostname or '')


@functools.cache
def _needs_nothing(scheme: str, host: str) -> bool:
  """Returns whether a host is reached without proxy and password."""
  if scheme in urllib.request.getproxies(
  ) and not urllib.request.proxy_bypass(host):
    return False
  try:
    return not netrc.netrc().authenticators(host)
  except FileNotFoundError:
    return True
  except (OSError, netrc.NetrcParseError):
    return False


def _get(url: urllib.parse.SplitResult, start: int,
         end: int) -> tuple[int, np.ndarray | None]:
  """Returns the HTTP status, and the range if all of it has come.

  Raises:
    OSError, http.client.HTTPException: the connection failed.
  """
  connection = _connect(url)
  path = f'{url.path or "/"}{"?" if url.query else ""}{url.query}'
  is_whole = False
  try:
    connection.request('GET',
                       path,
                       headers={
                           'Range': f'bytes={start}-{end - 1}',
                           'User-Agent': 'hpa-records'
                       })
    answer = connection.getresponse()
    if not _is_range(answer, start, end):
      return answer.status, None
    data = np.empty(end - start, np.uint8)
    left = memoryview(data)
    while left:
      count = answer.readinto(left)
      if not count:
        return answer.status, None
      left = left[count:]
    answer.read()  # its end, so that the connection is free
    is_whole = True
    return answer.status, data
  finally:
    if not is_whole:
      connection.close()


def _is_range(answer: http.client.HTTPResponse, start: int, end: int) -> bool:
  """Returns whether an answer has exactly the bytes of a range, as they are."""
  return (answer.status == 206 and
          answer.length == end - start and answer.getheader(
              'Content-Range', '').startswith(f'bytes {start}-{end - 1}/') and
          answer.getheader('Content-Encoding', 'identity') == 'identity')


def _connect(url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
  """Returns this thread's connection to a server, which opens when used."""
  connections = vars(_local).setdefault('connections', {})
  key = (os.getpid(), url.scheme, url.netloc)  # none survives a fork
  if key not in connections:
    options = {'timeout': driver.SILENCE_S}
    connections[key] = (http.client.HTTPSConnection(
        url.netloc, context=_tls(), **options) if url.scheme == 'https' else
                        http.client.HTTPConnection(url.netloc, **options))
  return connections[key]


@functools.cache
def _tls() -> ssl.SSLContext:
  return ssl.create_default_context()
