"""decode: supported files are decoded exactly, damaged ones refused.

Pixels are compared with those written; those of a lossy format with another
decoder's.
"""

import errno
import io
import resource
import zlib

import hypothesis
from hypothesis import strategies
import numpy as np
from PIL import Image
import pytest

from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_GRAY = fakes.plane(3, 1, 31)[:21]
_DEEP = _GRAY.astype(np.uint16) * 257 + 13


def _read(tmp_path, data, name, channel='red', white_level=65535):
  """Returns the plane, after comparing its shape with check."""
  path = tmp_path / name
  path.write_bytes(data)
  plane = decoding.decode(data, name, channel, white_level)
  assert decoding.check(str(path), channel, white_level) == plane.shape
  return plane


def _refusal(data, name, channel='red', white_level=65535):
  with pytest.raises(errors.DataError) as error:
    decoding.decode(data, name, channel, white_level)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('name,data,pixels', [
    ('8.png', image_bytes.png(_GRAY), _GRAY),
    ('8.PNG', image_bytes.png(_GRAY), _GRAY),
    ('8i.png', image_bytes.png(_GRAY, interlaced=True), _GRAY),
    ('1i.png', image_bytes.png(_GRAY[:1, :1], interlaced=True), _GRAY[:1, :1]),
    ('16.png', image_bytes.png(_DEEP), _DEEP),
    ('16i.png', image_bytes.png(_DEEP, interlaced=True), _DEEP),
    ('rgb.png', image_bytes.png(image_bytes.tint(_GRAY, 'red')), _GRAY),
    ('rgbi.png', image_bytes.png(image_bytes.tint(_GRAY, 'red'),
                                 interlaced=True), _GRAY),
    ('key.png',
     image_bytes.png(_GRAY, before_data=image_bytes.chunk(b'tRNS',
                                                          b'\0\7')), _GRAY),
    ('8.tif', image_bytes.save(_GRAY, 'TIFF'), _GRAY),
    ('16.tiff', image_bytes.save(_DEEP, 'TIFF'), _DEEP),
    ('lzw.tif', image_bytes.save(_GRAY, 'TIFF', compression='tiff_lzw'), _GRAY),
    ('lzw16.tif', image_bytes.save(_DEEP, 'TIFF',
                                   compression='tiff_lzw'), _DEEP),
    ('zip.tif', image_bytes.save(
        _GRAY, 'TIFF', compression='tiff_adobe_deflate'), _GRAY),
    ('pack.tif', image_bytes.save(_DEEP, 'TIFF',
                                  compression='packbits'), _DEEP),
    ('rgb.tif',
     image_bytes.save(image_bytes.tint(_GRAY, 'red'),
                      'TIFF',
                      compression='tiff_lzw'), _GRAY),
    ('tiles.tif', image_bytes.tiff(*image_bytes.tile(_GRAY, 16)), _GRAY),
    ('tiles16.tif', image_bytes.tiff(*image_bytes.tile(_DEEP, 16)), _DEEP),
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
  data = image_bytes.save(_GRAY, 'JPEG', **options)
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.jpg'),
                                np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize('size_px', [2048, 3072])
@pytest.mark.parametrize('kind', ['raw', 'tiff_lzw', 'tiff_deflate', 'tiles'])
def test_full_size_tiffs(tmp_path, size_px, kind):
  pixels = fakes.plane(1, 2, size_px)
  if kind == 'tiles':
    tags, tiles = image_bytes.tile(pixels, 256, zlib.compress)
    data = image_bytes.tiff({**tags, 259: 8}, tiles)
  else:
    data = image_bytes.save(pixels, 'TIFF', compression=kind)
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.tif'), pixels)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('data', [
    image_bytes.save(_DEEP, 'TIFF', compression='tiff_adobe_deflate'),
    image_bytes.tiff(*image_bytes.tile(_DEEP, 16))
])
def test_pillows_limit_of_pixels_does_not_count_bytes(monkeypatch, data):
  for limit in (_DEEP.size // 4, _DEEP.size):  # refuses, warns
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
    found = decoding.decode(data, 'a.tif', 'red', 65535)
    np.testing.assert_array_equal(found, _DEEP)
    assert Image.MAX_IMAGE_PIXELS == limit


@pytest.mark.soak
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('size_px,kind,predictor', [(8192, 'u2', 2),
                                                    (8192, 'f4', 3),
                                                    (5632, 'f8', 1)])
def test_the_largest_tiffs_in_one_strip(tmp_path, size_px, kind, predictor):
  pixels = np.zeros((size_px, size_px), kind)
  tags = image_bytes.gray_tags(pixels,
                               t259=8,
                               t317=predictor,
                               t339=1 if kind == 'u2' else 3)
  data = image_bytes.tiff(tags, [zlib.compress(pixels, 1)])
  assert not _read(tmp_path, data, 'a.tif').any()


@pytest.mark.parametrize('name,data', [
    ('a.png', image_bytes.png(_GRAY)),
    ('a.png', image_bytes.png(_DEEP, interlaced=True)),
    ('a.tif', image_bytes.save(_GRAY, 'TIFF')),
    ('a.tif', image_bytes.save(_DEEP, 'TIFF', compression='tiff_lzw')),
    ('a.tif', image_bytes.save(_GRAY, 'TIFF',
                               compression='tiff_adobe_deflate')),
    ('a.tif', image_bytes.tiff(*image_bytes.tile(_GRAY, 16))),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG')),
    ('a.jpg',
     image_bytes.save(image_bytes.tint(_GRAY, 'red'), 'JPEG',
                      progressive=True)),
])
def test_a_truncated_file_is_refused(name, data):
  for length in range(0, len(data), 7):
    _refusal(data[:length], name)
  _refusal(data[:-1], name)


@pytest.mark.parametrize('options', [{}, {'progressive': True}])
def test_a_jpeg_with_missing_rows_is_refused(options):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
  data = image_bytes.save(noise, 'JPEG', **options)
  message = _refusal(data[:len(data) // 2] + b'\xff\xd9', 'a.jpg')
  assert 'damaged ' in message


@pytest.mark.parametrize('name,data', [
    ('a.png', image_bytes.png(_GRAY)),
    ('rgb.png', image_bytes.png(image_bytes.tint(_GRAY, 'red'))),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG')),
])
def test_two_pictures_in_one_file_are_refused(name, data):
  assert f'{len(data)} bytes of other data after the end' in _refusal(
      data + data, name)


def test_a_preview_before_the_pixels_may_end(tmp_path):
  preview = image_bytes.save(_GRAY[:4, :4], 'JPEG')
  data = image_bytes.save(_GRAY, 'JPEG', exif=b'Exif\0\0' + preview)
  assert preview in data
  _read(tmp_path, data, 'a.jpg')


def test_a_jpeg_with_too_many_scans_is_not_decoded():
  data = image_bytes.save(_GRAY, 'JPEG', progressive=True)
  scan = data[data.rindex(b'\xff\xda'):-2]
  message = _refusal(data[:-2] + 1000 * scan + data[-2:], 'a.jpg')
  assert 'scans)' in message and 'damaged' in message


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_adobe_deflate'])
@pytest.mark.parametrize('pixels', [_GRAY, _DEEP])
def test_a_tiff_whose_strip_ends_early_is_refused(compression, pixels, capfd):
  data = bytearray(image_bytes.save(pixels, 'TIFF', compression=compression))
  with Image.open(io.BytesIO(data)) as image:
    start, length = image.tag_v2[273][-1], image.tag_v2[279][-1]
  data[start + length // 2:start + length] = bytes(length - length // 2)
  assert 'damaged TIFF (' in _refusal(bytes(data), 'a.tif')
  assert not capfd.readouterr().err  # libtiff's own line


@pytest.mark.parametrize('place', [33, -12])
@pytest.mark.parametrize('kind', range(5))
def test_a_png_with_an_orientation_anywhere_is_refused(kind, place):
  data = image_bytes.png(_GRAY)
  turned, upright = (data[:place] + [
      *image_bytes.orientation_texts(each),
      image_bytes.chunk(b'eXIf', image_bytes.exif(each))
  ][kind] + data[place:] for each in (6, 1))
  told_by = 'XMP' if b'adobe' in turned else 'Exif'
  assert f'({told_by} orientation 6)' in _refusal(turned, 'a.png')
  with Image.open(io.BytesIO(turned)) as image:
    image.load()
    # Pillow's view of the file that was made; it does not know APP1.
    assert image.getexif().get(274) == (None if b'APP1' in turned else 6)
  np.testing.assert_array_equal(decoding.decode(upright, 'a.png', 'red', 0),
                                _GRAY)


def test_the_first_text_of_a_name_is_the_one_that_counts():
  # A PNG has one of each; a hundred would be unpacked for seconds.
  texts = [image_bytes.orientation_texts(each)[-1] for each in (1, 6)]
  data = image_bytes.png(_GRAY, before_data=b''.join(texts))
  assert (decoding.decode(data, 'a.png', 'red', 0) == _GRAY).all()


@pytest.mark.parametrize('text', [
    b'Raw profile type exif\0\0' + b'no zlib',
    b'Raw profile type exif\0\0' + zlib.compress(b'\nexif\n 9\nzz'),
    b'Raw profile type exif\0\0' + zlib.compress(bytes(10**8)),
    b'Author\0\0' + zlib.compress(image_bytes.xmp(6)),
])
def test_other_text_in_a_png_is_ignored(text):
  data = image_bytes.png(_GRAY, before_data=image_bytes.chunk(b'zTXt', text))
  np.testing.assert_array_equal(decoding.decode(data, 'a.png', 'red', 0), _GRAY)


def test_tiles_far_larger_than_their_image_are_refused():
  tags, tiles = image_bytes.tile(_GRAY, 16)
  tags.update({322: 2**20, 323: 64})
  message = _refusal(image_bytes.tiff(tags, tiles), 'a.tif')
  assert 'expected tiles about as large' in message


def test_a_limit_of_the_process_is_no_damage_of_the_file():
  data = image_bytes.save(_GRAY, 'TIFF', compression='tiff_lzw')
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
  try:
    with pytest.raises(OSError) as error:
      decoding.decode(data, 'a.tif', 'red', 0)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
  assert error.value.errno == errno.EMFILE
  np.testing.assert_array_equal(decoding.decode(data, 'a.tif', 'red', 0), _GRAY)


@hypothesis.settings(deadline=None, max_examples=400)
@hypothesis.given(kind=strategies.sampled_from([
    ('a.png', image_bytes.png(_GRAY), _GRAY),
    ('a.png', image_bytes.png(_DEEP, interlaced=True), _DEEP),
    ('a.tif', image_bytes.save(_GRAY, 'TIFF', compression='tiff_lzw'), None),
    ('a.tif', image_bytes.tiff(*image_bytes.tile(_GRAY, 16)), None),
    ('a.jpg', image_bytes.save(_GRAY, 'JPEG'), None),
]),
                  place=strategies.floats(0, 1, exclude_max=True),
                  bit=strategies.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(kind, place, bit):
  name, data, pixels = kind
  changed = bytearray(data)
  changed[int(place * len(data))] ^= 1 << bit
  try:
    found = decoding.decode(bytes(changed), name, 'red', 65535)
  except errors.DataError as error:
    assert '\n' not in str(error)
    return
  # TIFF and JPEG have no checksum: what they give is whole, if not the same.
  assert found.ndim == 2 and found.size > 0
  if pixels is not None:
    np.testing.assert_array_equal(found, pixels)


_SEEDS = {
    'png': (image_bytes.png(_GRAY), image_bytes.png(_DEEP, interlaced=True),
            image_bytes.png(image_bytes.tint(_GRAY, 'red'))),
    'tif': (image_bytes.save(_DEEP, 'TIFF', compression='tiff_lzw'),
            image_bytes.save(_GRAY, 'TIFF', compression='packbits'),
            image_bytes.save(_GRAY, 'TIFF', big_tiff=True),
            image_bytes.tiff(*image_bytes.tile(_GRAY, 16))),
    'jpg': (image_bytes.save(_GRAY, 'JPEG'),
            image_bytes.save(image_bytes.tint(_GRAY, 'red'),
                             'JPEG',
                             progressive=True,
                             exif=b'Exif\0\0' + image_bytes.exif(1))),
}


def _mutate(data, rng):
  """Returns data with a few bytes of its head or tail set, left out or twice.
  """
  for _ in range(rng.integers(1, 5)):
    at = int(rng.integers(len(data)))
    if rng.random() < 0.5:  # where headers and directories are
      at = int(rng.integers(min(len(data), 64)))
      at = at if rng.random() < 0.5 else len(data) - 1 - at
    stop = at + int(rng.integers(1, 5))
    new = (b'\xff' * 4, bytes(4), rng.bytes(stop - at), b'',
           2 * data[at:stop])[rng.integers(5)]
    data = data[:at] + new + data[stop:]
  return data


@pytest.mark.parametrize('ending', sorted(_SEEDS))
def test_mutated_files_are_refused_or_read_as_they_were_checked(
    tmp_path, ending):
  rng, path = np.random.default_rng(0), tmp_path / f'a.{ending}'
  for i in range(200):
    data = _mutate(_SEEDS[ending][i % len(_SEEDS[ending])], rng)
    path.write_bytes(data)
    try:
      size = decoding.check(str(path), 'red', 65535)
    except errors.DataError as error:
      assert _refusal(data, path.name) == str(error)
      continue
    try:
      assert decoding.decode(data, path.name, 'red', 65535).shape == size
    except errors.DataError as error:
      assert '\n' not in str(error)
