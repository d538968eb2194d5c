"""tiff: ambiguous files are refused; the checked tags are decoded.

Tested through decode, so both check and decode are covered.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_GRAY = fakes.plane(3, 1, 31)[:21]
_DEEP = _GRAY.astype(np.uint16) * 257 + 13


def _long(*values):
  return len(values), struct.pack(f'<{len(values)}I', *values)


def _text(content):
  return len(content), content


def _both(tmp_path, data):
  """Returns the message of check and of decode, which must be equal."""
  path = tmp_path / 'a.tif'
  path.write_bytes(data)
  told = []
  for read in (lambda: decoding.check(str(path), 'red', 65535),
               lambda: decoding.decode(data, 'a.tif', 'red', 65535)):
    try:
      told.append(read())
    except errors.DataError as error:
      told.append(str(error))
  if isinstance(told[0], str):
    assert told[0] == told[1]
  return told[1]


@pytest.mark.parametrize(
    'entry,received',
    [
        ((256, 4, *_long(30)), 'duplicate tag 256 in a TIFF'),
        ((273, 4, *_long(99)), 'duplicate tag 273'),
        ((266, 3, 2, b'\1\0\1\0'),
         'one value in tag 266 of a TIFF, received 2'),
        ((274, 2, *_text(b'1\0')), 'integers in tag 274 of a TIFF, received'),
        ((274, 3, 0, b''), 'invalid number of values in tag 274'),
        ((324, 4, *_long(8)), 'TIFF with both strips and tiles'),
        ((317, 3, 1, b'\3\0'), 'a TIFF of predictor 3'),
        ((317, 3, 1, b'\2\0'), 'a TIFF of predictor 2'),  # uncompressed
        ((330, 4, *_long(8)),
         'several images (a pyramid, or other sub-images)'),
        ((32997, 4, *_long(3)), 'several images (3 layers)'),
        ((33629, 5, 3, bytes(24)), 'several images (a MetaMorph stack of 3)'),
        ((270, 2, *_text(b'ImageJ=1.54\nimages=3\nslices=3\n\0')),
         'several images (an ImageJ stack of 3)'),
        ((270, 2, *_text(b'{"shape": [3, 21, 31], "truncated": true}\0')),
         'several images (an array of 3, 21, 31'),
    ])
def test_unusual_directories_are_refused_by_name(tmp_path, entry, received):
  message = _both(tmp_path, image_bytes.gray_tiff_and(_GRAY, entry))
  assert received in message


@pytest.mark.parametrize('entry', [
    (270, 2, *_text(b'ImageJ=1.54\nimages=1\nunit=micron\n\0')),
    (270, 2, *_text(b'{"shape": [21, 31]}\0')),
    (270, 2, *_text(b'<OME><Pixels SizeC="4" SizeZ="1"/></OME>\0')),
    (65000, 99, 2**32 - 1, b'\xff\xff\xff\xff'),
    (301, 2, 0, b''),
])
def test_tags_without_effect_on_the_pixels_are_ignored(tmp_path, entry):
  found = _both(tmp_path, image_bytes.gray_tiff_and(_GRAY, entry, entry))
  np.testing.assert_array_equal(found, _GRAY)


def test_overlapping_strips_are_refused(tmp_path):
  rows = [row.tobytes() for row in _GRAY]
  tags = image_bytes.gray_tags(_GRAY, t278=1, t259=32773)
  tags[273], tags[279] = [8] * 21, [700] * 21
  assert 'expected 14,700 bytes, received' in _both(
      tmp_path, image_bytes.tiff(tags, rows))


@pytest.mark.parametrize('pixels', [_GRAY, _DEEP])
@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize('start', [8, 11])
def test_strips_may_lie_in_any_order_at_any_byte(tmp_path, pixels, order,
                                                 start):
  strip_bytes = pixels.nbytes // 3
  tags = image_bytes.gray_tags(pixels, t278=7)
  tags[273] = [start + strip_bytes * order.index(i) for i in range(3)]
  tags[279] = [strip_bytes] * 3
  rows = [pixels[7 * i:7 * i + 7].tobytes() for i in order]
  data = image_bytes.tiff(tags, [bytes(start - 8) + b''.join(rows)])
  np.testing.assert_array_equal(_both(tmp_path, data), pixels)


def test_an_uncompressed_strip_does_not_include_later_bytes(tmp_path):
  rows = [_GRAY[:20].tobytes() + bytes(31), _GRAY[20:].tobytes()[:30]]
  tags = image_bytes.gray_tags(_GRAY, t278=20)
  assert '2 strips or tiles of 681 bytes' in _both(tmp_path,
                                                   image_bytes.tiff(tags, rows))


@pytest.mark.parametrize('pixels', [_GRAY, _DEEP])
@pytest.mark.parametrize('order', ['<', '>'])
def test_bigtiff_is_read(tmp_path, pixels, order):
  plain = pixels.astype(f'{order}u{pixels.itemsize}').tobytes()
  for kind, content in ((1, plain), (8, zlib.compress(plain))):
    data = image_bytes.tiff(image_bytes.gray_tags(pixels, t259=kind), [content],
                            order,
                            big=True)
    np.testing.assert_array_equal(_both(tmp_path, data), pixels)
  pillows = image_bytes.save(pixels, 'TIFF', big_tiff=True)
  np.testing.assert_array_equal(_both(tmp_path, pillows), pixels)


def test_bigtiff_of_many_entries_or_far_offsets_is_refused(tmp_path):
  head = b'II+\0\x08\0\0\0'
  for start, count in ((2**64 - 1, b''), (16, b'\xff' * 8)):
    data = head + struct.pack('<Q', start) + count + bytes(99)
    assert 'the header is incomplete' in _both(tmp_path, data)


def test_overlapping_tags_take_no_memory():
  blob = (7, 2**20, struct.pack('<I', 8))
  data = image_bytes.tiff(image_bytes.gray_tags(_GRAY, t278=21),
                          [_GRAY.tobytes() + bytes(2**20)],
                          extra=[(40000 + i, *blob) for i in range(20_000)])
  np.testing.assert_array_equal(decoding.decode(data, 'a.tif', 'red', 0), _GRAY)


def test_a_predictor_is_kept(tmp_path):
  file = io.BytesIO()
  Image.fromarray(_GRAY).save(file,
                              'TIFF',
                              compression='tiff_lzw',
                              tiffinfo={317: 2})
  np.testing.assert_array_equal(_both(tmp_path, file.getvalue()), _GRAY)
