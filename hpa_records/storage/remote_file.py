"""Files at addresses: size, version, and a file object that reads ranges."""

import io
import os

from hpa_records.storage import request
from hpa_records.storage import storage_error

# The first request of a file: most images are smaller. Each later one that goes
# on where the last ended is twice as large, up to the largest.
_FIRST_BYTES, _MOST_BYTES = 2**20, 2**23
# What the stores call the version of a file and the time of its last change.
_VERSION = ('ETag', 'etag', 'generation', 'LastModified', 'Last-Modified',
            'last_modified', 'updated', 'created', 'mtime')


class UnknownSizeError(storage_error.StorageError):
  """A web server does not tell the size of a file."""


def size(path: str) -> int | None:
  """Returns a file's size in bytes; None if there is no file.

  Args:
    path: address of the file.

  Raises:
    StorageError: the address cannot be accessed, or its server does not tell
      the size.
  """
  try:
    found = request.run(path, 'info')
  except storage_error.MissingError:
    return None
  if found.get('type') == 'directory':
    return None
  if found.get('size') is None:
    raise UnknownSizeError(
        f'The server does not tell the size of {path}; copy the files to local '
        'disk first.')
  return found['size']


def stamp(path: str) -> list[int | str]:
  """Returns a file's size in bytes and what its store has of its version.

  Args:
    path: address of the file.

  Raises:
    StorageError: the file does not exist, or cannot be accessed.
  """
  found = request.run(path, 'info')
  return [
      found.get('size') or 0,
      *(str(found[name]) for name in _VERSION if found.get(name) is not None)
  ]


class RemoteFile(io.RawIOBase):
  """A file object over an address; reads in blocks, raises StorageError.

  A file below a mebibyte takes one request, also where its end is read.
  """

  def __init__(self, path: str):
    """Makes no request.

    Args:
      path: address of the file.
    """
    super().__init__()
    self._path, self._at, self._size = path, 0, None
    self._block, self._block_at, self._next_bytes = b'', 0, _FIRST_BYTES

  def readable(self) -> bool:
    """As io.RawIOBase: always."""
    return True

  def seekable(self) -> bool:
    """As io.RawIOBase: always."""
    return True

  def read(self, size: int = -1) -> bytes:  # pylint: disable=redefined-outer-name
    """As io.BufferedIOBase: all that is asked for, unless the file ends."""
    if size is None or size < 0:
      return self.readall()
    buffer = bytearray(size)
    return bytes(memoryview(buffer)[:self.readinto(buffer)])

  def readall(self) -> bytes:
    """As io.RawIOBase."""
    parts = []
    while part := self._take(_MOST_BYTES):
      parts.append(bytes(part))
    return b''.join(parts)

  def readinto(self, buffer) -> int:
    """As io.BufferedIOBase: fills the buffer, unless the file ends."""
    view, done = memoryview(buffer).cast('B'), 0
    while done < len(view):
      part = self._take(len(view) - done)
      if not part:
        break
      view[done:done + len(part)] = part
      done += len(part)
    return done

  def _take(self, most: int) -> memoryview:
    """Returns 1 to `most` bytes at the position; none at the end."""
    block_end = self._block_at + len(self._block)
    if not self._block_at <= self._at < block_end:
      if self._size is not None and self._at >= self._size:
        return memoryview(b'')
      follows = self._block and self._at == block_end
      self._next_bytes = (min(2 * self._next_bytes, _MOST_BYTES)
                          if follows else _FIRST_BYTES)
      self._block_at = self._at
      self._block = request.fetch(self._path, self._at,
                                  self._at + self._next_bytes)
      if len(self._block) < self._next_bytes:
        self._size = self._at + len(self._block)
    found = memoryview(self._block)[self._at - self._block_at:][:most]
    self._at += len(found)
    return found

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """As io.RawIOBase, in bytes."""
    if whence == os.SEEK_END:
      if self._size is None:
        self._size = size(self._path)
        if self._size is None:
          raise storage_error.MissingError(f'{self._path} does not exist; '
                                           'check the address.')
      offset += self._size
    elif whence == os.SEEK_CUR:
      offset += self._at
    if offset < 0:
      raise ValueError(f'Expected a position in the file, received {offset}.')
    self._at = offset
    return offset

  def tell(self) -> int:
    """As io.RawIOBase, in bytes."""
    return self._at
