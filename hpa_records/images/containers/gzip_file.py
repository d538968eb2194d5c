"""Inflates a gzip file up to a limit.

Zlib inflates a byte to up to a thousand.

Source: RFC 1952.
"""

import zlib

from hpa_records.runtime import errors

# The largest 16-bit image has half of it.
MAX_BYTES = 256 * 2**20
_GZIP = 31  # zlib: a gzip header, and a window of up to 32 KiB


def inflate(data: bytes) -> bytes:
  """Returns the content of a gzip file, checked by its checksum.

  Args:
    data: the complete file.

  Raises:
    errors.DataError: it is damaged, truncated, has data after its end, or
      more than MAX_BYTES of content.
  """
  if data[:2] != b'\x1f\x8b':
    received = 'another kind of file' if data else 'an empty file'
    raise errors.DataError(
        f'expected a gzip file (from the extension), received {received}')
  if len(data) > MAX_BYTES:
    raise errors.DataError(
        f'expected at most {MAX_BYTES:,} bytes, received {len(data):,}')
  inflater = zlib.decompressobj(_GZIP)
  try:
    found = inflater.decompress(data, MAX_BYTES + 1)
  except zlib.error as error:
    raise errors.DataError(f'damaged gzip file ({error})') from error
  if len(found) > MAX_BYTES:
    raise errors.DataError(
        f'expected a gzip file of at most {MAX_BYTES:,} bytes of content, '
        'received more')
  if not inflater.eof:
    raise errors.DataError(f'truncated gzip file ({len(data):,} bytes)')
  if inflater.unused_data:
    raise errors.DataError(f'{len(inflater.unused_data):,} bytes of other data '
                           'after the end of the gzip file')
  return found
