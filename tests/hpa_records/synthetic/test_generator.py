"""generator: Kaggle's layout, the real table's statistics, learnable."""

import csv as csv_module

import cv2
import numpy as np
import pytest
from sklearn import linear_model

from hpa_records.datasets import description
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from hpa_records.synthetic import column_value
from hpa_records.synthetic import field
from hpa_records.synthetic import generator
from hpa_records.synthetic import image_file
from hpa_records.synthetic import label_table
from hpa_records.synthetic import structure
from tests.support import prestarted


def _draw(labels, number, size_px):
  """An image of hpa2018, [size_px, size_px, 4] uint8."""
  found = description.default()
  look = structure.find_look(found.channels,
                             [each.name for each in found.classes])
  planes = field.draw(look, labels, 0, number, size_px)
  return cv2.merge([cv2.convertScaleAbs(each) for each in planes])


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.rglob('*.*')}


def test_bytes_depend_on_the_seed_not_on_the_workers(tmp_path):
  for name, seed, workers in (('one', 3, 1), ('two', 3, 2), ('other', 4, 1)):
    generator.make(str(tmp_path / name), 9, seed, 96, workers=workers)
  assert len(_content(tmp_path / 'one')) == 9 * 4 + 1
  assert _content(tmp_path / 'one') == _content(tmp_path / 'two')
  assert not set(_content(
      tmp_path / 'one')) & set(_content(tmp_path / 'other')) - {'train.csv'}


def test_the_converter_accepts_it(tmp_path):
  generator.make(str(tmp_path), 5, size_px=128, workers=1)
  loaded = sample_table.load(str(tmp_path / 'train.csv'),
                             str(tmp_path / 'train'),
                             input_tables.How(description.default()))
  assert loaded.sizes == {(128, 128): 5} and len(loaded.table) == 5
  with open(tmp_path / 'train.csv', encoding='utf-8') as file:
    assert next(csv_module.reader(file)) == ['Id', 'Target']


def test_images_have_the_statistics_of_real_ones():
  labels = label_table.draw_labels(24, 0)
  images = [_draw(each, i, 512) for i, each in enumerate(labels)]
  # Ranges of real images by channel: BUILD_NOTES.md, "Sample data".
  for channel, (zeros, means, kilobytes) in enumerate(
      (((.32, .81), (10, 28), (46, 172)), ((.10, .79), (9, 30), (46, 229)),
       ((.79, .93), (6, 17), (16, 63)), ((.27, .81), (8, 20), (44, 164)))):
    planes = [np.ascontiguousarray(image[..., channel]) for image in images]
    sizes = [
        len(cv2.imencode('.png', p, image_file.PNG_SETTINGS)[1]) for p in planes
    ]
    assert zeros[0] <= np.median([(p == 0).mean() for p in planes]) <= zeros[1]
    assert means[0] <= np.median([p.mean() for p in planes]) <= means[1]
    assert kilobytes[0] <= np.median(sizes) / 1000 <= kilobytes[1]


def _features(label, number):
  """A few numbers of the green channel, each seen against blue and red."""
  image = _draw((label,), number, 256).astype(np.float32)
  red, green, blue, yellow = np.moveaxis(image, -1, 0)
  nucleus, cell = blue > 20, (red > 5) | (yellow > 5) | (blue > 20)
  blurs = [cv2.GaussianBlur(green, (0, 0), s) for s in (1, 2, 4, 8)]
  fine = [(a - b).std() for a, b in zip([green, *blurs], blurs)]
  edge = cv2.morphologyEx(nucleus.astype(np.uint8), cv2.MORPH_GRADIENT,
                          np.ones((5, 5))) > 0
  values = [
      green[nucleus].mean(), green[cell & ~nucleus].mean(), green[~cell].mean(),
      green[edge].mean(),
      green.max(), (green > 60).mean(), *fine
  ]
  return np.log1p(values)


def test_every_class_has_a_pattern_of_its_own():
  x = np.array([
      _features(label, 28 * k + label) for k in range(10) for label in range(28)
  ])
  y = np.tile(np.arange(28), 10)
  x = (x - x.mean(axis=0)) / x.std(axis=0)
  model = linear_model.LogisticRegression(C=30, max_iter=500)
  model.fit(x[:196], y[:196])
  assert (model.predict(x[196:]) == y[196:]).mean() > 0.5  # chance: 0.036


@pytest.mark.parametrize('values,message', [
    ({
        'num_samples': 0
    }, '--num_samples from 1'),
    ({
        'num_samples': 9,
        'size_px': 32
    }, '--size_px from 64'),
    ({
        'num_samples': 56,
        'min_per_class': 3
    }, '--min_per_class from 0 to 2'),
    ({
        'num_samples': 9,
        'seed': -1
    }, '--seed from 0'),
    ({
        'num_samples': 9,
        'workers': -1
    }, '--workers from 0'),
])
def test_values_out_of_range_are_refused(tmp_path, values, message):
  with pytest.raises(errors.DataError, match=message):
    generator.make(str(tmp_path), **values)


def test_tool_makes_samples_once(tmp_path):
  tool = [
      'tools/make_sample_data.py', '--num_samples=2', f'--output={tmp_path}',
      '--size_px=64'
  ]
  done = prestarted.run(tool)
  assert done.stdout.startswith(f'2 samples: {tmp_path}/train.csv')
  again = prestarted.run(tool)
  assert again.returncode == 2
  assert 'train.csv exists' in again.stderr


def test_an_interrupted_call_is_continued(tmp_path):
  generator.make(str(tmp_path), 2, size_px=64, workers=1)
  whole = _content(tmp_path)
  (tmp_path / 'train.csv').unlink()
  begun, missing, *_ = (tmp_path / 'train').iterdir()
  begun.write_bytes(begun.read_bytes()[:100])
  missing.unlink()
  generator.make(str(tmp_path), 2, size_px=64, workers=1)
  assert _content(tmp_path) == whole


@pytest.mark.parametrize('workers', [1, 2])
def test_an_image_of_the_users_is_not_replaced(tmp_path, workers):
  mine = tmp_path / 'train' / f'{column_value.make_id(0, 9)}_red.png'
  mine.parent.mkdir()
  mine.write_bytes(b'mine')
  with pytest.raises(errors.DataError,
                     match='red.png exists with other content'):
    generator.make(str(tmp_path), 10, size_px=64, workers=workers)
  assert mine.read_bytes() == b'mine'


def test_a_link_in_place_of_the_table_is_refused(tmp_path):
  (tmp_path / 'train.csv').symlink_to('nowhere')
  with pytest.raises(errors.DataError, match='train.csv exists'):
    generator.make(str(tmp_path), 1, size_px=64, workers=1)
  assert [path.name for path in tmp_path.iterdir()] == ['train.csv']
  assert (tmp_path / 'train.csv').is_symlink()


def test_of_two_calls_at_once_the_second_is_refused(tmp_path):
  with file_lock.hold(str(tmp_path / '.make_sample_data.lock'), ''):
    with pytest.raises(errors.DataError,
                       match='Another process is making sample data in'):
      generator.make(str(tmp_path), 1, size_px=64, workers=1)


def test_small_images_can_be_made(tmp_path):
  generator.make(str(tmp_path), 40, size_px=64, workers=1)
  assert len(list((tmp_path / 'train').glob('*.png'))) == 160
