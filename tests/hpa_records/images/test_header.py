"""header: unsupported files are refused, and their kind is named.

Tested through decode, so both check and decode are covered.
"""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest

from hpa_records.images import decode
from hpa_records.images import file_pattern
from hpa_records.images import header
from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_ROOT = pathlib.Path(__file__).parents[3]
_GRAY = fakes.plane(3, 1, 31)[:21]
_DEEP = _GRAY.astype(np.uint16) * 257 + 13


def test_each_format_has_a_reader_and_a_decoder():
  formats = set(file_pattern.FORMATS.values())
  # pylint: disable=protected-access
  assert {*header._READERS, 'TIFF'} == set(decode._DECODERS) == formats
  assert {kind for _, kind in header._SIGNATURES} == formats


def _refusal(data, name, channel='red', white_level=65535):
  with pytest.raises(errors.DataError) as error:
    decoding.decode(data, name, channel, white_level)
  assert '\n' not in str(error.value)
  return str(error.value)


def _extra(colors):
  return np.zeros((21, 31, colors), np.uint8)


def _pages():
  file = io.BytesIO()
  page = Image.fromarray(_GRAY)
  page.save(file, 'TIFF', save_all=True, append_images=[page])
  return file.getvalue()


@pytest.mark.parametrize('name,data,received', [
    ('a.png', b'',
     'expected a PNG (from the extension), received an empty file'),
    ('a.tif', b'',
     'expected a TIFF (from the extension), received an empty file'),
    ('a.png', b'GIF89a' * 10, 'received a GIF'),
    ('a.png', b'PK\3\4' + bytes(60), 'received a ZIP archive'),
    ('a.tif', b'\x1f\x8b\x08' + bytes(60), 'received a gzip file'),
    ('a.jpg', b'\n<!DOCTYPE HTML><p>404', 'received a web page'),
    ('a.jpg', b'RIFF\x20\0\0\0WEBPVP8 ', 'received a WebP'),
    ('a.jpg', b'\0\0\0\x18ftypheic', 'received a HEIF'),
    ('a.tif', b'ZISRAWFILE' + bytes(60), 'received a CZI of Zeiss'),
    ('a.png', bytes(99), 'received a file of zero bytes'),
    ('a.png', image_bytes.png(_GRAY) + b'x\n',
     '2 bytes of other data after the end'),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG') + b'x',
     '1 bytes of other data after the end'),
    ('a.png',
     image_bytes.png(_GRAY, before_data=image_bytes.chunk(
         b'acTL', bytes(8))), 'received a PNG of several images'),
    ('a.png',
     image_bytes.png(
         _GRAY, before_data=image_bytes.chunk(b'eXIf', image_bytes.exif(6))),
     'a PNG rotated or mirrored (Exif orientation 6)'),
    ('a.jpg',
     image_bytes.save(_GRAY, 'JPEG', exif=b'Exif\0\0' + image_bytes.exif(3)),
     'a JPEG rotated or mirrored (Exif orientation 3)'),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG', xmp=image_bytes.xmp(8)),
     'a JPEG rotated or mirrored (XMP orientation 8)'),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG').replace(
        b'\xff\xda', b'\xff' * 100_000 + b'\xda'), 'at most 100,000 markers'),
    ('a.png', image_bytes.save(
        _GRAY, 'JPEG'), 'a PNG (from the extension), received a JPEG'),
    ('a.jpg', image_bytes.png(_GRAY),
     'a JPEG (from the extension), received a PN'),
    ('a.tif', image_bytes.png(_GRAY),
     'a TIFF (from the extension), received a PN'),
    ('a.gif', image_bytes.png(_GRAY),
     "extensions .png, .tif, .tiff, .jpg, .jpeg"),
    ('a.png', image_bytes.png(_GRAY)[:20], 'the header is incomplete'),
    ('a.png', image_bytes.png(_extra(2)), 'received 8-bit gray+alpha'),
    ('a.png', image_bytes.png(_extra(4)), 'received 8-bit RGBA'),
    ('a.png', image_bytes.png(_extra(4), True), 'received 8-bit RGBA'),
    ('a.png', image_bytes.png(_extra(3).astype(np.uint16)), '16-bit RGB'),
    ('a.png', image_bytes.save(_GRAY > 99, 'PNG'), 'received 1-bit gray'),
    ('a.png', image_bytes.png_header(9, 9, 4), 'received 4-bit gray'),
    ('a.jpg', image_bytes.jpeg_header(9, 9, colors=4), 'received a CMYK JPEG'),
    ('a.jpg', image_bytes.jpeg_header(9, 9, bits=12), '1 colors of 12 bits'),
    ('a.jpg', image_bytes.jpeg_header(9, 9,
                                      kind=3), 'the unsupported kind SOF3'),
    ('a.jpg', image_bytes.jpeg_header(0, 9), 'received 0 x 9'),
    ('a.jpg', b'\xff\xd8\xff\xe0\0\4ab\xff\xda\0\2', 'without a frame header'),
    ('a.jpg', b'\xff\xd8\xff\xe0\0\4ab', 'without a frame header'),
    ('a.jpg', b'\xff\xd8\xff\xe0', 'the header is incomplete'),
    ('a.tif', _pages(), 'received a TIFF of several images'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY, t262=0), 'received 8-bit gray with white as 0'),
    ('a.tif', image_bytes.gray_tiff(_DEEP,
                                    t262=0), '16-bit gray with white as 0'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t262=3), 'received 8-bit palette'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t262=5,
                                    t277=4), 'received 8-bit CMYK'),
    ('a.tif', image_bytes.gray_tiff(_GRAY,
                                    t277=2), 'received 8-bit gray with alpha'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t262=2,
                                    t277=4), 'received 8-bit RGB with alpha'),
    ('a.tif', image_bytes.gray_tiff(_DEEP, t262=2,
                                    t277=3), 'received 16-bit RGB'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t262=2, t277=3,
                                    t284=2), 'colors in separate planes'),
    ('a.tif', image_bytes.gray_tiff(_DEEP,
                                    t339=2), 'received signed 16-bit gray'),
    ('a.tif', image_bytes.gray_tiff(_GRAY.astype('f2'),
                                    t339=3), 'floating-point 16-bit'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY.astype('u4')), 'received 32-bit gray'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t258=1), 'received 1-bit gray'),
    ('a.tif', image_bytes.gray_tiff(_GRAY, t259=7), 'a TIFF of compression 7'),
    ('a.tif', image_bytes.gray_tiff(_GRAY,
                                    t266=2), 'a TIFF with reversed bits'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY, t274=3), 'rotated or mirrored (orientation 3)'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY, t257=22), '1 strips or tiles of 651 bytes in all'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY, t278=10), '1 strips or tiles of 651 bytes in all'),
    ('a.tif', image_bytes.gray_tiff(_GRAY,
                                    t279=0), '1 strips or tiles of 0 bytes'),
    ('a.tif', image_bytes.gray_tiff(_GRAY,
                                    t273=9999), 'truncated TIFF: expected'),
    ('a.tif', image_bytes.gray_tiff(
        _GRAY, t256=0), 'received 21 x 0 (height x width)'),
    ('a.tif', b'II-\0' + bytes(99), 'received another kind of file'),
    ('a.tif', b'II+\0' + bytes(99), 'the header is incomplete'),
    ('a.tif', b'II*\0' + bytes(2), 'the header is incomplete'),
    ('a.tif', b'II*\0\xff\xff\xff\xff', 'the header is incomplete'),
])
def test_other_kinds_are_refused_by_name(tmp_path, name, data, received):
  assert received in _refusal(data, name)
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(errors.DataError):
    decoding.check(str(path), 'red', 65535)


@pytest.mark.parametrize('exif', [
    image_bytes.exif(1),
    image_bytes.exif(0),
    image_bytes.exif(6)[:12],
    b'II*\0\xff\xff\xff\xff',
])
def test_upright_or_damaged_exif_is_ignored(exif):
  data = image_bytes.save(_GRAY, 'JPEG', exif=b'Exif\0\0' + exif)
  assert decoding.decode(data, 'a.jpg', 'red', 0).shape == _GRAY.shape


@pytest.mark.parametrize('ending', ['.tif', '.jpg'])
def test_a_file_far_larger_than_its_pixels_is_refused(tmp_path, ending):
  path = tmp_path / f'a_red{ending}'
  Image.fromarray(_GRAY).save(path)
  os.truncate(path, 2**26)  # sparse: takes no room
  with pytest.raises(errors.DataError, match='bytes for 21 x 31 pixels'):
    decoding.check(str(path), 'red', 0)


@pytest.mark.parametrize('num_bytes,message', [
    (2**26, 'bytes for 21 x 31 pixels'),
    (2**30, 'at most 1,073,741,824 bytes'),
])
def test_a_png_far_larger_than_its_pixels_is_refused(tmp_path, num_bytes,
                                                     message):
  path = tmp_path / 'a.png'
  data = image_bytes.png(_GRAY)
  with path.open('wb') as file:
    file.write(data)
    file.seek(num_bytes)
    file.write(data[-12:])  # sparse: takes no room
  with pytest.raises(errors.DataError, match=message):
    decoding.check(str(path), 'red', 0)


def test_content_far_larger_than_its_pixels_is_refused():
  data = image_bytes.png(_GRAY)
  data = data[:-12] + bytes(2**26) + data[-12:]
  with pytest.raises(errors.DataError, match='bytes for 21 x 31 pixels'):
    decoding.decode(data, 'a.png', 'red', 0)


@pytest.mark.parametrize('name,kind', [('a.png', 'PNG'), ('a.tif', 'TIFF')])
def test_palettes_are_refused_by_name(name, kind):
  file = io.BytesIO()
  Image.fromarray(_GRAY).convert('P').save(file, kind)
  assert '8-bit palette' in _refusal(file.getvalue(), name)


@pytest.mark.parametrize('name,data', [('a.png', image_bytes.png(_DEEP)),
                                       ('a.tif', image_bytes.gray_tiff(_DEEP))])
def test_16_bits_need_a_white_level(name, data):
  message = _refusal(data, name, white_level=0)
  assert 'received 16-bit; pass --white_level=N' in message


@pytest.mark.parametrize('dtype', ['f4', 'f8'])
def test_floats_need_an_intensity_rule(dtype):
  data = image_bytes.gray_tiff(_GRAY.astype(dtype), t339=3)
  message = _refusal(data, 'a.tif', white_level=0)
  bits = 8 * np.dtype(dtype).itemsize
  assert f'floating-point {bits}-bit; give an intensity rule' in message
  np.testing.assert_array_equal(decoding.decode(data, 'a.tif', 'red', 255),
                                _GRAY.astype('f4'))


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e39])
def test_pixels_that_are_not_finite_are_refused(value):
  pixels = _GRAY.astype('f8')
  pixels[3, 4] = value
  message = _refusal(image_bytes.gray_tiff(pixels, t339=3), 'a.tif')
  assert 'expected finite pixels' in message


_BOMBS = {
    'png':
        image_bytes.png_header(60000, 60000) + image_bytes.chunk(b'IDAT', b'') +
        image_bytes.chunk(b'IEND', b''),
    'deep.png':
        image_bytes.png_header(60000, 60000, 16) +
        image_bytes.chunk(b'IEND', b''),
    'tif':
        image_bytes.gray_tiff(_GRAY, t256=60000, t257=60000),
    'tile.tif':
        image_bytes.tiff(
            image_bytes.gray_tags(_GRAY, t322=60000, t323=60000, t324=0),
            [b'abc']),
    'deep_tile.tif':
        image_bytes.tiff(
            image_bytes.gray_tags(_GRAY.astype('f8'),
                                  t259=8,
                                  t339=3,
                                  t322=4096,
                                  t323=4096,
                                  t324=0), [b'abc']),
    'tags.tif':
        image_bytes.gray_tiff(_GRAY)[:-4].replace(
            b'\x11\x01\x04\0\1\0\0\0', b'\x11\x01\x04\0\xff\xff\xff\x3f') +
        bytes(4),
    'jpg':
        image_bytes.jpeg_header(60000, 60000),
    'color.jpg':
        image_bytes.jpeg_header(60000, 60000, colors=3),
}

_UNDER_A_LIMIT = '''
import pathlib, resource, sys
from hpa_records.runtime import errors
from tests.support import decoding
kib = int(open('/proc/self/statm').read().split()[0]) * 4
limit = (kib + 64 * 1024) * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
  bytearray(2**27)
  sys.exit('the limit does not bite')
except MemoryError:
  pass
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
  for read in (lambda: decoding.check(str(path), 'red', 9),
               lambda: decoding.decode(path.read_bytes(), path.name, 'red',
                                         9)):
    try:
      read()
    except errors.DataError as error:
      print(path.name, error)
'''


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='/proc')
def test_bombs_are_refused_before_memory_is_allocated(tmp_path):
  for name, data in _BOMBS.items():
    (tmp_path / f'a.{name}').write_bytes(data)
  done = subprocess.run([sys.executable, '-c', _UNDER_A_LIMIT,
                         str(tmp_path)],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert len(lines) == 2 * len(_BOMBS)
  assert sum('received 60,000 x 60,000' in line for line in lines) == 10
  assert all('damaged' not in line for line in lines)


@pytest.mark.parametrize('tile_px,fits', [(1024, True), (5696, False)])
def test_the_largest_image_may_be_in_usual_tiles(tmp_path, tile_px, fits):
  side = 5792  # 256 MiB; four tiles of 5,696 x 5,696 would be 990
  across = -(-side // tile_px)
  tags = image_bytes.gray_tags(np.empty((side, side), 'f8'),
                               t259=8,
                               t339=3,
                               t322=tile_px,
                               t323=tile_px,
                               t324=0)
  del tags[278]
  path = tmp_path / 'a.tif'
  path.write_bytes(image_bytes.tiff(tags, [b'abc'] * across**2))
  if fits:
    assert decoding.check(str(path), 'red', 9) == (side, side)
  else:
    with pytest.raises(errors.DataError, match='expected tiles about as large'):
      decoding.check(str(path), 'red', 9)


@pytest.mark.parametrize('height,fits', [(8192, True), (8193, False)])
def test_the_limit_of_pixels_is_8192_squared(tmp_path, height, fits):
  path = tmp_path / 'a.png'
  path.write_bytes(
      image_bytes.png_header(height, 8192) + image_bytes.chunk(b'IEND', b''))
  if fits:
    assert decoding.check(str(path), 'red', 0) == (8192, 8192)
  else:
    with pytest.raises(errors.DataError, match='1 to 67,108,864 pixels'):
      decoding.check(str(path), 'red', 0)
