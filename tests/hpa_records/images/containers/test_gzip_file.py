"""gzip_file: complete files are inflated, up to a limit."""

import gzip
import zlib

import pytest

from hpa_records.images.containers import gzip_file
from hpa_records.runtime import errors

_CONTENT = bytes(range(256)) * 99
_DATA = gzip.compress(_CONTENT, mtime=0)


def test_content_is_given_back():
  assert gzip_file.inflate(_DATA) == _CONTENT
  assert gzip_file.inflate(gzip.compress(b'')) == b''


@pytest.mark.parametrize('data,received', [
    (b'', 'received an empty file'),
    (b'II*\0' + bytes(99), 'received another kind of file'),
    (_DATA[:-1], 'truncated gzip file'),
    (_DATA[:40], 'truncated gzip file'),
    (_DATA[:-8] + bytes(8), 'damaged gzip file'),
    (_DATA + b'ab', '2 bytes of other data after the end'),
    (_DATA + _DATA, 'bytes of other data after the end'),
])
def test_other_files_are_refused(data, received):
  with pytest.raises(errors.DataError, match=received) as error:
    gzip_file.inflate(data)
  assert '\n' not in str(error.value)


def test_a_bomb_is_inflated_up_to_the_limit(monkeypatch):
  monkeypatch.setattr(gzip_file, 'MAX_BYTES', 2**20)
  bomb = zlib.compressobj(wbits=31)
  data = bomb.compress(bytes(2**24)) + bomb.flush()
  with pytest.raises(errors.DataError, match='1,048,576 bytes of content'):
    gzip_file.inflate(data)
