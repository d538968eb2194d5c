"""image_input: images that are refused or converted, never silently."""

import dataclasses
import shutil

import cv2
import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import image_input

_CHANNELS = ('red', 'green', 'blue', 'yellow')


def _input(**values):
  return image_input.Input(
      **{
          'records': '',
          'stage_dir': '',
          'images': '',
          'csv': '',
          'pattern': '',
          'white_level': 0,
          'on_error': 'stop',
          'on_doubt': 'count',
          'is_elsewhere': False
      } | {
          name: str(each) if name != 'white_level' else each
          for name, each in values.items()
      })


def _open(made, **values):
  read, found = _input(**values), ensemble_lib.load([str(made)])
  return read.open(found, read.load_samples(found))


@pytest.fixture(name='images')
def _images(made, tmp_path):
  """Images of four samples, to damage."""
  folder = tmp_path / 'images'
  folder.mkdir()
  for i in range(4):
    for channel in _CHANNELS:
      shutil.copy(made.parent / f'train/s{i}_{channel}.png', folder)
  return folder


def _write(images, dtype=np.uint8, size_px=32):
  for number, path in enumerate(sorted(images.iterdir())):
    pixels = np.full((size_px, size_px), number % 250, dtype)
    assert cv2.imwrite(str(path), pixels)


@pytest.mark.parametrize('kind', ['records', 'images'])
@pytest.mark.parametrize('lines,message', [
    ('Id\ns1\ns1\n', r"1 issue:\n  row 3: duplicate Id 's1', first in row 2$"),
    ('Id\n', r'^No .* it has only a header\.$'),
    ('', r'^Expected the columns Id in row 1'),
])
def test_the_same_id_twice_and_an_empty_table_are_refused(
    made, tmp_path, kind, lines, message):
  csv = tmp_path / 'list.csv'
  csv.write_text(lines)
  where = made.parent / {'records': 'records', 'images': 'train'}[kind]
  with pytest.raises(errors.DataError, match=message):
    _open(made, csv=csv, **{kind: where})


@pytest.mark.parametrize('kind,message', [
    ('records', 'No finished dataset in .*: manifest.json is missing'),
    ('images', r'No samples found in --images=.* \(no files in .*\)'),
])
@pytest.mark.parametrize('exists', [True, False])
def test_an_empty_folder_and_none_are_one_line(made, tmp_path, kind, message,
                                               exists):
  where = tmp_path / 'new'
  if exists:
    where.mkdir()
  elif kind == 'images':
    message = 'Cannot read .*new: No such file or directory'
  with pytest.raises(errors.DataError) as error:
    _open(made, **{kind: where})
  assert '\n' not in str(error.value)
  error.match(message)


def test_images_as_in_the_training_are_taken_without_a_word(
    made, images, capsys):
  _input(images=images).load_samples(ensemble_lib.load([str(made)]))
  assert capsys.readouterr().err == ''


def test_another_size_is_resized_by_the_stored_filter_and_said(
    made, images, capsys):
  _write(images, size_px=80)
  _input(images=images).load_samples(ensemble_lib.load([str(made)]))
  assert capsys.readouterr().err == (
      'Images as those of the training: 4 of 80 x 80 pixels become 32 x 32 '
      '(triangle).\n')


def test_another_depth_is_refused_or_scaled_as_told_and_said(
    made, images, capsys):
  _write(images, np.uint16)
  with pytest.raises(errors.DataError, match='8-bit pixels, received 16-bit'):
    _open(made, images=images)
  read = _input(images=images, white_level=4095)
  read.load_samples(ensemble_lib.load([str(made)]))
  assert capsys.readouterr().err == (
      'Images as those of the training: uint16 become 8 bits '
      '(white level 4095).\n')


def test_two_depths_or_sizes_in_a_sample_are_refused(made, images):
  path = str(images / 's1_green.png')
  cv2.imwrite(path, np.zeros((32, 32), np.uint16))
  with pytest.raises(errors.DataError, match='s1_green.png'):
    _open(made, images=images, white_level=65535)
  cv2.imwrite(path, np.zeros((16, 32), np.uint8))
  with pytest.raises(errors.DataError, match='32 x 32 pixels like'):
    _open(made, images=images)


def test_channels_are_found_by_name_in_any_order_of_files(made, images):
  with _open(made, images=images) as files:
    batch = next(iter(files.batches(epoch_plan.Share(4))))
  planes = [
      cv2.imread(str(images / f's0_{channel}.png'), cv2.IMREAD_UNCHANGED)
      for channel in _CHANNELS
  ]
  np.testing.assert_array_equal(batch['image'][0], np.stack(planes, axis=-1))
  (images / 's2_blue.png').unlink()
  with pytest.raises(errors.DataError, match='s2_blue.png: file not found'):
    _open(made, images=images)


def test_each_rule_of_intensity_and_many_sizes_are_told(images):
  described = description.default()
  loaded = sample_table.load('', str(images),
                             input_tables.How(described, unlabelled=True))
  for number in range(5):
    loaded.sizes[40 + number, 50] = 6 - number
  how = how_lib.How(16, _CHANNELS, ('#ffffff',) * 4, stored_um=0.5)
  for rule, said in ((
      intensity.Rule('percentiles', percentiles=(1, 99.5), of='dataset'),
      'uint8 become 8 bits (percentiles 1 to 99.5 of each dataset).'),
                     (intensity.Rule('full_scale'), 'micrometers).')):
    found = image_input.describe_conversion(
        loaded, dataclasses.replace(how, intensity=rule))
    assert found.startswith('Images as those of the training: 6 of 40 x 50, 5 '
                            'of 41 x 50, 4 of 32 x 32 and 3 other sizes pixels '
                            'become 16 x 16 (triangle, cut to pixels of 0.5 ')
    assert found.endswith(said)
