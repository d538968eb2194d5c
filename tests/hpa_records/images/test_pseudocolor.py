"""pseudocolor: the channel's color of RGB files; other tints are refused."""

import io
import pathlib

import numpy as np
from PIL import Image
import pytest

from hpa_records.images import pseudocolor
from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_ROOT = pathlib.Path(__file__).parents[3]
_GRAY = fakes.plane(3, 1, 31)[:21]


def _refusal(data, name, channel='red', white_level=65535):
  with pytest.raises(errors.DataError) as error:
    decoding.decode(data, name, channel, white_level)
  assert str(error.value).startswith('expected ')
  return str(error.value)


@pytest.mark.parametrize('channel', decoding.CHANNELS)
@pytest.mark.parametrize('name,kind', [('a.png', 'PNG'), ('a.tif', 'TIFF')])
def test_lossless_tints_give_their_plane(channel, name, kind):
  data = image_bytes.save(image_bytes.tint(_GRAY, channel), kind)
  np.testing.assert_array_equal(decoding.decode(data, name, channel, 0), _GRAY)


def _real_planes(channel):
  """Three real planes of a channel, synthetic ones where there are none."""
  folder = _ROOT.parent / 'shared' / 'hpa' / 'fields'
  paths = sorted(folder.glob(f'*_{channel}.png'))[::150]
  return [np.asarray(Image.open(path)) for path in paths
         ] or [fakes.plane(i, 0, 512) for i in range(3)]


@pytest.mark.parametrize('quality', [75, 85, 95])
@pytest.mark.parametrize('channel', decoding.CHANNELS)
def test_tinted_jpegs_give_their_color_and_no_other(channel, quality):
  for plane in _real_planes(channel):
    data = image_bytes.save(image_bytes.tint(plane, channel),
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
    np.testing.assert_array_equal(decoding.decode(data, 'a.jpg', channel, 0),
                                  want[channel])
    for other in set(decoding.CHANNELS) - {channel}:
      message = _refusal(data, 'a.jpg', other)
      assert f'expected gray or {other}-tinted pixels' in message


@pytest.mark.parametrize('channel', decoding.CHANNELS)
def test_gray_as_three_equal_colors_is_gray(channel):
  for kind, name in (('JPEG', 'a.jpg'), ('PNG', 'a.png')):
    data = image_bytes.save(np.stack([_GRAY] * 3, axis=-1), kind)
    want = np.asarray(Image.open(io.BytesIO(data)))[..., 0]
    np.testing.assert_array_equal(decoding.decode(data, name, channel, 0), want)


@pytest.mark.parametrize('channel', decoding.CHANNELS)
def test_a_picture_of_several_channels_is_refused(channel):
  merged = np.stack([fakes.plane(0, c, 64) for c in range(3)], axis=-1)
  assert 'received R, G, B of mean' in _refusal(image_bytes.save(merged, 'PNG'),
                                                'a.png', channel)


@pytest.mark.parametrize('color', ['#ffffff', '#404040', '#000000'])
def test_a_color_that_is_no_tint_takes_gray_alone(color):
  gray = np.stack([_GRAY] * 3, axis=-1)
  np.testing.assert_array_equal(pseudocolor.extract(gray, 'DNA', color), _GRAY)
  with pytest.raises(errors.DataError, match=f'since {color} is no tint'):
    pseudocolor.extract(image_bytes.tint(_GRAY, 'red'), 'DNA', color)


@pytest.mark.parametrize('color,bright', [('#00ffff', (1, 2)),
                                          ('#FF00FF', (0, 2)),
                                          ('#80c080', (0, 1, 2)),
                                          ('#20a020', (1,))])
def test_a_tint_has_the_components_above_half(color, bright):
  pixels = np.zeros((*_GRAY.shape, 3), np.uint8)
  pixels[..., list(bright)] = _GRAY[..., None]
  np.testing.assert_array_equal(pseudocolor.extract(pixels, 'ER', color), _GRAY)
