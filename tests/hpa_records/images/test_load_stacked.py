"""load: files with all channels in them, compared with tifffile."""

import gzip
import io
import itertools
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile

from hpa_records.images import decode
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import load
from hpa_records.images import stack
from hpa_records.runtime import errors
from tests.support import image_bytes

_RNG = np.random.default_rng(0)


def _pixels(shape, dtype):
  if np.dtype(dtype).kind == 'f':
    return _RNG.normal(100, 50, shape).astype(dtype)
  return _RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _how(num_channels, kind, size_px=16, **settings):
  names = tuple(f'c{i}' for i in range(num_channels))
  chosen = stack.Stack(kind, **settings)
  stack.check(chosen, num_channels)
  return how_lib.How(size_px,
                     names, ('#ffffff',) * num_channels,
                     intensity=intensity.Rule('percentiles'),
                     stack=chosen)


def _tiff(pixels, **options):
  file = io.BytesIO()
  tifffile.imwrite(file, pixels, **options)
  return file.getvalue()


def _planes(data, name, how):
  """Returns [C, H, W]."""
  return np.stack(list(decode.decode_stack(data, name, how)))


def _read(tmp_path, data, how, name='a.tif'):
  """Returns the planes [C, H, W], after comparing their kind with measure."""
  path = tmp_path / name
  path.write_bytes(data)
  planes = _planes(data, name, how)
  found = decode.measure(str(path), how)
  assert (found.height, found.width) == planes.shape[1:]
  assert found.num_bytes == len(data)
  assert found.depth.replace('64', '32') == planes.dtype
  return planes


_DTYPES = ['u1', 'u2', 'f4', 'f8']


@pytest.mark.parametrize('dtype', _DTYPES)
@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize(
    'options',
    [{
        'compression': compression,
        'predictor': predictor,
        'tile': tile
    }
     for compression, predictor, tile in itertools.product((
         None, 'lzw', 'zlib', 'zstd', 'packbits'), (False, True), (None,
                                                                   (16, 32)))
     if not predictor or compression not in (None, 'packbits')])
@pytest.mark.parametrize('planar', ['contig', 'separate'])
def test_samples_of_all_kinds(tmp_path, dtype, order, options, planar):
  pixels = _pixels((21, 37, 3), dtype)
  stored = np.moveaxis(pixels, -1, 0) if planar == 'separate' else pixels
  data = _tiff(stored,
               byteorder=order,
               photometric='rgb',
               planarconfig=planar,
               rowsperstrip=None if options['tile'] else 5,
               **options)
  found = _read(tmp_path, data, _how(3, 'planes'))
  np.testing.assert_array_equal(found,
                                np.moveaxis(pixels, -1, 0).astype(found.dtype))


@pytest.mark.parametrize('dtype', _DTYPES)
@pytest.mark.parametrize('compression', [None, 'lzw', 'zlib'])
@pytest.mark.parametrize('options', [{}, {
    'bigtiff': True
}, {
    'ome': True,
    'metadata': {
        'axes': 'CYX'
    }
}, {
    'contiguous': True
}])
def test_pages_of_all_kinds(tmp_path, dtype, compression, options):
  pixels = _pixels((5, 21, 37), dtype)
  data = _tiff(pixels,
               photometric='minisblack',
               compression=compression,
               **options)
  found = _read(tmp_path, data, _how(5, 'pages'))
  np.testing.assert_array_equal(found, pixels.astype(found.dtype))
  some = _read(tmp_path, data, _how(2, 'pages', planes=(3, 0)))
  np.testing.assert_array_equal(some, found[[3, 0]])


@pytest.mark.parametrize('names,planes,message', [
    (['c0', 'C1', 'c2'], (), ''),
    (['c1', 'c0', 'c2'], (1, 0, 2), ''),
    (['DAPI', 'c0', 'c1'], (), ''),
    (['c0', 'c0', 'c1'], (), ''),
    (['c1', 'c0', 'c2'], (), "'c0' in plane 0, but the OME-XML .* in plane 1"),
    (['c0', 'c1', 'c2'], (0, 2, 1), "'c1' in plane 2, .* in plane 1"),
])
def test_channels_that_the_file_itself_names_otherwise_are_refused(
    tmp_path, names, planes, message):
  pixels = _pixels((3, 21, 37), 'u1')
  data = _tiff(pixels,
               photometric='minisblack',
               ome=True,
               metadata={
                   'axes': 'CYX',
                   'Channel': {
                       'Name': names
                   }
               })
  how = _how(3, 'pages', planes=planes)
  if message:
    with pytest.raises(errors.DataError, match=message):
      _read(tmp_path, data, how)
  else:
    np.testing.assert_array_equal(_read(tmp_path, data, how),
                                  pixels[list(planes) or [0, 1, 2]])


@pytest.mark.parametrize('num_samples', [2, 4, 5, 16])
@pytest.mark.parametrize('planar', ['contig', 'separate'])
def test_any_number_of_samples(tmp_path, num_samples, planar):
  pixels = _pixels((num_samples, 21, 37), 'u2')
  data = _tiff(pixels if planar == 'separate' else np.moveaxis(pixels, 0, -1),
               photometric='minisblack',
               planarconfig=planar)
  np.testing.assert_array_equal(
      _read(tmp_path, data, _how(num_samples, 'planes')), pixels)


@pytest.mark.parametrize('planar', [1, 2])
def test_tiles_of_many_samples_far_larger_than_their_image_are_refused(planar):
  samples, side = 15, 1024  # 2**20 pixels, 2**23 bytes a sample
  pixels = np.zeros((side, side, 1 if planar == 2 else samples), 'f8')
  tags = {
      256: 1,
      257: 1,
      258: [64] * samples,
      259: 8,
      262: 1,
      277: samples,
      284: planar,
      322: side,
      323: side,
      324: 0,
      339: [3] * samples
  }
  data = image_bytes.tiff(tags, [zlib.compress(pixels)] *
                          (samples if planar == 2 else 1))
  tracemalloc.start()
  try:
    with pytest.raises(errors.DataError, match='1 of 1,024 x 1,024 of 120 byt'):
      _planes(data, 'a.tif', _how(samples, 'planes'))
    assert tracemalloc.get_traced_memory()[1] < 2**24
  finally:
    tracemalloc.stop()


def test_tiles_of_many_samples_may_be_larger_than_their_image(tmp_path):
  pixels = _pixels((16, 5, 7), 'f4')
  data = _tiff(pixels,
               photometric='minisblack',
               planarconfig='separate',
               tile=(512, 512),
               compression='zlib')
  np.testing.assert_array_equal(_read(tmp_path, data, _how(16, 'planes')),
                                pixels)


@pytest.mark.parametrize('dtype', ['u1', 'u2'])
@pytest.mark.parametrize('colors', [3, 4])
def test_colors_of_a_png(tmp_path, colors, dtype):
  pixels = _pixels((21, 37, colors), dtype)
  for interlaced in (False, True):
    data = image_bytes.png(pixels, interlaced)
    found = _read(tmp_path, data, _how(colors, 'planes'), 'a.png')
    np.testing.assert_array_equal(found, np.moveaxis(pixels, -1, 0))
  found = _read(tmp_path, data, _how(2, 'planes', planes=(2, 0)), 'a.png')
  np.testing.assert_array_equal(found, np.moveaxis(pixels, -1, 0)[[2, 0]])


@pytest.mark.parametrize('project', stack.PROJECTIONS)
@pytest.mark.parametrize('options,axes', [
    ({
        'imagej': True,
        'metadata': {
            'axes': 'ZCYX'
        }
    }, ''),
    ({
        'ome': True,
        'metadata': {
            'axes': 'ZCYX'
        }
    }, ''),
    ({
        'metadata': {
            'axes': 'ZCYX'
        }
    }, ''),
    ({
        'metadata': {
            'axes': 'ZCYX'
        },
        'contiguous': True
    }, ''),
    ({
        'metadata': None
    }, 'ZC'),
    ({
        'metadata': None
    }, 'Z4C2'),
])
def test_focal_planes(tmp_path, options, axes, project):
  pixels = _pixels((4, 2, 21, 37), 'u2')
  data = _tiff(pixels, photometric='minisblack', **options)
  found = _read(tmp_path, data, _how(2, 'pages', project=project, axes=axes))
  want = pixels.max(axis=0) if project == 'max' else pixels[2]
  np.testing.assert_array_equal(found, want)
  if options.get('metadata'):
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), pixels)


@pytest.mark.parametrize('text', [
    'ImageJ=1.54f\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n',
    '{"shape": [3, 2, 21, 37], "axes": "ZCYX", "truncated": true}',
])
@pytest.mark.parametrize('dtype', ['u1', '>u2', '<f4'])
def test_planes_that_follow_one_directory(tmp_path, text, dtype):
  pixels = _pixels((6, 21, 37), dtype[-2:]).astype(dtype)
  tags = image_bytes.gray_tags(pixels[0], t339=3 if 'f' in dtype else 1)
  tags[279] = pixels[0].nbytes
  data = image_bytes.tiff(tags, [pixels.tobytes()],
                          '>' if '>' in dtype else '<',
                          extra=[(270, 2, len(text) + 1, text.encode() + b'\0')
                                ])
  found = _read(tmp_path, data, _how(2, 'pages', project='max'))
  want = pixels.reshape(3, 2, 21, 37).max(axis=0)
  np.testing.assert_array_equal(found, want.astype(found.dtype))
  more = data.replace(b'images=6', b'images=9').replace(b'channels=2',
                                                        b'channels=3').replace(
                                                            b'[3, 2', b'[3, 3')
  with pytest.raises(errors.DataError, match='truncated TIFF'):
    _planes(more, 'a.tif', _how(3, 'pages', project='max'))


def test_16_bit_rgb_of_imagej_is_one_image(tmp_path):
  pixels = _pixels((21, 37, 3), 'u2')
  text = b'ImageJ=1.54f\nimages=3\nchannels=3\n\0'
  data = _tiff(pixels,
               photometric='rgb',
               metadata=None,
               description=text.decode('ascii').rstrip('\0'))
  np.testing.assert_array_equal(_read(tmp_path, data, _how(3, 'planes')),
                                np.moveaxis(pixels, -1, 0))


def test_a_pyramid_below_a_page_is_ignored(tmp_path):
  pixels, file = _pixels((2, 32, 32), 'u2'), io.BytesIO()
  with tifffile.TiffWriter(file, ome=True) as writer:
    writer.write(pixels,
                 photometric='minisblack',
                 subifds=1,
                 metadata={'axes': 'CYX'})
    writer.write(pixels[:, ::2, ::2], photometric='minisblack', subfiletype=1)
  np.testing.assert_array_equal(
      _read(tmp_path, file.getvalue(), _how(2, 'pages')), pixels)


def test_a_compressed_file(tmp_path):
  pixels = _pixels((3, 21, 37), 'u2')
  data = gzip.compress(_tiff(pixels, photometric='minisblack'))
  for name in ('a.tif.gz', 'a.TIFF.GZ'):
    found = _read(tmp_path, data, _how(3, 'pages'), name)
    np.testing.assert_array_equal(found, pixels)
  with pytest.raises(errors.DataError, match='gzip file .*, received another'):
    _planes(gzip.decompress(data), 'a.tif.gz', _how(3, 'pages'))


def _pages(*pages):
  file = io.BytesIO()
  with tifffile.TiffWriter(file) as writer:
    for page in pages:
      writer.write(page, photometric='minisblack', metadata=None)
  return file.getvalue()


@pytest.mark.parametrize('data,received', [
    (image_bytes.gray_tiff(_pixels((9, 9), 'u1'), t32997=3), '3 layers'),
    (image_bytes.gray_tiff_and(_pixels(
        (9, 9), 'u1'), (33629, 5, 3, bytes(24))), 'MetaMorph stack of 3'),
    (_pages(*_pixels((2, 9, 9), 'u1')), 'expected 3 planes.* received 2'),
    (_pages(*_pixels((4, 9, 9), 'u1')), 'received 4; give the plane of each'),
    (_pages(*_pixels((2, 9, 9), 'u1'), _pixels(
        (9, 8), 'u1')), r'different images: .* 3'),
    (_pages(*_pixels((2, 9, 9), 'u1'), _pixels(
        (9, 9), 'u2')), r'different images: .* 3'),
    (_pages(*_pixels((2, 9, 9), 'u1'), _pixels(
        (9, 9), 'i2')), 'signed 16-bit gray'),
    (_tiff(_pixels(
        (9, 9, 3), 'u1'), photometric='rgb'), 'gray pages, received 8-bit RGB'),
    (_tiff(_pixels((3, 9, 9, 3), 'u1'),
           photometric='rgb'), 'gray pages, received 8-bit RGB'),
    (_pages(*_pixels((4097, 1, 1), 'u1')), 'at most 4,096 images'),
])
def test_other_stacks_are_refused(data, received):
  with pytest.raises(errors.DataError, match=received) as error:
    _planes(data, 'a.tif', _how(3, 'pages'))
  assert '\n' not in str(error.value)


def test_a_circle_of_directories_is_refused():
  data = bytearray(image_bytes.gray_tiff(_pixels((9, 9), 'u1')))
  data[-4:] = data[4:8]
  with pytest.raises(errors.DataError, match='at most 4,096 images'):
    _planes(bytes(data), 'a.tif', _how(3, 'pages'))


def test_pages_that_share_their_strips_are_refused():
  # A hundred directories of 114 bytes, each of the same 9,801 pixels.
  data = bytearray(image_bytes.gray_tiff(_pixels((99, 99), 'u1')))
  directory = data[-4 - 12 * 9 - 2:-4]
  for _ in range(99):
    data[-4:] = len(data).to_bytes(4, 'little')
    data += directory + bytes(4)
  with pytest.raises(errors.DataError,
                     match='truncated TIFF: expected 980,100'):
    _planes(bytes(data), 'a.tif', _how(100, 'pages'))


def test_load_gives_the_channels_in_order(tmp_path):
  pixels = _pixels((5, 16, 16), 'u1')
  path = tmp_path / 'a.tif'
  path.write_bytes(_tiff(pixels, photometric='minisblack'))
  how = _how(5, 'pages')
  whole = how_lib.How(16,
                      how.channels,
                      how.colors,
                      intensity=intensity.Rule('full_scale'),
                      stack=how.stack)
  np.testing.assert_array_equal(load.load([str(path)], whole),
                                np.moveaxis(pixels, 0, -1))
  path.write_bytes(_tiff(pixels[:4], photometric='minisblack'))
  with pytest.raises(errors.DataError) as error:
    load.load([str(path)], whole)
  assert error.value.args == (
      'expected 5 planes, one for each channel, received 4', str(path))
  with pytest.raises(errors.UnreadError):
    load.load([f'{tmp_path}/none.tif'], whole)
