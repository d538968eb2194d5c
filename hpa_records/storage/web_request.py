"""Requests to web servers, and to files at s3:// by signed addresses.

Each is tried once, in the event loop of fsspec; see request.within_bounds.
"""

import re
import time

import aiohttp
import yarl

from hpa_records.storage import driver
from hpa_records.storage import storage_error

_SIGNED_S = 1800.0
_MOST_SIGNED = 10_000  # signed addresses kept for a server


class StatusError(Exception):
  """An HTTP status from 400 on.

  Unlike aiohttp's error it does not show the address, which may be signed.

  Attributes:
    status: the number.
  """

  def __init__(self, status: int, reason: str):
    super().__init__(reason)
    self.status = status


class SignatureError(Exception):
  """A signed address cannot be made, or is refused."""


async def ask(path: str,
              url: yarl.URL | None = None,
              byte_range: str = '') -> aiohttp.ClientResponse:
  """Returns a server's answer, whose body is still to be read.

  Args:
    path: address of the file.
    url: with a signature; None is the path itself.
    byte_range: of the header Range; '' asks for the whole file.

  Raises:
    FileNotFoundError: HTTP status 404.
    StatusError: another status from 400 on.
    aiohttp.ClientError: no answer.
    storage_error.StorageError: a web server compresses the file.
  """
  files, inner = driver.connect(str(url.with_query(None)) if url else path)
  session = await files.set_session()
  headers = {'Accept-Encoding': 'identity'}
  if byte_range:
    headers['Range'] = byte_range
  answer = await session.get(url or files.encode_url(inner), headers=headers)
  if answer.status >= 400:
    answer.close()
    if answer.status == 404:
      raise FileNotFoundError(path)
    raise StatusError(answer.status, answer.reason or '')
  encoding = answer.headers.get('Content-Encoding', 'identity')
  if url is None and encoding != 'identity':
    answer.close()
    raise storage_error.StorageError(
        f'The server of {path} compresses it ({encoding:.20}) although it was '
        'asked not to; serve the file as it is.')
  return answer


async def fetch(path: str,
                start: int,
                end: int,
                url: yarl.URL | None = None) -> bytes:
  """Returns a byte range of a file; shorter, if the file ends before.

  fsspec's own method reads a complete answer, which may have no end.

  Args:
    path: address of the file.
    start: first byte.
    end: byte after the last one.
    url: as of ask.

  Raises:
    storage_error.StorageError: the server ignores ranges, or sends another
      one.
    FileNotFoundError, StatusError, aiohttp.ClientError: as of ask.
  """
  async with await ask(path, url, f'bytes={start}-{end - 1}') as answer:
    if answer.status == 206:
      end = _find_end(path, answer, start, end)
    elif start:
      raise storage_error.StorageError(
          f'The server of {path} does not support byte ranges (HTTP '
          f'{answer.status} in place of 206); copy the files to local disk '
          'first (records: trainer.main --stage_dir=DIR does that).')
    length = answer.content_length
    if length is not None and length <= end - start:
      return await answer.read()
    found = bytearray()
    async for chunk in answer.content.iter_any():
      found += chunk
      if len(found) >= end - start:
        break
    return bytes(found[:end - start])


def _find_end(path: str, answer: aiohttp.ClientResponse, start: int,
              end: int) -> int:
  """Returns the end of the range that is sent: end, or that of the file.

  Source: RFC 9110, 14.4.

  Raises:
    storage_error.StorageError: it is another range.
  """
  sent = answer.headers.get('Content-Range', '')
  found = re.fullmatch(r'bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)', sent)
  if found:
    first, after = int(found[1]), int(found[2]) + 1
    if first == start and (after == end or
                           (after < end and str(after) == found[3])):
      return after
  raise storage_error.StorageError(
      f'Expected bytes {start}-{end - 1} of {path}, the server sends '
      f'{sent[:60]!r}; copy the files to local disk first.')


async def fetch_signed(path: str, start: int, end: int) -> bytes:
  """Returns a byte range of a file at s3://, by a signed address.

  One signature serves all requests to a file for half an hour. Each is an
  ordinary one to a web server, and costs half of one through botocore
  (BUILD_NOTES.md, "Remote storage").

  Args:
    path: address of the file.
    start: first byte.
    end: byte after the last one.

  Raises:
    SignatureError: there are no credentials, the server refuses it, or does
      not connect (a certificate that only botocore is told of). If the address
      was new, none is tried again.
    FileNotFoundError, StatusError, aiohttp.ClientError: as of ask.
  """
  server = driver.find_server(path)
  url, until = server.signed.get(path, ('', 0.0))
  is_new = time.monotonic() >= until
  if is_new:
    try:
      url = await server.files._url(  # pylint: disable=protected-access
          driver.connect(path)[1],
          expires=int(2 * _SIGNED_S))
    except Exception as error:  # anonymous access, for example
      server.signs = False
      raise SignatureError from error
    if len(server.signed) >= _MOST_SIGNED:
      server.signed.clear()
    server.signed[path] = url, time.monotonic() + _SIGNED_S
  try:
    return await fetch(path, start, end, yarl.URL(url, encoded=True))
  except (StatusError, aiohttp.ClientConnectorError) as error:
    if isinstance(error, StatusError) and error.status not in (400, 401, 403):
      raise
    server.signed.pop(path, None)
    server.signs &= not is_new
    raise SignatureError from error
