"""decode: files of public datasets, compared with tifffile and Pillow."""

import gzip
import io

import numpy as np
from PIL import Image
import pytest
import tifffile

from hpa_records.images import decode
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import stack
from hpa_records.runtime import errors


def _how(num_channels, chosen=None):
  return how_lib.How(16, ('c',) * num_channels, ('#ffffff',) * num_channels,
                     intensity=intensity.Rule('percentiles'),
                     stack=chosen)


def _read(path, how):
  """Returns the planes [C, H, W], after comparing their kind with measure."""
  data = path.read_bytes()
  found = decode.measure(str(path), how)
  planes = (np.stack(list(decode.decode_stack(data, path.name, how)))
            if how.stack else decode.decode(data, path.name, how)[None])
  assert (found.height, found.width) == planes.shape[1:]
  return planes


@pytest.mark.parametrize('pattern', [
    'bbbc007_masks/BBBC007/*/*.tif', 'bbbc007_masks/BBBC007_batch/*.tif',
    'bbbc022/*.tif', 'cellpainting_5ch_phenix/BR00143976/*.tiff',
    'cellprofiler_examples/ExampleHuman/images/*.tif',
    'cellprofiler_examples/ExampleStraightenWorms/images/*.tif',
    'neubias_stacks/xy_float__nuclei_probability.tif', 'stardist_masks/*.tif'
])
def test_files_of_one_channel(real_datasets, pattern):
  paths = sorted(real_datasets.glob(pattern))
  assert paths
  for path in paths:
    found = _read(path, _how(1))
    np.testing.assert_array_equal(found[0],
                                  tifffile.imread(path).astype(found.dtype))


@pytest.mark.parametrize('name,num_channels', [
    ('cellprofiler_examples/loadimages/5channel.tif', 5),
    ('neubias_stacks/xyc_16bit__cell_dna_mts_actin.tif', 3),
    ('neubias_stacks/xyc_16bit__nuclei_tubulin_crop.tif', 2),
    ('neubias_stacks/xyc_16bit__nup_nuclei.tif', 2),
])
def test_pages(real_datasets, name, num_channels):
  path = real_datasets / name
  np.testing.assert_array_equal(
      _read(path, _how(num_channels, stack.Stack('pages'))),
      tifffile.imread(path))
  with pytest.raises(errors.DataError, match=f'received {num_channels}'):
    _read(path, _how(num_channels + 1, stack.Stack('pages')))


@pytest.mark.parametrize('name', [
    'neubias_stacks/xyc_16bit__hela-cells.tif',
    'cellpainting_5ch_phenix/outlines/CellsOutlines_BR00143976_C03_3.tiff'
])
def test_16_bit_rgb(real_datasets, name):
  path = real_datasets / name
  np.testing.assert_array_equal(_read(path, _how(3, stack.Stack('planes'))),
                                np.moveaxis(tifffile.imread(path), -1, 0))
  with pytest.raises(errors.DataError, match='received 16-bit RGB'):
    _read(path, _how(1))


def test_102_pages_are_two_channels_of_51_focal_planes(real_datasets):
  path = real_datasets / 'opencell' / 'A1_1_ATL2__mock.ome.tif'
  with tifffile.TiffFile(path) as file:
    pages = np.stack([page.asarray() for page in file.pages])
  found = _read(path, _how(2, stack.Stack('pages', 'CZ', 'max')))
  np.testing.assert_array_equal(found,
                                pages.reshape(2, 51, 103, 103).max(axis=1))
  found = _read(path, _how(2, stack.Stack('pages', 'CZ', 'middle')))
  np.testing.assert_array_equal(found, pages[[25, 76]])
  with pytest.raises(errors.DataError, match='received 102; give the plane'):
    _read(path, _how(2, stack.Stack('pages')))


def test_a_compressed_tiff_is_its_png(real_datasets):
  folder = real_datasets / 'hpa_public' / 'cache_gz'
  found = _read(folder / '383_D2_1_blue.tif.gz', _how(1))
  png = _read(folder / 'data' / '383_D2_1_blue.png', _how(1))
  np.testing.assert_array_equal(found, png)
  content = gzip.decompress((folder / '383_D2_1_blue.tif.gz').read_bytes())
  np.testing.assert_array_equal(found[0], tifffile.imread(io.BytesIO(content)))


def test_colors_with_alpha(real_datasets):
  found = 0
  for path in sorted(real_datasets.glob('hpa_public/*/*.png')):
    with Image.open(path) as image:
      pixels = np.asarray(image) if image.mode == 'RGBA' else None
    if pixels is not None:
      planes = _read(path, _how(4, stack.Stack('planes')))
      np.testing.assert_array_equal(planes, np.moveaxis(pixels, -1, 0))
      found += 1
  assert found


@pytest.mark.parametrize('pattern,received', [
    ('cellprofiler_examples/ExampleSBSImages/*.tif', '8-bit palette'),
    ('bbbc007_masks/BBBC007_sparse_instance_annotation/*.tif',
     'signed 32-bit gray'),
    ('hpa_public/HPAdata_jpeg_named_png/**/57_F11_1_*.png',
     r'a PNG \(from the extension\), received a JPEG'),
])
def test_other_kinds_are_refused(real_datasets, pattern, received):
  paths = sorted(real_datasets.glob(pattern))
  assert paths
  for path in paths:
    with pytest.raises(errors.DataError, match=received):
      _read(path, _how(1))
