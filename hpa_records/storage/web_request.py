"""Requests to web servers, and to files at s3:// by signed addresses.

Each is tried once, in the event loop of fsspec; see request.within_bounds.
"""

import re

import aiohttp

from hpa_records.storage import driver
from hpa_records.storage import storage_error


class StatusError(Exception):
  """An HTTP status from 400 on.

  Unlike aiohttp's error it does not show the address, which may be signed after
  a redirect.

  Attributes:
    status: the number.
  """

  def __init__(self, status: int, reason: str):
    super().__init__(reason)
    self.status = status


async def ask(path: str, byte_range: str = '') -> aiohttp.ClientResponse:
  """Returns a server's answer, whose body is still to be read.

  Args:
    path: address of the file.
    byte_range: of the header Range; '' asks for the whole file.

  Raises:
    FileNotFoundError: HTTP status 404.
    StatusError: another status from 400 on.
    aiohttp.ClientError: no answer.
    storage_error.StorageError: a web server compresses the file.
  """
  files, inner = driver.connect(path)
  session = await files.set_session()
  headers = {'Accept-Encoding': 'identity'}
  if byte_range:
    headers['Range'] = byte_range
  answer = await session.get(files.encode_url(inner), headers=headers)
  if answer.status >= 400:
    answer.close()
    if answer.status == 404:
      raise FileNotFoundError(path)
    raise StatusError(answer.status, answer.reason or '')
  encoding = answer.headers.get('Content-Encoding', 'identity')
  if encoding != 'identity':
    answer.close()
    raise storage_error.StorageError(
        f'The server of {path} compresses it ({encoding:.20}) although it was '
        'asked not to; serve the file as it is.')
  return answer


async def fetch(path: str, start: int, end: int) -> bytes:
  """Returns a byte range of a file; shorter, if the file ends before.

  fsspec's own method reads a complete answer, which may have no end.

  Args:
    path: address of the file.
    start: first byte.
    end: byte after the last one.

  Raises:
    storage_error.StorageError: the server ignores ranges, or sends another
      one.
    FileNotFoundError, StatusError, aiohttp.ClientError: as of ask.
  """
  async with await ask(path, f'bytes={start}-{end - 1}') as answer:
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
