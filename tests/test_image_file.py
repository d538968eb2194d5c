"""image_file and tint: every kind of file is read right or refused by name.

Each kind is a real file; pixels are compared with what was written, and where
the loss is the format's own with another decoder's.
"""

import io
import pathlib
import subprocess
import sys
import zlib

import hypothesis
from hypothesis import strategies
import numpy as np
from PIL import Image
import pytest

from hpa_records import image_file
from hpa_records import schema
from tests import fakes
from tests import image_bytes

_ROOT = pathlib.Path(__file__).parent.parent
_COLORS = {
    'red': (1, 0, 0),
    'green': (0, 1, 0),
    'blue': (0, 0, 1),
    'yellow': (1, 1, 0)
}
_GRAY = fakes.plane(3, 1, 31)[:21]
_DEEP = _GRAY.astype(np.uint16) * 257 + 13


def _saved(pixels, file_format, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, file_format, **options)
  return file.getvalue()


def _tint(plane, channel):
  return plane[..., None] * np.array(_COLORS[channel], plane.dtype)


def _tiles(pixels, side, compress=bytes):
  """Tags and tiles of [H, W], those at the edges filled up."""
  height, width = pixels.shape
  padded = np.pad(pixels, ((0, -height % side), (0, -width % side)))
  tiles = [
      compress(padded[y:y + side, x:x + side].tobytes())
      for y in range(0, height, side)
      for x in range(0, width, side)
  ]
  tags = image_bytes.gray_tags(pixels, t322=side, t323=side, t324=0)
  del tags[278]
  return tags, tiles


def _read(tmp_path, data, name, channel='red', white_level=65535):
  """The plane, after the check of the file has agreed with it."""
  path = tmp_path / name
  path.write_bytes(data)
  plane = image_file.decode(data, name, channel, white_level)
  assert image_file.check(str(path), channel, white_level) == plane.shape
  return plane


def _refusal(data, name, channel='red', white_level=65535):
  with pytest.raises(schema.DataError) as error:
    image_file.decode(data, name, channel, white_level)
  assert str(error.value).startswith('expected ')
  return str(error.value)


@pytest.mark.parametrize('name,data,pixels', [
    ('8.png', image_bytes.png(_GRAY), _GRAY),
    ('8.PNG', image_bytes.png(_GRAY), _GRAY),
    ('8i.png', image_bytes.png(_GRAY, interlaced=True), _GRAY),
    ('1i.png', image_bytes.png(_GRAY[:1, :1], interlaced=True), _GRAY[:1, :1]),
    ('16.png', image_bytes.png(_DEEP), _DEEP),
    ('16i.png', image_bytes.png(_DEEP, interlaced=True), _DEEP),
    ('rgb.png', image_bytes.png(_tint(_GRAY, 'red')), _GRAY),
    ('rgbi.png', image_bytes.png(_tint(_GRAY, 'red'), interlaced=True), _GRAY),
    ('key.png',
     image_bytes.png(_GRAY, before_data=image_bytes.chunk(b'tRNS',
                                                          b'\0\7')), _GRAY),
    ('8.tif', _saved(_GRAY, 'TIFF'), _GRAY),
    ('16.tiff', _saved(_DEEP, 'TIFF'), _DEEP),
    ('lzw.tif', _saved(_GRAY, 'TIFF', compression='tiff_lzw'), _GRAY),
    ('lzw16.tif', _saved(_DEEP, 'TIFF', compression='tiff_lzw'), _DEEP),
    ('zip.tif', _saved(_GRAY, 'TIFF', compression='tiff_adobe_deflate'), _GRAY),
    ('pack.tif', _saved(_DEEP, 'TIFF', compression='packbits'), _DEEP),
    ('rgb.tif', _saved(_tint(_GRAY, 'red'), 'TIFF',
                       compression='tiff_lzw'), _GRAY),
    ('tiles.tif', image_bytes.tiff(*_tiles(_GRAY, 16)), _GRAY),
    ('tiles16.tif', image_bytes.tiff(*_tiles(_DEEP, 16)), _DEEP),
    ('big.tif',
     image_bytes.tiff(image_bytes.gray_tags(_DEEP),
                      [_DEEP.astype('>u2').tobytes()], '>'), _DEEP),
    ('rows.tif',
     image_bytes.tiff(image_bytes.gray_tags(_GRAY, t278=1),
                      [row.tobytes() for row in _GRAY]), _GRAY),
])
def test_lossless_kinds_give_the_pixels_written(tmp_path, name, data, pixels):
  found = _read(tmp_path, data, name)
  assert found.dtype == pixels.dtype and found.dtype.isnative
  np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize('options', [{}, {
    'progressive': True
}, {
    'quality': 40
}])
def test_gray_jpeg_gives_pillows_pixels(tmp_path, options):
  data = _saved(_GRAY, 'JPEG', **options)
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.jpg'),
                                np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize('size_px', [2048, 3072])
@pytest.mark.parametrize('kind', ['raw', 'tiff_lzw', 'tiff_deflate', 'tiles'])
def test_full_size_tiffs(tmp_path, size_px, kind):
  pixels = fakes.plane(1, 2, size_px)
  if kind == 'tiles':
    tags, tiles = _tiles(pixels, 256, zlib.compress)
    data = image_bytes.tiff({**tags, 259: 8}, tiles)
  else:
    data = _saved(pixels, 'TIFF', compression=kind)
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.tif'), pixels)


def _extra(colors):
  return np.zeros((21, 31, colors), np.uint8)


def _pages():
  file = io.BytesIO()
  page = Image.fromarray(_GRAY)
  page.save(file, 'TIFF', save_all=True, append_images=[page])
  return file.getvalue()


def _gray_tiff(pixels=_GRAY, **changes):
  return image_bytes.tiff(image_bytes.gray_tags(pixels, **changes),
                          [pixels.tobytes()])


@pytest.mark.parametrize('name,data,received', [
    ('a.png', b'', 'expected a PNG as its name says, received an empty file'),
    ('a.tif', b'', 'expected a TIFF as its name says, received an empty file'),
    ('a.png', b'GIF89a' * 10, 'received another kind of file'),
    ('a.png', _saved(_GRAY, 'JPEG'), 'a PNG as its name says, received a JPEG'),
    ('a.jpg', image_bytes.png(_GRAY), 'a JPEG as its name says, received a PN'),
    ('a.tif', image_bytes.png(_GRAY), 'a TIFF as its name says, received a PN'),
    ('a.gif', image_bytes.png(_GRAY), "one of .png, .tif, .tiff, .jpg, .jpeg"),
    ('a.png', image_bytes.png(_GRAY)[:20], '20 bytes without the whole'),
    ('a.png', image_bytes.png(_extra(2)), 'received 8-bit gray+alpha'),
    ('a.png', image_bytes.png(_extra(4)), 'received 8-bit RGBA'),
    ('a.png', image_bytes.png(_extra(4), True), 'received 8-bit RGBA'),
    ('a.png', image_bytes.png(_extra(3).astype(np.uint16)), '16-bit RGB'),
    ('a.png', _saved(_GRAY > 99, 'PNG'), 'received 1-bit gray'),
    ('a.png', image_bytes.png_header(9, 9, 4), 'received 4-bit gray'),
    ('a.jpg', image_bytes.jpeg_header(9, 9, colors=4), 'received a CMYK JPEG'),
    ('a.jpg', image_bytes.jpeg_header(9, 9, bits=12), '1 colors of 12 bits'),
    ('a.jpg', image_bytes.jpeg_header(9, 9, kind=3), 'the rare kind SOF3'),
    ('a.jpg', image_bytes.jpeg_header(0, 9), 'received 0 x 9'),
    ('a.jpg', b'\xff\xd8\xff\xe0\0\4ab\xff\xda\0\2', 'without a frame header'),
    ('a.jpg', b'\xff\xd8\xff\xe0\0\4ab', 'without a frame header'),
    ('a.jpg', b'\xff\xd8\xff\xe0', 'without the whole of its header'),
    ('a.tif', _pages(), 'received a TIFF of several images'),
    ('a.tif', _gray_tiff(t262=0), 'received 8-bit gray with white as 0'),
    ('a.tif', _gray_tiff(_DEEP, t262=0), '16-bit gray with white as 0'),
    ('a.tif', _gray_tiff(t262=3), 'received 8-bit palette'),
    ('a.tif', _gray_tiff(t262=5, t277=4), 'received 8-bit CMYK'),
    ('a.tif', _gray_tiff(t277=2), 'received 8-bit gray with alpha'),
    ('a.tif', _gray_tiff(t262=2, t277=4), 'received 8-bit RGB with alpha'),
    ('a.tif', _gray_tiff(_DEEP, t262=2, t277=3), 'received 16-bit RGB'),
    ('a.tif', _gray_tiff(t262=2, t277=3, t284=2), 'colors in separate planes'),
    ('a.tif', _gray_tiff(_DEEP, t339=2), 'received signed 16-bit gray'),
    ('a.tif', _gray_tiff(_GRAY.astype('f4'), t339=3), 'floating-point 32-bit'),
    ('a.tif', _gray_tiff(_GRAY.astype('u4')), 'received 32-bit gray'),
    ('a.tif', _gray_tiff(t258=1), 'received 1-bit gray'),
    ('a.tif', _gray_tiff(t259=7), 'a TIFF of compression 7'),
    ('a.tif', _gray_tiff(t266=2), 'a TIFF with its bits in reverse'),
    ('a.tif', _gray_tiff(t274=3), 'turned or mirrored (orientation 3)'),
    ('a.tif', _gray_tiff(t257=22), 'received 1 parts of 651 bytes in all'),
    ('a.tif', _gray_tiff(t278=10), 'received 1 parts of 651 bytes in all'),
    ('a.tif', _gray_tiff(t279=0), 'received 1 parts of 0 bytes'),
    ('a.tif', _gray_tiff(t273=9999), 'received 774: the file was cut short'),
    ('a.tif', _gray_tiff(t256=0), 'received 21 x 0 (height x width)'),
    ('a.tif', b'II+\0' + bytes(99), 'received another kind of file'),
    ('a.tif', b'II*\0' + bytes(2), 'without the whole of its header'),
    ('a.tif', b'II*\0\xff\xff\xff\xff', 'without the whole of its header'),
])
def test_other_kinds_are_refused_by_name(tmp_path, name, data, received):
  assert received in _refusal(data, name)
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(schema.DataError, match='^expected '):
    image_file.check(str(path), 'red', 65535)


@pytest.mark.parametrize('name,kind', [('a.png', 'PNG'), ('a.tif', 'TIFF')])
def test_palettes_are_refused_by_name(name, kind):
  file = io.BytesIO()
  Image.fromarray(_GRAY).convert('P').save(file, kind)
  assert '8-bit palette' in _refusal(file.getvalue(), name)


@pytest.mark.parametrize('name,data', [('a.png', image_bytes.png(_DEEP)),
                                       ('a.tif', _gray_tiff(_DEEP))])
def test_16_bits_want_a_white_level(name, data):
  message = _refusal(data, name, white_level=0)
  assert 'received 16-bit; pass --white_level=N' in message


@pytest.mark.parametrize('name,data', [
    ('a.png', image_bytes.png(_GRAY)),
    ('a.png', image_bytes.png(_DEEP, interlaced=True)),
    ('a.tif', _saved(_GRAY, 'TIFF')),
    ('a.tif', _saved(_DEEP, 'TIFF', compression='tiff_lzw')),
    ('a.tif', _saved(_GRAY, 'TIFF', compression='tiff_adobe_deflate')),
    ('a.tif', image_bytes.tiff(*_tiles(_GRAY, 16))),
    ('a.jpg', _saved(_GRAY, 'JPEG')),
    ('a.jpg', _saved(_tint(_GRAY, 'red'), 'JPEG', progressive=True)),
])
def test_a_file_cut_anywhere_is_refused(name, data):
  for length in range(0, len(data), 7):
    _refusal(data[:length], name)
  _refusal(data[:-1], name)


@pytest.mark.parametrize('options', [{}, {'progressive': True}])
def test_a_jpeg_that_ends_early_but_properly_is_refused(options):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
  data = _saved(noise, 'JPEG', **options)
  message = _refusal(data[:len(data) // 2] + b'\xff\xd9', 'a.jpg')
  assert 'received a damaged one' in message


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_adobe_deflate'])
@pytest.mark.parametrize('pixels', [_GRAY, _DEEP])
def test_a_tiff_whose_strip_ends_early_is_refused(compression, pixels):
  data = bytearray(_saved(pixels, 'TIFF', compression=compression))
  with Image.open(io.BytesIO(data)) as image:
    start, length = image.tag_v2[273][-1], image.tag_v2[279][-1]
  data[start + length // 2:start + length] = bytes(length - length // 2)
  assert 'received a damaged one' in _refusal(bytes(data), 'a.tif')


@hypothesis.settings(deadline=None, max_examples=400)
@hypothesis.given(kind=strategies.sampled_from([
    ('a.png', image_bytes.png(_GRAY), _GRAY),
    ('a.png', image_bytes.png(_DEEP, interlaced=True), _DEEP),
    ('a.tif', _saved(_GRAY, 'TIFF', compression='tiff_lzw'), None),
    ('a.tif', image_bytes.tiff(*_tiles(_GRAY, 16)), None),
    ('a.jpg', _saved(_GRAY, 'JPEG'), None),
]),
                  place=strategies.floats(0, 1, exclude_max=True),
                  bit=strategies.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(kind, place, bit):
  name, data, pixels = kind
  changed = bytearray(data)
  changed[int(place * len(data))] ^= 1 << bit
  try:
    found = image_file.decode(bytes(changed), name, 'red', 65535)
  except schema.DataError as error:
    assert str(error).startswith('expected ')
    return
  # TIFF and JPEG have no checksum: what they give is whole, if not the same.
  assert found.ndim == 2 and found.size > 0
  if pixels is not None:
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize('channel', schema.CHANNELS)
@pytest.mark.parametrize('name,kind', [('a.png', 'PNG'), ('a.tif', 'TIFF')])
def test_lossless_tints_give_their_plane(channel, name, kind):
  data = _saved(_tint(_GRAY, channel), kind)
  np.testing.assert_array_equal(image_file.decode(data, name, channel, 0),
                                _GRAY)


def _real_planes(channel):
  """Three real planes of a channel, made-up ones where there are none."""
  folder = _ROOT.parent / 'shared' / 'hpa' / 'fields'
  paths = sorted(folder.glob(f'*_{channel}.png'))[::150]
  return [np.asarray(Image.open(path)) for path in paths
         ] or [fakes.plane(i, 0, 512) for i in range(3)]


@pytest.mark.parametrize('quality', [75, 85, 95])
@pytest.mark.parametrize('channel', schema.CHANNELS)
def test_tinted_jpegs_give_their_color_and_no_other(channel, quality):
  for plane in _real_planes(channel):
    data = _saved(_tint(plane, channel),
                  'JPEG',
                  quality=quality,
                  subsampling='4:2:0')
    red, green, blue = np.asarray(Image.open(io.BytesIO(data)),
                                  np.int64).transpose(2, 0, 1)
    want = {
        'red': red,
        'green': green,
        'blue': blue,
        'yellow': (red + green + 1) // 2
    }
    np.testing.assert_array_equal(image_file.decode(data, 'a.jpg', channel, 0),
                                  want[channel])
    for other in set(schema.CHANNELS) - {channel}:
      message = _refusal(data, 'a.jpg', other)
      assert f'expected gray or {other}-tinted pixels' in message


@pytest.mark.parametrize('channel', schema.CHANNELS)
def test_gray_as_three_equal_colors_is_gray(channel):
  for kind, name in (('JPEG', 'a.jpg'), ('PNG', 'a.png')):
    data = _saved(np.stack([_GRAY] * 3, axis=-1), kind)
    want = np.asarray(Image.open(io.BytesIO(data)))[..., 0]
    np.testing.assert_array_equal(image_file.decode(data, name, channel, 0),
                                  want)


@pytest.mark.parametrize('channel', schema.CHANNELS)
def test_a_picture_of_several_channels_is_refused(channel):
  merged = np.stack([fakes.plane(0, c, 64) for c in range(3)], axis=-1)
  assert 'received R, G, B of mean' in _refusal(_saved(merged, 'PNG'), 'a.png',
                                                channel)


_BOMBS = {
    'png':
        image_bytes.png_header(60000, 60000) + image_bytes.chunk(b'IDAT', b'') +
        image_bytes.chunk(b'IEND', b''),
    'deep.png':
        image_bytes.png_header(60000, 60000, 16) +
        image_bytes.chunk(b'IEND', b''),
    'tif':
        _gray_tiff(t256=60000, t257=60000),
    'tile.tif':
        image_bytes.tiff(
            image_bytes.gray_tags(_GRAY, t322=60000, t323=60000, t324=0),
            [b'abc']),
    'tags.tif':
        _gray_tiff()[:-4].replace(b'\x11\x01\x04\0\1\0\0\0',
                                  b'\x11\x01\x04\0\xff\xff\xff\x3f') + bytes(4),
    'jpg':
        image_bytes.jpeg_header(60000, 60000),
    'color.jpg':
        image_bytes.jpeg_header(60000, 60000, colors=3),
}

_UNDER_A_LIMIT = '''
import pathlib, resource, sys
from hpa_records import image_file, schema
kib = int(open('/proc/self/statm').read().split()[0]) * 4
limit = (kib + 64 * 1024) * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
  bytearray(2**27)
  sys.exit('the limit does not bite')
except MemoryError:
  pass
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
  for read in (lambda: image_file.check(str(path), 'red', 9),
               lambda: image_file.decode(path.read_bytes(), path.name, 'red',
                                         9)):
    try:
      read()
    except schema.DataError as error:
      print(path.name, error)
'''


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='/proc')
def test_bombs_are_refused_before_memory_is_taken(tmp_path):
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


@pytest.mark.parametrize('height,fits', [(8192, True), (8193, False)])
def test_the_limit_of_pixels_is_8192_squared(tmp_path, height, fits):
  path = tmp_path / 'a.png'
  path.write_bytes(
      image_bytes.png_header(height, 8192) + image_bytes.chunk(b'IEND', b''))
  if fits:
    assert image_file.check(str(path), 'red', 0) == (8192, 8192)
  else:
    with pytest.raises(schema.DataError, match='1 to 67,108,864 pixels'):
      image_file.check(str(path), 'red', 0)
