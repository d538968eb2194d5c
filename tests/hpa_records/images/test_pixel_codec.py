"""pixel_codec: images of any number of channels come back from their bytes."""

import io

import numpy as np
from PIL import Image
import pytest

from hpa_records.images import pixel_codec
from hpa_records.runtime import errors
from tests.support import image_bytes


def _image(num_channels):
  return np.random.default_rng(0).integers(0, 256, (24, 24, num_channels),
                                           np.uint8)


@pytest.mark.parametrize('num_channels', range(1, 17))
def test_images_come_back(num_channels):
  pixels = _image(num_channels)
  for encoding in pixel_codec.encodings(num_channels):
    data = pixel_codec.encode(pixels, encoding).tobytes()
    found = pixel_codec.decode(data, encoding, 24, num_channels)
    np.testing.assert_array_equal(found, pixels)
    for other in {1, 3, 4, 5} - {num_channels}:
      with pytest.raises(errors.DataError, match='not a '):
        pixel_codec.decode(data, encoding, 24, other)


def test_pngs_have_1_3_or_4_channels():
  assert [c for c in range(1, 17) if 'png' in pixel_codec.encodings(c)
         ] == [1, 3, 4]


@pytest.mark.parametrize('num_channels', [1, 3, 4])
def test_the_first_channel_of_a_png_is_red_for_other_readers(num_channels):
  pixels = _image(num_channels)
  data = pixel_codec.encode(pixels, 'png').tobytes()
  assert data.startswith(pixel_codec.png_head(24, num_channels))
  found = np.asarray(Image.open(io.BytesIO(data)))
  np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)


def test_a_png_of_another_color_type_is_refused():
  gray_alpha = image_bytes.png(_image(2))
  for num_channels in (1, 3, 4):
    with pytest.raises(errors.DataError, match='not a png'):
      pixel_codec.decode(gray_alpha, 'png', 24, num_channels)


@pytest.mark.parametrize('num_channels', range(1, 17))
def test_sums_are_exact(num_channels):
  pixels = _image(num_channels)
  flat = pixels.reshape(-1, num_channels).astype(np.int64)
  totals, squares = pixel_codec.sums(pixels)
  np.testing.assert_array_equal(totals, flat.sum(axis=0))
  np.testing.assert_array_equal(squares, (flat**2).sum(axis=0))
  assert pixel_codec.are_sums(24 * 24, totals.tolist(), squares.tolist(),
                              num_channels)
  assert not pixel_codec.are_sums(24 * 24, totals.tolist(), squares.tolist(),
                                  num_channels + 1)


def test_statistics_are_those_of_the_pixels():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (50, 4))
  found = pixel_codec.statistics(50, pixels.sum(axis=0),
                                 (pixels**2).sum(axis=0))
  np.testing.assert_allclose(found['mean'], pixels.mean(axis=0), rtol=1e-12)
  np.testing.assert_allclose(found['std'], pixels.std(axis=0), rtol=1e-12)
  assert found['sum'] == pixels.sum(axis=0).tolist()
  assert found['count'] == 50
