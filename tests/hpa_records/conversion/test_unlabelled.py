"""Unlabelled sets, and other names and kinds of files, end to end."""

import hashlib
import json
import pathlib

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import planner
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.images import pixel_codec
from hpa_records.images import resize
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import prestarted
from tests.support import specs


@pytest.fixture(name='images')
def _images(tmp_path):
  return fakes.write_source(tmp_path, 7)[1]


def _convert(csv, images, output, **settings):
  return convert.convert(
      csv, images, str(output),
      shard_plan.Settings(image_size=16, unlabelled=True, **settings),
      convert.How(workers=1))


def _kaggle_csv(images):
  """sample_submission.csv, in an order of its own."""
  csv = pathlib.Path(images).parent / 'sample_submission.csv'
  csv.write_text('Id,Predicted\n' +
                 ''.join(f's{i},0\n' for i in (3, 0, 6, 1, 5, 2, 4)))
  return str(csv)


@pytest.mark.parametrize('with_csv', [False, True])
def test_records_have_only_id_and_image(images, tmp_path, with_csv):
  csv = _kaggle_csv(images) if with_csv else ''
  made = _convert(csv, images, tmp_path / 'out')
  samples = fakes.read_samples(tmp_path / 'out')
  assert set(samples) == {f's{i}' for i in range(7)}
  for i in range(7):
    sample = samples[f's{i}']
    assert (sample.fold, sample.labels, sample.repeats) == (None, None, None)
    np.testing.assert_array_equal(
        pixel_codec.decode(sample.image, 'raw', 16, 4),
        resize.resize(fakes.image(i), 16))
  assert [each.name for each in made.shards] == ['test-00000-of-00001.tfrecord']
  assert not made.class_counts and not made.is_labelled


def test_index_points_at_every_image_and_has_no_labels(images, tmp_path):
  made = _convert('', images, tmp_path / 'out')
  index = manifest.load_index(str(tmp_path / 'out'), made)
  assert index.columns.tolist() == [
      'id', 'shard', 'record_offset', 'record_bytes', 'image_offset',
      'image_bytes', 'row'
  ]
  samples = fakes.read_samples(tmp_path / 'out')
  for row in index.itertuples():
    data = (tmp_path / 'out' / row.shard).read_bytes()
    assert data[row.image_offset:row.image_offset + row.image_bytes] == bytes(
        samples[row.id].image)


def test_ids_from_the_folder_give_the_bytes_of_a_csv_of_them(images, tmp_path):
  _convert('', images, tmp_path / 'folder')
  csv = tmp_path / 'ids.csv'
  csv.write_text('Id\n' + ''.join(f's{i}\n' for i in range(7)))
  _convert(str(csv), images, tmp_path / 'csv')
  for path in (tmp_path / 'folder').iterdir():
    assert path.read_bytes() == (tmp_path / 'csv' / path.name).read_bytes()


def test_tensorflow_datasets_gets_the_split_test(images, tmp_path):
  _convert('', images, tmp_path / 'out')
  info = json.loads((tmp_path / 'out' / 'dataset_info.json').read_text())
  assert [(split['name'], split['shardLengths']) for split in info['splits']
         ] == [('test', ['7'])]


def test_shards_have_at_most_shard_mb(images, tmp_path):
  made = convert.convert(
      '', images, str(tmp_path / 'out'),
      shard_plan.Settings(image_size=300, unlabelled=True, shard_mb=1),
      convert.How(workers=1))
  assert sorted(each.records for each in made.shards) == [1, 2, 2, 2]
  assert made.shards[3].name == 'test-00003-of-00004.tfrecord'


def test_damaged_pixels_can_be_skipped(images, tmp_path):
  path = pathlib.Path(images) / 's3_green.png'
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x40
  path.write_bytes(data)
  with pytest.raises(errors.DataError) as error:
    _convert('', images, tmp_path / 'out')
  assert f'Invalid samples in {images}; fix' in str(error.value)
  assert 'row 5, s3_green.png: damaged PNG' in str(error.value)
  settings = shard_plan.Settings(image_size=16, unlabelled=True)
  made = convert.convert('', images, str(tmp_path / 'out'), settings,
                         convert.How(workers=1, on_error='skip'))
  assert made.num_skipped == 1 and 's3' not in fakes.read_samples(
      tmp_path / 'out')


def test_a_set_without_valid_samples_is_a_one_line_error():
  columns = ['id', 'labels', 'row', *specs.CHANNELS]
  with pytest.raises(errors.DataError, match='^No valid samples'):
    planner.lay_out(pd.DataFrame(columns=columns),
                    shard_plan.Settings(unlabelled=True))


def test_training_refuses_an_unlabelled_set(images, tmp_path):
  _convert('', images, tmp_path / 'out')
  done = prestarted.run([
      '-m', 'trainer.main', f'--records={tmp_path / "out"}',
      f'--workdir={tmp_path / "run"}'
  ])
  assert done.returncode == 2
  assert 'Expected records with labels, received unlabelled' in done.stderr
  assert 'Traceback' not in done.stderr


def _write(images, names, make):
  for i in range(6):
    for c, channel in enumerate(specs.CHANNELS):
      path = images / names.replace('{id}', f's{i}').replace(
          '{channel}', channel)
      path.parent.mkdir(parents=True, exist_ok=True)
      assert cv2.imwrite(str(path), make(i, c))


@pytest.mark.parametrize('pattern,make,white_level,tolerance', [
    ('{id}/{channel}.tif', fakes.plane, 0, 0),
    ('{channel}/plate 1/{id}.png',
     lambda i, c: fakes.plane(i, c).astype(np.uint16) * 16, 4080, 1),
    ('{id}_{channel}.jpg', lambda i, c: fakes.plane(i, c, 24 + 8 * i), 0, None),
])
def test_other_kinds_of_files_end_to_end(tmp_path, pattern, make, white_level,
                                         tolerance):
  _write(tmp_path / 'images', pattern, make)
  done = prestarted.run([
      'tools/make_records.py', '--unlabelled',
      f'--images={tmp_path / "images"}', f'--output={tmp_path / "out"}',
      f'--pattern={pattern}', f'--white_level={white_level}', '--image_size=16',
      '--workers=1'
  ])
  assert done.returncode == 0, done.stderr
  samples = fakes.read_samples(tmp_path / 'out')
  assert sorted(samples) == [f's{i}' for i in range(6)]
  ids = 'Id\ns0\ns1\ns2\ns3\ns4\ns5\n'
  assert manifest.load(str(tmp_path / 'out')).csv_sha256 == hashlib.sha256(
      ids.encode()).hexdigest()
  for i in range(6):
    found = pixel_codec.decode(samples[f's{i}'].image, 'raw', 16, 4).astype(int)
    if tolerance is not None:
      want = resize.resize(fakes.image(i), 16)
      assert np.abs(found - want).max() <= tolerance


def test_an_issue_below_the_folder_is_named_with_its_path(tmp_path):
  _write(tmp_path / 'images', '{id}/{channel}.png', fakes.plane)
  path = tmp_path / 'images' / 's2' / 'blue.png'
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x40
  path.write_bytes(data)
  with pytest.raises(errors.DataError, match='row 4, s2/blue.png: damaged PNG'):
    _convert('',
             str(tmp_path / 'images'),
             tmp_path / 'out',
             pattern='{id}/{channel}.png')


@pytest.mark.parametrize('flags,message', [
    (['--images=.'], 'pass --csv=PATH'),
    (['--unlabelled'], 'pass --images=PATH'),
    (['--unlabelled', '--images=tests'
     ], 'No samples found in --images=tests (no file matches '
     '--pattern={id}_{channel}.png'),
    (['--unlabelled', '--images=tests', '--pattern={id}.png'], '--pattern'),
    (['--unlabelled', '--images=.', '--white_level=70000'], 'at most 65535'),
])
def test_wrong_flags_are_one_line(flags, message):
  done = prestarted.run(['tools/make_records.py', '--output=x', *flags])
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1
