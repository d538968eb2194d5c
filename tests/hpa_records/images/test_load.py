"""load: files of a sample as one image, resized; compared with exact means."""

import dataclasses
import resource
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from hpa_records.format import spec
from hpa_records.images import crop
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import load
from hpa_records.images import pixel_codec
from hpa_records.images import resize
from hpa_records.runtime import errors
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes


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
  paths = tuple(f'{folder}/s2_{channel}.png' for channel in decoding.CHANNELS)
  np.testing.assert_array_equal(load.load(paths, decoding.how(24)),
                                fakes.image(2))


def test_load_names_the_file_of_another_size(tmp_path):
  _, folder = fakes.write_source(tmp_path, 1)
  cv2.imwrite(f'{folder}/s0_blue.png', fakes.plane(0, 0, 25))
  paths = tuple(f'{folder}/s0_{channel}.png' for channel in decoding.CHANNELS)
  with pytest.raises(errors.DataError) as error:
    load.load(paths, decoding.how(24))
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
  paths = tuple(f'{folder}/a_{name}.{ending}' for name in decoding.CHANNELS)
  for path, plane in zip(paths, planes):
    cv2.imwrite(path, plane)
  return paths


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_load_scales_16_bits_after_the_resize(tmp_path, ending):
  planes = [fakes.plane(0, c).astype(np.uint16) * 16 + 5 for c in range(4)]
  found = load.load(_write_planes(tmp_path, planes, ending),
                    decoding.how(13, 'area', 4095))
  for c, plane in enumerate(planes):
    exact = area_means(plane, 13) * 255 / 4095
    assert np.abs(found[..., c] - exact).max() <= 0.5 + 255 / 4095


def test_load_names_the_file_of_another_depth(tmp_path):
  planes = [fakes.plane(0, c) for c in range(4)]
  planes[1] = planes[1].astype(np.uint16) * 257
  paths = _write_planes(tmp_path, planes)
  with pytest.raises(errors.DataError) as error:
    load.load(paths, decoding.how(13, 'area', 65535))
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
                    decoding.how(299, 'area', 255))
  assert found.shape == (299, 299, 4) and found.dtype == np.uint8
  exact = cv2.resize(planes[3].astype(np.float32), (299, 299),
                     interpolation=cv2.INTER_AREA)
  assert np.abs(found[..., 3] - exact).max() <= 0.5 + 1e-2


def _write_channels(folder, planes):
  """Writes one TIFF a plane; returns the paths and How for them."""
  paths = []
  for i, plane in enumerate(planes):
    tags = image_bytes.gray_tags(plane,
                                 t339=3 if plane.dtype.kind == 'f' else 1)
    path = folder / f'a_{i}.tif'
    path.write_bytes(image_bytes.tiff(tags, [plane.tobytes()]))
    paths.append(str(path))
  names = tuple(f'c{i}' for i in range(len(planes)))
  return tuple(paths), how_lib.How(16, names, ('#ffffff',) * len(planes))


@pytest.mark.parametrize('num_channels', [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_load_takes_any_number_of_channels(tmp_path, num_channels, dtype):
  planes = [
      fakes.plane(0, c).astype(dtype) * dtype(3 if dtype != np.uint8 else 1)
      for c in range(num_channels)
  ]
  paths, how = _write_channels(tmp_path, planes)
  levels = tuple(500.0 + c for c in range(num_channels))
  how = dataclasses.replace(how, intensity=intensity.Rule(white_levels=levels))
  found = load.load(paths, how)
  assert found.shape == (16, 16, num_channels) and found.dtype == np.uint8
  for c, plane in enumerate(planes):
    small = resize.resize(plane, 16)
    np.testing.assert_array_equal(
        found[..., c],
        small if dtype == np.uint8 else intensity.scale(small, [(0, 500 + c)]))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_percentiles_of_an_image_are_of_its_original_pixels(tmp_path, dtype):
  planes = [
      fakes.plane(0, c).astype(dtype) // (c + 1) + dtype(9) for c in range(3)
  ]
  paths, how = _write_channels(tmp_path, planes)
  rule = intensity.Rule('percentiles', percentiles=(5, 95))
  found = load.load(paths, dataclasses.replace(how, intensity=rule))
  for c, plane in enumerate(planes):
    low, high = np.percentile(plane, (5, 95), method='inverted_cdf').tolist()
    want = intensity.scale(resize.resize(plane, 16), [(low, high)])
    np.testing.assert_array_equal(found[..., c], want)


def test_levels_of_a_plate_are_used_as_given(tmp_path):
  planes = [fakes.plane(0, c, 16).astype(np.uint16) for c in range(2)]
  paths, how = _write_channels(tmp_path, planes)
  how = dataclasses.replace(how,
                            intensity=intensity.Rule('percentiles', of='plate'),
                            levels=((10, 100), (0, 51)))
  found = load.load(paths, how)
  assert found[..., 0].max() == 255 and found[..., 0].min() == 0
  np.testing.assert_array_equal(found[..., 1],
                                np.minimum(planes[1].astype(int) * 5, 255))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_summed_counts_give_the_levels_of_all_samples(tmp_path, dtype):
  total, pixels = 0, []
  for sample in range(3):
    planes = [fakes.plane(sample, c).astype(dtype) for c in range(2)]
    paths, how = _write_channels(tmp_path, planes)
    counts, depth = load.count(
        paths,
        dataclasses.replace(how,
                            intensity=intensity.Rule('percentiles',
                                                     of='plate')))
    total, pixels = total + counts, pixels + [planes]
  assert counts.shape == (2, intensity.NUM_BINS) and depth == np.dtype(dtype)
  for c in range(2):
    found = intensity.percentile_levels(total[c], depth, (1, 99))
    want = np.percentile(np.stack(pixels)[:, c], (1, 99), method='inverted_cdf')
    assert found == tuple(want.tolist())


def test_full_scale_of_16_bits_is_65535(tmp_path):
  planes = [fakes.plane(0, 0, 16).astype(np.uint16) * 257]
  paths, how = _write_channels(tmp_path, planes)
  with pytest.raises(errors.DataError, match='pass --white_level=N'):
    load.load(paths, how)
  how = dataclasses.replace(how, intensity=intensity.Rule('full_scale'))
  np.testing.assert_array_equal(
      load.load(paths, how)[..., 0], fakes.plane(0, 0, 16))


@pytest.mark.parametrize('image_um,side', [(0.5, 16), (0.25, 32), (0.8, 10)])
def test_images_of_known_pixel_size_are_brought_to_one_scale(
    tmp_path, image_um, side):
  planes = [fakes.plane(0, c)[:20] for c in range(2)]
  paths, how = _write_channels(tmp_path, planes)
  how = dataclasses.replace(how, image_um=image_um, stored_um=0.5)
  found = load.load(paths, how)
  for c, plane in enumerate(planes):
    want = resize.resize(crop.cut(plane, side, 0), 16)
    np.testing.assert_array_equal(found[..., c], want)


def test_the_padding_of_a_small_image_is_black_for_any_levels(tmp_path):
  planes = [np.full((8, 8), value, np.float32) for value in (-5, 70)]
  planes[0][0], planes[1][0] = -9, 40
  paths, how = _write_channels(tmp_path, planes)
  how = dataclasses.replace(how,
                            intensity=intensity.Rule('percentiles'),
                            image_um=1,
                            stored_um=1)
  found = load.load(paths, how)
  assert not found[:4].any() and not found[:, 12:].any()
  assert (found[6:10, 6:10] == 255).all()


def test_load_names_the_file_of_a_pixel_size_out_of_range(tmp_path):
  paths, how = _write_channels(tmp_path, [fakes.plane(0, 0)])
  with pytest.raises(errors.DataError) as error:
    load.load(paths, dataclasses.replace(how, image_um=1e-9, stored_um=1))
  assert 'um of the file' in error.value.args[0]
  assert error.value.args[1] == paths[0]


def test_load_names_a_file_that_cannot_be_read(tmp_path):
  paths = _write_planes(tmp_path, [fakes.plane(0, c) for c in range(4)])
  with pytest.raises(errors.DataError) as error:
    load.load((*paths[:3], f'{tmp_path}/none.png'), decoding.how(24))
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
