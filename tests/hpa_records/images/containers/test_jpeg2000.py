"""jpeg2000: gray files are read, others refused before they are decoded."""

import io
import struct

import numpy as np
from PIL import Image
import pytest

from hpa_records.images.containers import jpeg2000
from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_GRAY = fakes.plane(3, 1, 64)[:43]
_DEEP = _GRAY.astype(np.uint16) * 257 + 13
_RAW = image_bytes.save(_GRAY, 'JPEG2000', no_jp2=True)
_JP2 = image_bytes.save(_GRAY, 'JPEG2000')


def _read(tmp_path, data, name):
  """Returns the plane, after comparing its shape with check."""
  path = tmp_path / name
  path.write_bytes(data)
  plane = decoding.decode(data, name, 'red', 65535)
  assert decoding.check(str(path), 'red', 65535) == plane.shape
  return plane


def _refusal(data, name='a.j2k'):
  with pytest.raises(errors.DataError) as error:
    decoding.decode(data, name, 'red', 65535)
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('pixels', [_GRAY, _DEEP])
@pytest.mark.parametrize('options', [{}, {
    'no_jp2': True
}, {
    'quality_layers': [20, 10, 1]
}, {
    'precinct_size': (32, 32),
    'codeblock_size': (16, 16)
}])
def test_lossless_files_give_the_pixels_written(tmp_path, pixels, options):
  data = image_bytes.save(pixels, 'JPEG2000', **options)
  found = _read(tmp_path, data, 'a.j2k' if 'no_jp2' in options else 'a.JP2')
  assert found.dtype == pixels.dtype
  np.testing.assert_array_equal(found, pixels)


def test_tiles_give_the_pixels_written(tmp_path):
  data = image_bytes.save(_GRAY, 'JPEG2000', tile_size=(32, 16))
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.jp2'), _GRAY)


def test_lossy_files_give_pillows_pixels(tmp_path):
  data = image_bytes.save(_GRAY,
                          'JPEG2000',
                          irreversible=True,
                          quality_mode='rates',
                          quality_layers=[4])
  np.testing.assert_array_equal(_read(tmp_path, data, 'a.jp2'),
                                np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize('name,data', [('a.j2k', _RAW), ('a.jp2', _JP2)])
def test_a_truncated_file_is_refused(name, data, capfd):
  for length in range(0, len(data), 11):
    _refusal(data[:length], name)
    _refusal(data[:length] + b'\xff\xd9', name)
  assert not capfd.readouterr().err


@pytest.mark.parametrize('count', [0, 2])
def test_a_file_without_some_tiles_is_refused(count):
  # The first two of four tiles; OpenJPEG leaves the others black.
  data = image_bytes.save(_GRAY, 'JPEG2000', no_jp2=True, tile_size=(32, 32))
  parts = [i for i in range(len(data)) if data[i:i + 4] == b'\xff\x90\0\x0a']
  assert len(parts) == 4
  kept = data[:parts[count]] + data[parts[3]:]
  assert 'expected 4 tiles' in _refusal(kept)
  more = bytearray(data)
  more[parts[count] + 11] = 2  # of which there is one
  assert 'expected 4 tiles' in _refusal(bytes(more))


def _change(offset, layout, *values):
  """Returns the codestream with other values from a byte of SIZ or COD on."""
  changed = bytearray(_RAW)
  struct.pack_into(layout, changed, offset, *values)
  return bytes(changed)


_SIZ = 6  # the content, after the start, the marker and the length
_COD = _RAW.index(b'\xff\x52') + 4


@pytest.mark.parametrize('data,received', [
    (_change(_SIZ + 2, '>IIIIII', 9000, 9000, 0, 0, 9000,
             9000), 'received 9,000 x 9,000'),
    (_change(_SIZ + 10, '>II', 1, 1), 'with an offset'),
    (_change(_SIZ + 18, '>II', 0, 1), 'the header is incomplete'),
    (_change(_SIZ + 2, '>IIIIIIII', 8192, 8192, 0, 0, 8, 8, 0,
             0), 'of 1,048,576 tiles'),
    (_change(_SIZ + 34, '>H', 3), 'of 3 8-bit colors'),
    (_change(_SIZ + 36, '>B', 0x87), 'of 1 signed 8-bit colors'),
    (_change(_SIZ + 36, '>B', 11), 'of 1 12-bit colors'),
    (_change(_SIZ + 37, '>BB', 2, 2), 'of 1 8-bit colors'),
    (_change(_COD + 2, '>H', 65535), '65,535 layers'),
    (_change(_COD + 5, '>B', 33), '33 levels'),
    (_change(_COD + 6, '>BB', 8, 8), 'invalid code-blocks'),
    (_RAW.replace(b'\xff\x52', b'\xff\x53'), 'without a header'),
    (_RAW[:_COD - 4] + b'\xff\x61\0\3\0' + _RAW[_COD - 4:], 'PPT markers'),
    (_RAW[:-2] + b'\xff\xd9' + _RAW[-2:], 'data after its end'),
])
def test_other_headers_are_refused_by_name(tmp_path, data, received):
  path = tmp_path / 'a.j2k'
  path.write_bytes(data)
  with pytest.raises(errors.DataError) as error:
    decoding.check(str(path), 'red', 65535)
  assert received in str(error.value) and _refusal(data) == str(error.value)


def test_millions_of_code_blocks_or_precincts_are_refused():
  size = 8192, 8192, 0, 0, 8192, 8192, 0, 0
  blocks = bytearray(_change(_SIZ + 2, '>IIIIIIII', *size))
  blocks[_COD + 6:_COD + 8] = b'\0\0'  # 4 x 4
  assert '4,194,304 code-blocks' in _refusal(bytes(blocks))
  # Precincts of one pixel, at each of six resolutions.
  style = bytearray(_RAW[_COD:_COD + 10])
  style[0] |= 1
  precincts = bytearray(_change(_SIZ + 2, '>IIIIIIII', *size))
  precincts[_COD - 2:_COD + 10] = b'\0\x12' + bytes(style) + bytes(6)
  assert 'precincts' in _refusal(bytes(precincts))


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_colors_are_refused(mode):
  file = io.BytesIO()
  Image.fromarray(_GRAY).convert(mode).save(file, 'JPEG2000')
  assert f'of {len(mode)} 8-bit colors' in _refusal(file.getvalue(), 'a.jp2')


def test_coding_styles_of_single_tiles_are_refused():
  data = image_bytes.save(_GRAY, 'JPEG2000', no_jp2=True, tile_size=(32, 32))
  at = data.rindex(b'\xff\x90')
  style = data[data.index(b'\xff\x52'):][:14]
  length, = struct.unpack('>I', data[at + 6:at + 10])
  changed = (data[:at + 6] + struct.pack('>I', length + len(style)) +
             data[at + 10:at + 12] + style + data[at + 12:])
  assert 'coding styles of single tiles' in _refusal(changed)


def test_boxes_without_end_are_refused():
  endless = jpeg2000.BOX_START + 2000 * b'\0\0\0\x08free'
  assert 'at most 1,000 boxes' in _refusal(endless + bytes(30), 'a.jp2')
  assert 'header is incomplete' in _refusal(jpeg2000.BOX_START + bytes(90),
                                            'a.jp2')
