"""Requests to web servers, and to files at s3:// by signed addresses.

Each is tried once, in the event loop of fsspec; see request.within_bounds.
"""

import time

import aiohttp
import yarl

from hpa_records.storage import driver
from hpa_records.storage import storage_error

_SIGNED_S = 1800.0


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
    aiohttp.ClientError: another status from 400 on, or no answer.
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
  answer.raise_for_status()
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
    storage_error.StorageError: the server ignores ranges.
    FileNotFoundError, aiohttp.ClientError: as of ask.
  """
  async with await ask(path, url, f'bytes={start}-{end - 1}') as answer:
    if answer.status != 206 and start:
      raise storage_error.StorageError(
          f'The server of {path} does not support byte ranges (HTTP '
          f'{answer.status} in place of 206); copy the files to local disk '
          'first (records: trainer.main --stage_dir=DIR does that).')
    if answer.content_length is not None and (answer.content_length
                                              <= end - start):
      return await answer.read()
    found = bytearray()
    async for chunk in answer.content.iter_any():
      found += chunk
      if len(found) >= end - start:
        break
    return bytes(found[:end - start])


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
    SignatureError: there are no credentials, or the server refuses it.
    FileNotFoundError, aiohttp.ClientError: as of ask.
  """
  server = driver.find_server(path)
  url, until = server.signed.get(path, ('', 0.0))
  if time.monotonic() >= until:
    try:
      url = await server.files._url(  # pylint: disable=protected-access
          driver.connect(path)[1],
          expires=int(2 * _SIGNED_S))
    except Exception as error:  # anonymous access, for example
      raise SignatureError from error
    server.signed[path] = url, time.monotonic() + _SIGNED_S
  try:
    return await fetch(path, start, end, yarl.URL(url, encoded=True))
  except aiohttp.ClientResponseError as error:
    if error.status in (400, 401, 403):
      server.signed.pop(path, None)
      raise SignatureError from error
    raise
