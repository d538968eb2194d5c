"""load: four files as one image, resized; compared with exact arithmetic."""

import resource
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from hpa_records.format import spec
from hpa_records.images import how
from hpa_records.images import load
from hpa_records.images import pixel_codec
from hpa_records.images import resize
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import image_bytes


def _how(size_px, name='triangle', white_level=0):
  return how.of_settings(size_px, name, white_level)


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


def triangle_means(plane, size_px):
  """Exact reduction by a triangle as wide as it, float64: the reference."""
  for _ in range(2):
    step = len(plane) / size_px
    centres = (np.arange(size_px)[:, None] + 0.5) * step
    away = np.abs(np.arange(len(plane)) + 0.5 - centres) / max(step, 1)
    weights = np.maximum(0, 1 - away)
    plane = (weights / weights.sum(axis=1, keepdims=True) @ plane).T
  return plane


@pytest.mark.parametrize('size_px', [7, 13, 23])
def test_resize_averages_areas(size_px):
  pixels = fakes.image(5)
  small = resize.resize(pixels, size_px, 'area')
  for c in range(4):
    exact = area_means(pixels[..., c], size_px)
    assert np.abs(small[..., c] - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_resize_of_a_plane_is_that_of_the_image(dtype):
  pixels = fakes.image(5).astype(dtype) * dtype(1 if dtype == np.uint8 else 257)
  small = resize.resize(pixels, 13, 'area')
  assert small.dtype == dtype
  for c in range(4):
    np.testing.assert_array_equal(resize.resize(pixels[..., c], 13, 'area'),
                                  small[..., c])
    exact = area_means(pixels[..., c], 13)
    assert np.abs(small[..., c] - exact).max() <= 0.5 + 1e-2


@pytest.mark.parametrize('size_px', [7, 13, 23, 48])
@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('high', [1, 257])
def test_resize_by_triangles_is_exact_within_one(size_px, channels, high):
  pixels = fakes.image(5)[..., :channels].astype(np.uint16 if high >
                                                 1 else np.uint8) * high
  if channels == 1:
    pixels = pixels[..., 0]
  small = resize.resize(pixels, size_px)
  assert small.dtype == pixels.dtype and small.ndim == pixels.ndim
  planes = zip(np.atleast_3d(small).T, np.atleast_3d(pixels).T)
  for found, plane in planes:
    assert np.abs(found - triangle_means(plane, size_px)).max() <= 1.001


def test_resize_by_triangles_is_pillows_within_one():
  pixels = np.random.default_rng(3).integers(0, 256, (100, 90)).astype(np.uint8)
  theirs = np.asarray(
      Image.fromarray(pixels).resize((37, 37), Image.Resampling.BILINEAR))
  ours = resize.resize(pixels, 37)
  assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize('name', resize.RESIZE_FILTERS)
def test_resize_of_a_fine_pattern_does_not_alias(name):
  stripes = np.zeros((512, 512, 4), np.uint8)
  stripes[:, ::2] = 255
  assert resize.resize(stripes, 299, name).std() < 40  # nearest: 127
  inner = resize.resize(stripes, 256, name)[:, 1:-1]
  assert np.ptp(inner) <= 1


def test_resize_keeps_or_enlarges():
  pixels = fakes.image(1)
  assert resize.resize(pixels, 24) is pixels
  assert resize.resize(pixels, 48).shape == (48, 48, 4)


@pytest.mark.parametrize('encoding', spec.ENCODINGS)
def test_stored_bytes_give_the_image_back(encoding):
  pixels = fakes.image(2)
  data = pixel_codec.encode(pixels, encoding)
  assert data.dtype == np.uint8 and data.ndim == 1
  np.testing.assert_array_equal(
      pixel_codec.decode(data.tobytes(), encoding, 24, 4), pixels)


def test_stored_png_has_red_first_whoever_reads_it(tmp_path):
  pixels = fakes.image(2)
  path = tmp_path / 'stored.png'
  path.write_bytes(pixel_codec.encode(pixels, 'png').tobytes())
  np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


@pytest.mark.parametrize('encoding', spec.ENCODINGS)
def test_other_stored_bytes_are_refused(encoding):
  with pytest.raises(errors.DataError, match=f'not a {encoding} image'):
    pixel_codec.decode(b'123', encoding, 24, 4)


def test_load_stacks_the_channels_in_order(tmp_path):
  _, folder = fakes.write_source(tmp_path, 3)
  paths = tuple(f'{folder}/s2_{channel}.png' for channel in spec.CHANNELS)
  np.testing.assert_array_equal(load.load(paths, _how(24)), fakes.image(2))


def test_load_names_the_file_of_another_size(tmp_path):
  _, folder = fakes.write_source(tmp_path, 1)
  cv2.imwrite(f'{folder}/s0_blue.png', fakes.plane(0, 0, 25))
  paths = tuple(f'{folder}/s0_{channel}.png' for channel in spec.CHANNELS)
  with pytest.raises(errors.DataError) as error:
    load.load(paths, _how(24))
  assert error.value.args[1] == paths[2]
  assert 'received (25, 25)' in error.value.args[0]


@pytest.mark.parametrize('pixels', [
    fakes.image(4),
    np.full((299, 299, 4), 255, np.uint8),
    np.full((3072, 3072, 4), 254, np.uint8),
    np.random.default_rng(0).integers(0, 256, (512, 512, 4)).astype(np.uint8)
])
def test_sums_are_exact(pixels):
  flat = pixels.reshape(-1, 4).astype(np.int64)
  found = pixel_codec.sums(pixels)
  assert found.dtype == np.int64
  np.testing.assert_array_equal(found,
                                [flat.sum(axis=0), (flat**2).sum(axis=0)])


def _write_planes(folder, planes, ending='png'):
  paths = tuple(f'{folder}/a_{name}.{ending}' for name in spec.CHANNELS)
  for path, plane in zip(paths, planes):
    cv2.imwrite(path, plane)
  return paths


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_load_scales_16_bits_after_the_resize(tmp_path, ending):
  planes = [fakes.plane(0, c).astype(np.uint16) * 16 + 5 for c in range(4)]
  found = load.load(_write_planes(tmp_path, planes, ending),
                    _how(13, 'area', 4095))
  for c, plane in enumerate(planes):
    exact = area_means(plane, 13) * 255 / 4095
    assert np.abs(found[..., c] - exact).max() <= 0.5 + 255 / 4095


def test_load_names_the_file_of_another_depth(tmp_path):
  planes = [fakes.plane(0, c) for c in range(4)]
  planes[1] = planes[1].astype(np.uint16) * 257
  paths = _write_planes(tmp_path, planes)
  with pytest.raises(errors.DataError) as error:
    load.load(paths, _how(13, 'area', 65535))
  assert error.value.args == (
      'expected uint8 pixels like a_red.png, received uint16', paths[1])


@pytest.mark.parametrize('height,width,dtype', [(2048, 2048, np.uint8),
                                                (3072, 3072, np.uint16),
                                                (300, 500, np.uint8)])
def test_load_brings_full_size_tiffs_to_one_size(tmp_path, height, width,
                                                 dtype):
  planes = [
      fakes.plane(0, c, 3072)[:height, :width].astype(dtype) for c in range(4)
  ]
  found = load.load(_write_planes(tmp_path, planes, 'tif'),
                    _how(299, 'area', 255))
  assert found.shape == (299, 299, 4) and found.dtype == np.uint8
  exact = cv2.resize(planes[3].astype(np.float32), (299, 299),
                     interpolation=cv2.INTER_AREA)
  assert np.abs(found[..., 3] - exact).max() <= 0.5 + 1e-2


def test_load_names_a_file_that_cannot_be_read(tmp_path):
  paths = _write_planes(tmp_path, [fakes.plane(0, c) for c in range(4)])
  with pytest.raises(errors.DataError) as error:
    load.load((*paths[:3], f'{tmp_path}/none.png'), _how(24))
  assert error.value.args == (
      'cannot be read: No such file or directory; check the path and the disk',
      f'{tmp_path}/none.png')


def test_a_stored_png_of_16_bits_is_refused():
  data = cv2.imencode('.png', np.zeros((24, 24, 4), np.uint16))[1].tobytes()
  with pytest.raises(errors.DataError, match='not a png image'):
    pixel_codec.decode(data, 'png', 24, 4)


@pytest.mark.parametrize('place', [33, -12])
def test_a_stored_png_holds_pixels_alone(place):
  stored = pixel_codec.encode(fakes.image(1, 16), 'png').tobytes()
  text = image_bytes.chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(10**6)))
  with pytest.raises(errors.DataError, match="unexpected chunk 'zTXt'"):
    pixel_codec.decode(stored[:place] + text + stored[place:], 'png', 16, 4)


def test_no_memory_is_allocated_for_a_declared_chunk_length():
  stored = pixel_codec.encode(fakes.image(1, 16), 'png').tobytes()
  at = stored.index(b'IDAT') - 4
  forged = stored[:at] + b'\xc0\0\0\0' + stored[at + 4:]
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for data in (forged, stored[:-1], stored + b'\0'):
    with pytest.raises(errors.DataError, match='not a png image'):
      pixel_codec.decode(data, 'png', 16, 4)
  taken_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert taken_kib < 2**20
