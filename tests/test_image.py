"""image: decode, resize, store; against Pillow and exact arithmetic."""

import cv2
import numpy as np
from PIL import Image
import pytest

from hpa_records import image
from hpa_records import image_file
from hpa_records import schema
from tests import fakes


def _png(pixels):
  return cv2.imencode('.png', pixels)[1].tobytes()


def area_means(plane, size_px):
  """Exact mean of each output pixel's source area, float64: the reference.

  A running sum along each axis, read off between its values, and differenced.
  """
  for _ in range(2):
    length = len(plane)
    edges = np.arange(size_px + 1) * length / size_px
    whole = np.minimum(edges.astype(int), length - 1)
    sums = np.concatenate([np.zeros((1, plane.shape[1])), plane]).cumsum(axis=0)
    reached = sums[whole] + (edges - whole)[:, None] * plane[whole]
    plane = (np.diff(reached, axis=0) * size_px / length).T
  return plane


@pytest.mark.parametrize('height,width', [(1, 1), (24, 24), (24, 31)])
def test_decode_gray_gives_pillows_pixels(height, width, tmp_path):
  pixels = fakes.plane(3, 1, 31)[:height, :width]
  path = tmp_path / 'gray.png'
  Image.fromarray(pixels).save(path)
  np.testing.assert_array_equal(image_file.decode_gray(path.read_bytes()),
                                pixels)


_RGB = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize('data,received', [
    (b'', 'an empty file'),
    (b'GIF89a' * 10, 'no PNG'),
    (cv2.imencode('.jpg', _RGB)[1].tobytes(), 'a JPEG'),
    (_png(_RGB), '8-bit RGB'),
    (_png(np.zeros((8, 8, 4), np.uint8)), '8-bit RGBA'),
    (_png(np.zeros((8, 8), np.uint16)), '16-bit gray'),
    (_png(np.zeros((8, 8), np.uint8))[:20], '20 bytes of one'),
])
def test_other_files_are_refused_by_name(data, received):
  with pytest.raises(schema.DataError, match=f'received {received}'):
    image_file.decode_gray(data)


def test_palette_is_refused_by_name(tmp_path):
  path = tmp_path / 'palette.png'
  Image.fromarray(fakes.plane(0, 0)).convert('P').save(path)
  with pytest.raises(schema.DataError, match='8-bit palette'):
    image_file.decode_gray(path.read_bytes())


def test_every_flipped_byte_is_refused_or_harmless():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (40, 40), np.uint8)
  whole = _png(pixels)
  for position in rng.choice(len(whole), 200, replace=False):
    data = bytearray(whole)
    data[position] ^= 1 << rng.integers(8)
    try:
      found = image_file.decode_gray(bytes(data))
    except schema.DataError:
      continue
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize('size_px', [7, 13, 23])
def test_resize_averages_areas(size_px):
  pixels = fakes.image(5)
  small = image.resize(pixels, size_px)
  for c in range(4):
    exact = area_means(pixels[..., c], size_px)
    assert np.abs(small[..., c] - exact).max() <= 0.5 + 1e-3


def test_resize_of_a_fine_pattern_does_not_alias():
  stripes = np.zeros((512, 512, 4), np.uint8)
  stripes[:, ::2] = 255
  assert image.resize(stripes, 299).std() < 40  # nearest would give 127
  assert image.resize(stripes, 256).std() == 0


def test_resize_keeps_or_enlarges():
  pixels = fakes.image(1)
  assert image.resize(pixels, 24) is pixels
  assert image.resize(pixels, 48).shape == (48, 48, 4)


@pytest.mark.parametrize('encoding', schema.ENCODINGS)
def test_stored_bytes_give_the_image_back(encoding):
  pixels = fakes.image(2)
  data = image.encode(pixels, encoding)
  assert data.dtype == np.uint8 and data.ndim == 1
  np.testing.assert_array_equal(image.decode(data.tobytes(), encoding, 24),
                                pixels)


def test_stored_png_has_red_first_whoever_reads_it(tmp_path):
  pixels = fakes.image(2)
  path = tmp_path / 'stored.png'
  path.write_bytes(image.encode(pixels, 'png').tobytes())
  np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


@pytest.mark.parametrize('encoding', schema.ENCODINGS)
def test_other_stored_bytes_are_refused(encoding):
  with pytest.raises(schema.DataError, match=f'expected a {encoding} image'):
    image.decode(b'123', encoding, 24)


def test_load_stacks_the_channels_in_order(tmp_path):
  _, folder = fakes.write_source(tmp_path, 3)
  paths = tuple(f'{folder}/s2_{channel}.png' for channel in schema.CHANNELS)
  np.testing.assert_array_equal(image.load(paths, 24), fakes.image(2))


def test_load_names_the_file_of_another_size(tmp_path):
  _, folder = fakes.write_source(tmp_path, 1)
  cv2.imwrite(f'{folder}/s0_blue.png', fakes.plane(0, 0, 25))
  paths = tuple(f'{folder}/s0_{channel}.png' for channel in schema.CHANNELS)
  with pytest.raises(schema.DataError) as error:
    image.load(paths, 24)
  assert error.value.args[1] == paths[2]
  assert 'received (25, 25)' in error.value.args[0]


def test_histogram_counts_every_pixel():
  pixels = fakes.image(4)
  counts = image.histogram(pixels)
  for c in range(4):
    np.testing.assert_array_equal(
        counts[c], np.bincount(pixels[..., c].ravel(), minlength=256))


def test_a_stored_png_of_16_bits_is_refused():
  data = _png(np.zeros((24, 24, 4), np.uint16))
  with pytest.raises(schema.DataError, match='expected a png image'):
    image.decode(data, 'png', 24)
